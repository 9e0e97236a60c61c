"""Rules of the market at the moment: price, spread, hours, weekend."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from infra.market.hours import calendar_of
from infra.market.instruments import find
from infra.market.timeframes import bar_seconds
from tasks.trading.risk.hours import minutes
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.outcome import UNLIMITED, Check, Outcome, at_most
from tasks.trading.risk.situation import Proposal, Situation
from tasks.trading.risk.worth import home_rates, moment, not_negative, price_of

DAY = timedelta(hours=24)
"""A closure so long is a weekend or a holiday."""


def _tradeable(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """The broker says that the market is open."""
    price = price_of(proposal.pair, situation)
    words = f"{proposal.pair} is {price.bid} to {price.ask}"
    if price.tradeable is not True:
        return Outcome(True, f"{words}, and not tradeable")
    return Outcome(False, f"{words}, tradeable")


def _conversion(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """What the quote currency is worth to the account is known, of all that is open."""
    for held in situation.held:
        home_rates(held.pair, situation)
    gain, loss = home_rates(proposal.pair, situation)
    home = situation.account.currency
    return Outcome(False, f"a unit of the quote currency earns {gain:f} or costs {loss:f} {home}")


def _price_age(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """The price is of now."""
    now, at = moment(situation.now, "now"), price_of(proposal.pair, situation).at
    age = Decimal(repr((now - moment(at, "time of the price")).total_seconds()))
    most = limits.max_price_age
    if age >= 0 and situation.recorded:
        most += Decimal(bar_seconds(proposal.timeframe))
    words = (
        f"the price is {abs(age):.1f} s {'old' if age >= 0 else 'ahead'}; allowed are {most:f} s"
    )
    return at_most(abs(age), most, words)


def _spread(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """The spread is not far from the usual: the wider of the proposal's and the market's."""
    price, instrument = price_of(proposal.pair, situation), find(proposal.pair)
    wide = max(not_negative(proposal.spread, "spread"), price.ask - price.bid)
    pips = wide / Decimal(repr(instrument.pip))
    allowed = [] if limits.max_spread_pips is None else [limits.max_spread_pips]
    if usual := Decimal(repr(instrument.spread_pips)):
        allowed.append(usual * limits.max_spread_ratio)
    if not allowed:
        return Outcome(False, f"the spread is {pips:.2f} pips; no usual one is known")
    words = f"the spread is {pips:.2f} pips, usual are {usual}; allowed are {min(allowed):.2f}"
    return at_most(pips, min(allowed), words)


def _hours(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """It is an hour in which entries are made."""
    now = moment(situation.now, "now")
    if not limits.hours:
        return UNLIMITED
    local = now.astimezone(ZoneInfo(limits.hours_zone))
    inside = local.hour * 60 + local.minute in minutes(limits.hours)
    words = f"it is {local:%H:%M} {limits.hours_zone}; entries are made {', '.join(limits.hours)}"
    return Outcome(not inside, words)


def _weekend(proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    """The market does not close for a day or more soon."""
    now = moment(situation.now, "now")
    if limits.weekend_hours is None:
        return UNLIMITED
    ahead = timedelta(hours=float(limits.weekend_hours))
    closes = _closure(proposal.pair, now, ahead)
    if closes is None:
        return Outcome(False, f"{proposal.pair} trades on for {limits.weekend_hours:f} h and more")
    words = f"{proposal.pair} closes for a day or more at {closes:%Y-%m-%d %H:%M} UTC"
    return Outcome(True, f"{words}; {limits.weekend_hours:f} h before that nothing is entered")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("market", _tradeable),
    ("conversion", _conversion),
    ("price age", _price_age),
    ("spread", _spread),
    ("hours", _hours),
    ("weekend", _weekend),
)


def _closure(pair: str, now: datetime, ahead: timedelta) -> datetime | None:
    """Return when the next long closure begins, if one does by then or has."""
    near = (
        closes
        for closes, opens in _closures(pair, now.astimezone(UTC).date())
        if opens > now and closes <= now + ahead
    )
    return next(near, None)


@lru_cache(maxsize=256)
def _closures(pair: str, day: date) -> tuple[tuple[datetime, datetime], ...]:
    """Return the long closures that touch a day or the week after it."""
    start = datetime.combine(day, time(), UTC)
    found = calendar_of(pair).closures(start, start + timedelta(days=8))
    return tuple((closes, opens) for closes, opens in found.iter_rows() if opens - closes >= DAY)
