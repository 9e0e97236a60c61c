"""Rules of how much is held: units, worth, currencies, risk at the stops, margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Final

import numpy as np

from tasks.trading.risk.limits import Limits
from tasks.trading.risk.outcome import UNLIMITED, Check, Outcome, at_most
from tasks.trading.risk.situation import Held, Proposal, Situation
from tasks.trading.risk.worth import (
    UnfitFigure,
    at_risk,
    equity,
    exposures,
    legs,
    money,
    not_negative,
    number,
    open_risk,
    positive,
    share,
    terms_of,
    worth,
)

LEAST_RETURNS: Final = 30
"""Below this a correlation is unknown."""

_FLAT: Final = 1e-18
"""Share of the squares that is rounding."""


def _order_size(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Units are what the broker takes in one order."""
    terms = terms_of(proposal.pair, situation)
    units = positive(proposal.units, "units")
    least, most = not_negative(terms.minimum, "minimum"), positive(terms.maximum, "maximum")
    step = Decimal(1).scaleb(-terms.unit_precision)
    fits = least <= units <= most and units == (units / step).to_integral_value(ROUND_DOWN) * step
    words = f"{units:,} units; an order has {least:,} to {most:,} in steps of {step}"
    return Outcome(denied=not fits, text=words)


def _stop_side(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """The stop lies on the losing side of the entry."""
    price, stop = positive(proposal.price, "price"), positive(proposal.stop, "stop")
    losing = {"long": stop < price, "short": stop > price}[proposal.side]
    return Outcome(
        denied=not losing or at_risk(proposal, situation) <= 0,
        text=f"{proposal.side} at {price} with its stop at {stop}",
    )


def _units_of_pair(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Units of the pair, long and short added up."""
    if limits.max_units is None:
        return UNLIMITED
    used = sum(positive(held.units, "units") for held in _of_pair(proposal, situation))
    words = f"{proposal.pair} would have {used:,} units; allowed are {limits.max_units:,}"
    return at_most(Decimal(used), limits.max_units, words)


def _notional_of_pair(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Worth of the pair, long and short added up."""
    used = _sum(_of_pair(proposal, situation), situation)
    most = _least(limits.max_notional, limits.max_leverage, situation)
    return _worth(used, most, f"{proposal.pair} would be worth", situation)


def _total_leverage(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Worth of all open trades."""
    used = _sum((*situation.held, proposal), situation)
    most = _least(None, limits.max_total_leverage, situation)
    return _worth(used, most, "all open trades would be worth", situation)


def _currencies(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Net worth of each currency of the pair; what makes it smaller is allowed."""
    before = exposures(situation.held, situation)
    after = exposures((*situation.held, proposal), situation)
    most = _least(limits.max_currency, limits.max_currency_leverage, situation)
    if most is None:
        return UNLIMITED
    mine = [currency for currency in legs(proposal.pair) if currency in after]
    wider = [c for c in mine if most < abs(after[c]) > abs(before.get(c, Decimal(0)))]
    told = ", ".join(f"{money(after[c], situation)} of {c}" for c in mine) or "nothing"
    return Outcome(bool(wider), f"net would be held {told}; allowed are {money(most, situation)}")


def _trade_risk(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Loss of the trade at its stop."""
    lost, most = at_risk(proposal, situation), limits.max_risk * equity(situation)
    words = f"at its stop it loses {share(lost, situation)}; allowed is {limits.max_risk:.2%}"
    return at_most(lost, most, words)


def _total_risk(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Loss of all open trades at their stops."""
    lost = open_risk(situation) + at_risk(proposal, situation)
    if limits.max_open_risk is None:
        return UNLIMITED
    bare = sum(held.stop is None for held in situation.held)
    words = (
        f"at all stops {share(lost, situation)} is lost; allowed is {limits.max_open_risk:.2%}"
        f"{f'; {bare} open without a stop' if bare else ''}"
    )
    return at_most(lost, limits.max_open_risk * equity(situation), words)


def _correlated_risk(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Loss at the stops of the trade and of those that move with it."""
    if limits.max_correlated_risk is None:
        return UNLIMITED
    lost = at_risk(proposal, situation)
    for held in situation.held:
        together = correlation(proposal, held, situation)
        lost += max(together, Decimal(0)) * at_risk(held, situation)
    words = (
        f"with what moves alike {share(lost, situation)} is lost at the stops; "
        f"allowed is {limits.max_correlated_risk:.2%}"
    )
    return at_most(lost, limits.max_correlated_risk * equity(situation), words)


def _margin(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """Free margin after the trade."""
    account = situation.account
    demanded = not_negative(terms_of(proposal.pair, situation).margin, "margin of the pair")
    needed = demanded * worth(proposal, situation) + _unbooked(situation)
    used = not_negative(account.margin_used, "used margin")
    free = min(number(account.margin_available, "free margin"), equity(situation) - used) - needed
    least = limits.min_free_margin * equity(situation)
    words = f"free margin would be {share(free, situation)}; {limits.min_free_margin:.0%} are kept"
    return at_most(least, free, words)


def correlation(held: Held, other: Held, situation: Situation) -> Decimal:
    """Return how much two holdings move together, from -1 to 1; 1 where nobody knows.

    Parameters
    ----------
    held, other : Trade or Proposal
    situation : Situation

    Raises
    ------
    UnfitFigure
        If a return is no number.
    """
    sign = 1 if held.side == other.side else -1
    if held.pair == other.pair:
        return Decimal(sign)
    one, two = (_returns(each.pair, situation) for each in (held, other))
    length = min(len(one), len(two))
    if length < LEAST_RETURNS:
        return Decimal(1)
    measured = _pearson(one[-length:], two[-length:])
    return Decimal(1) if measured is None else Decimal(repr(measured)) * sign


def _pearson(one: Sequence[float], two: Sequence[float]) -> float | None:
    """Return the correlation of two series; None where one of them hardly moves."""
    x, y = np.asarray(one, float), np.asarray(two, float)
    a, b = x - x.mean(), y - y.mean()
    if any(float(d @ d) <= _FLAT * float(raw @ raw) for d, raw in ((a, x), (b, y))):
        return None
    return max(-1.0, min(1.0, float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))))


def _returns(pair: str, situation: Situation) -> Sequence[float]:
    found = situation.returns.get(pair, ())
    if not all(math.isfinite(each) for each in found):
        raise UnfitFigure(f"a return of {pair} is no number")
    return found


def _unbooked(situation: Situation) -> Decimal:
    """Return the margin of what was sent and is not in the account yet."""
    return sum(
        (terms_of(each.pair, situation).margin * worth(each, situation))
        for each in situation.inflight
    ) or Decimal(0)


def _of_pair(proposal: Proposal, situation: Situation) -> list[Held]:
    return [*(held for held in situation.held if held.pair == proposal.pair), proposal]


def _sum(holdings: Sequence[Held], situation: Situation) -> Decimal:
    return sum((worth(held, situation) for held in holdings), Decimal(0))


def _least(
    amount: Decimal | None, multiple: Decimal | None, situation: Situation
) -> Decimal | None:
    allowed = [amount, None if multiple is None else multiple * equity(situation)]
    return min((each for each in allowed if each is not None), default=None)


def _worth(used: Decimal, most: Decimal | None, words: str, situation: Situation) -> Outcome:
    if most is None:
        return UNLIMITED
    text = f"{words} {money(used, situation)}; allowed are {money(most, situation)}"
    return at_most(used, most, text)


CHECKS: tuple[tuple[str, Check], ...] = (
    ("order size", _order_size),
    ("stop", _stop_side),
    ("units of the pair", _units_of_pair),
    ("worth of the pair", _notional_of_pair),
    ("worth of a currency", _currencies),
    ("worth of all", _total_leverage),
    ("risk of the trade", _trade_risk),
    ("risk of all", _total_risk),
    ("correlated risk", _correlated_risk),
    ("margin", _margin),
)
