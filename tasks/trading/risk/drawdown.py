"""Rules of what may be lost: in a day, from the highest equity, from the start.

A floor counts open trades: equity holds them at present prices, and an entry is judged as if every
stop filled, its own too, so that none that is allowed can break a floor at its stop.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from tasks.trading.risk.day import day_start
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.outcome import UNLIMITED, Check, Outcome
from tasks.trading.risk.situation import Proposal, Situation
from tasks.trading.risk.worth import at_risk, moment, money, number, open_risk, positive


class Floor(NamedTuple):
    """An equity at which entries end.

    Attributes
    ----------
    name : str
        `daily`, `trailing` or `static`.
    words : str
        For people.
    level : Decimal
    allowed : Decimal
        What may be lost down to it.
    until : str
        How long its breach lasts.
    """

    name: str
    words: str
    level: Decimal
    allowed: Decimal
    until: str

    def used(self, equity: Decimal) -> Decimal:
        """Return the share of the allowed loss that is lost."""
        return (self.level + self.allowed - equity) / self.allowed


def daily(situation: Situation, limits: Limits) -> Floor | None:
    """Return the floor of the day's loss; None if there is no limit.

    Parameters
    ----------
    situation : Situation
    limits : Limits

    Raises
    ------
    UnfitFigure
        If the equity at the day's start is not known.
    """
    if limits.daily_loss is None:
        return None
    first = positive(situation.day_start_equity, "equity at the day's start")
    loss = limits.daily_loss * (first if limits.share_of == "own" else _start(situation, limits))
    reset = _next_reset(moment(situation.now, "now"), limits)
    words = f"{limits.daily_loss:.2%} a day from {money(first, situation)}"
    return Floor("daily", words, first - loss, loss, f"until {reset:%Y-%m-%d %H:%M} UTC")


def trailing(situation: Situation, limits: Limits) -> Floor | None:
    """Return the floor below the highest equity; None if there is no limit.

    Parameters
    ----------
    situation : Situation
    limits : Limits

    Raises
    ------
    UnfitFigure
        If the highest equity is not known.
    """
    if limits.trailing_drawdown is None:
        return None
    peak = positive(situation.peak_equity, "highest equity")
    peak = max(peak, number(situation.account.equity, "equity"))
    own = limits.share_of == "own" and not limits.trailing_locks
    start = None if own else _start(situation, limits)
    loss = limits.trailing_drawdown * (peak if limits.share_of == "own" or start is None else start)
    level = peak - loss
    if limits.trailing_locks and start is not None:
        level = min(level, start)
    words = f"{limits.trailing_drawdown:.2%} from the highest, {money(peak, situation)}"
    return Floor("trailing", words, level, loss, "for good: `since` in risk.toml begins anew")


def static(situation: Situation, limits: Limits) -> Floor | None:
    """Return the floor below the equity at the start; None if there is no limit.

    Parameters
    ----------
    situation : Situation
    limits : Limits

    Raises
    ------
    UnfitFigure
        If the equity at the start is not known.
    """
    if limits.static_drawdown is None:
        return None
    start = _start(situation, limits)
    loss = limits.static_drawdown * start
    words = f"{limits.static_drawdown:.2%} from the start, {money(start, situation)}"
    return Floor("static", words, start - loss, loss, "for good: `since` in risk.toml begins anew")


FLOORS = (daily, trailing, static)


def halted(floor: Floor, situation: Situation) -> str | None:
    """Say that a floor has been hit, now or before; None if it has not.

    Parameters
    ----------
    floor : Floor
    situation : Situation
    """
    equity = number(situation.account.equity, "equity")
    before = situation.hits.get(floor.name)
    if equity > floor.level and before is None:
        return None
    seen = "" if before is None else f", first hit {before:%Y-%m-%d %H:%M} UTC"
    return (
        f"{floor.words}: the floor is {money(floor.level, situation)}, equity is "
        f"{money(equity, situation)}{seen}; halted {floor.until}"
    )


def nearly(floor: Floor, situation: Situation, limits: Limits) -> str | None:
    """Say that a floor is near; None if it is not.

    Parameters
    ----------
    floor : Floor
    situation : Situation
    limits : Limits
    """
    used = floor.used(number(situation.account.equity, "equity"))
    if used < limits.near:
        return None
    return f"{floor.words}: {used:.0%} of that is lost, at {limits.near:.0%} entries end"


def _judged(floor: Floor | None, proposal: Proposal, situation: Situation) -> Outcome:
    """Return whether the floor holds if every stop fills, the order's own too."""
    if floor is None:
        return UNLIMITED
    equity = number(situation.account.equity, "equity")
    worst = equity - open_risk(situation) - at_risk(proposal, situation)
    words = (
        f"{floor.words}: at all stops equity would be {money(worst, situation)}; the floor is "
        f"{money(floor.level, situation)}"
    )
    return Outcome(denied=not worst > floor.level, text=words)


def _daily_loss(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Loss of the day, open trades at their stops included."""
    return _judged(daily(situation, limits), proposal, situation)


def _trailing_drawdown(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Loss from the highest equity, open trades at their stops included."""
    return _judged(trailing(situation, limits), proposal, situation)


def _static_drawdown(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Loss from the start, open trades at their stops included."""
    return _judged(static(situation, limits), proposal, situation)


CHECKS: tuple[tuple[str, Check], ...] = (
    ("daily loss", _daily_loss),
    ("trailing drawdown", _trailing_drawdown),
    ("static drawdown", _static_drawdown),
)


def _start(situation: Situation, limits: Limits) -> Decimal:
    said = limits.start_equity
    return positive(situation.start_equity if said is None else said, "equity at the start")


def _next_reset(now: datetime, limits: Limits) -> datetime:
    # a day has 23 to 25 hours: 36 after its start lie in the next one
    return day_start(day_start(now, limits) + timedelta(hours=36), limits)
