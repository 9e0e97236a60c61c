"""Rules of how often: open trades, entries of a day, opposite sides, pauses after losses."""

from __future__ import annotations

from datetime import timedelta

from tasks.trading.risk.limits import Limits
from tasks.trading.risk.outcome import UNLIMITED, Check, Outcome
from tasks.trading.risk.situation import Proposal, Situation
from tasks.trading.risk.worth import UnfitFigure, moment, number


def _own_trades(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Open trades of ours."""
    return _count(len(situation.own) + 1, limits.max_own_trades, "trades of ours would be open")


def _all_trades(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Open trades of the account, and orders that may become some."""
    count = len(situation.held) + len(situation.account.pending) + 1
    return _count(count, limits.max_trades, "trades would be open or pending in all")


def _entries_of_day(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Entries since the day began."""
    made = situation.entries_today
    if not isinstance(made, int) or isinstance(made, bool) or made < 0:
        raise UnfitFigure(f"the number of today's entries is {made!r}")
    return _count(made + 1, limits.max_entries, "entries would be made today")


def _opposite(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """On an account that nets, no trade is open the other way round."""
    against = [
        held for held in situation.held if held.pair == proposal.pair and held.side != proposal.side
    ]
    if situation.account.hedging or not against:
        return Outcome(False, f"nothing is open against a {proposal.side} {proposal.pair}")
    units = sum(held.units for held in against)
    words = f"{units:,} units of {proposal.pair} are open {against[0].side}: the venue nets them"
    return Outcome(True, words)


def _cool_down(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """A pause after losses in a row."""
    paused = pause(situation, limits)
    if limits.cool_down_after is None:
        return UNLIMITED
    row = losses_in_row(situation)
    words = f"{row} losses in a row; {limits.cool_down_after} make a pause"
    return Outcome(paused is not None, paused or words)


CHECKS: tuple[tuple[str, Check], ...] = (
    ("own trades", _own_trades),
    ("all trades", _all_trades),
    ("entries of the day", _entries_of_day),
    ("opposite side", _opposite),
    ("cool-down", _cool_down),
)


def pause(situation: Situation, limits: Limits) -> str | None:
    """Say that entries pause after losses, and until when; None if they do not.

    Parameters
    ----------
    situation : Situation
    limits : Limits

    Raises
    ------
    UnfitFigure
        If a profit or a time is missing.
    """
    if limits.cool_down_after is None:
        return None
    row = losses_in_row(situation)
    if row < limits.cool_down_after:
        return None
    last = max(closed for closed, _ in situation.losses)
    until = last + timedelta(hours=float(limits.cool_down_hours))
    if moment(situation.now, "now") >= until:
        return None
    return f"{row} losses in a row: entries pause until {until:%Y-%m-%d %H:%M} UTC"


def losses_in_row(situation: Situation) -> int:
    """Return how many of our latest trades lost, up to the newest.

    Raises
    ------
    UnfitFigure
        If a profit or a time is missing.
    """
    newest = sorted(
        situation.losses, key=lambda each: moment(each[0], "time of a close"), reverse=True
    )
    row = 0
    for _, profit in newest:
        if number(profit, "profit of a closed trade") >= 0:
            break
        row += 1
    return row


def _count(count: int, most: int | None, words: str) -> Outcome:
    if most is None:
        return UNLIMITED
    return Outcome(count > most, f"{count} {words}; allowed are {most}")
