"""The rules of fills: at which price and when a trade begins and ends, one number at a time.

Simulation, replay, paper and live keep to these; `kernels.outcomes` is the same for whole arrays
(docs/mathematics.md, "Outcomes"). Prices are floats or decimals, all of one kind in a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from infra.market.calendar import Calendar
from infra.market.hours import calendar_of
from infra.market.moments import after, is_open, next_open, open_time
from infra.market.timeframes import bar_length

Number = TypeVar("Number", float, Decimal)
Side: TypeAlias = Literal["long", "short"]

HOLE_BARS: Final = 12
HOLE_TIME: Final = timedelta(hours=4)
"""A hole misses more than so many bars, and more than so much time, of an open market."""


class Fill(NamedTuple, Generic[Number]):
    """At which price a trade ended, and whether by its stop or its target."""

    price: Number
    reason: Literal["stop", "target"]


class Due(NamedTuple):
    """Since when a trade is to be left, and whether by time or for a hole."""

    at: datetime
    reason: Literal["time", "hole"]


def entry_price(side: str, bid: Number, ask: Number, slippage: Number) -> Number:
    """Return what an entry pays: the ask for a long, the bid for a short, worse by slippage.

    Parameters
    ----------
    side : {"long", "short"}
    bid, ask : float or Decimal
        Of the open after the signal's bar.
    slippage : float or Decimal
        In price units.
    """
    return ask + slippage if side == "long" else bid - slippage


def leaving_price(side: str, bid: Number, ask: Number) -> Number:
    """Return what an exit at once gets: the bid for a long, the ask for a short.

    Parameters
    ----------
    side : {"long", "short"}
        Of the trade.
    bid, ask : float or Decimal
    """
    return bid if side == "long" else ask


def stop_level(side: str, entry: Number, distance: Number) -> Number:
    """Return the price of a stop.

    Parameters
    ----------
    side : {"long", "short"}
    entry : float or Decimal
        Price that was paid.
    distance : float or Decimal
        In price units.
    """
    return entry - distance if side == "long" else entry + distance


def target_level(side: str, entry: Number, distance: Number) -> Number:
    """Return the price of a target.

    Parameters
    ----------
    side : {"long", "short"}
    entry : float or Decimal
        Price that was paid.
    distance : float or Decimal
        In price units.
    """
    return entry + distance if side == "long" else entry - distance


def at_open(side: str, opened: Number, stop: Number | None) -> Fill[Number] | None:
    """Return what a stop gets at the open of a bar: that open, if it lies at or beyond the stop.

    Parameters
    ----------
    side : {"long", "short"}
    opened : float or Decimal
        On the side one leaves at: the bid for a long, the ask for a short.
    stop : float, Decimal or None
    """
    if stop is None or not (opened <= stop if side == "long" else opened >= stop):
        return None
    return Fill(opened, "stop")


def within(
    side: str, low: Number, high: Number, stop: Number | None, target: Number | None
) -> Fill[Number] | None:
    """Return how a trade ends inside a bar: at its stop, else at its target, each at its price.

    Parameters
    ----------
    side : {"long", "short"}
    low, high : float or Decimal
        On the side one leaves at.
    stop, target : float, Decimal or None
    """
    long = side == "long"
    if stop is not None and (low <= stop if long else high >= stop):
        return Fill(stop, "stop")
    if target is not None and (high >= target if long else low <= target):
        return Fill(target, "target")
    return None


def is_hole(before: datetime, start: datetime, market: str | Calendar, timeframe: str) -> bool:
    """Return whether bars are missing between two that follow each other, by no schedule.

    Parameters
    ----------
    before, start : datetime
        When the two begin.
    market : str or Calendar
        A pair, or the calendar that it keeps: time at which it is not surely open is not missed.
    timeframe : str
    """
    bar = bar_length(timeframe)
    most = max(HOLE_BARS * bar, HOLE_TIME)
    if start - before - bar <= most:
        return False
    return open_time(_calendar(market), before + bar, start) > most


def closes_market(bar_ts: datetime, market: str | Calendar, timeframe: str) -> bool:
    """Return whether the market closes at the end of a bar: then no trade is entered.

    Unless the strategy trades over closures (`weekend`).

    Parameters
    ----------
    bar_ts : datetime
        When the bar begins.
    market : str or Calendar
        A pair, or the calendar that it keeps.
    timeframe : str
    """
    return not is_open(_calendar(market), bar_ts + bar_length(timeframe))


def valid_until(bar_ts: datetime, market: str | Calendar, timeframe: str) -> datetime:
    """Return when a signal dies: once the market has been open for a bar since its own ended.

    Parameters
    ----------
    bar_ts : datetime
        When the signal's bar begins.
    market : str or Calendar
        A pair, or the calendar that it keeps.
    timeframe : str

    Notes
    -----
    A signal of Friday's last bar lives until the end of the first one after the weekend.
    """
    bar = bar_length(timeframe)
    return after(_calendar(market), bar_ts + bar, bar)


def exit_due(
    starts: Sequence[datetime], horizon: int, market: str | Calendar, timeframe: str
) -> Due | None:
    """Return since when a trade is to be left by time or for a hole; None if it is not yet.

    Parameters
    ----------
    starts : sequence of datetime
        When the bars begin that have begun, from the signal's own on; more do no harm.
    horizon : int
        Bars from the entry to the time exit.
    market : str or Calendar
        A pair, or the calendar that it keeps.
    timeframe : str

    Notes
    -----
    Bars are counted as they are, not by the clock: the time exit is the open of the bar
    `horizon` after the one after the signal's. Behind a hole it is the first open there is.
    """
    for before, start in pairwise(starts[: horizon + 2]):
        if is_hole(before, start, market, timeframe):
            # the last of them is left at that open anyway
            return Due(start, "hole")
    return Due(starts[horizon + 1], "time") if len(starts) > horizon + 1 else None


def exit_due_by_calendar(
    bar_ts: datetime, horizon: int, market: str | Calendar, timeframe: str
) -> datetime:
    """Return when the time exit is due where no bars can be read: by the calendar alone.

    Parameters
    ----------
    bar_ts : datetime
        When the signal's bar begins.
    horizon : int
        Bars from the entry to the time exit.
    market : str or Calendar
        A pair, or the calendar that it keeps.
    timeframe : str
    """
    calendar = _calendar(market)
    return next_open(calendar, after(calendar, bar_ts, (horizon + 1) * bar_length(timeframe)))


def lateness(due: datetime, now: datetime) -> timedelta:
    """Return how late an exit is that was due earlier: it is left at the price there is now.

    Parameters
    ----------
    due, now : datetime
    """
    return max(now - due, timedelta(0))


def halted(market: str | Calendar, at: datetime) -> bool:
    """Return whether the market is surely closed at a moment: no venue fills then.

    Parameters
    ----------
    market : str or Calendar
        A pair, or the calendar that it keeps.
    at : datetime
        With a zone.
    """
    return not is_open(_calendar(market), at, surely=False)


def _calendar(market: str | Calendar) -> Calendar:
    """Return the calendar of a pair; looking it up costs more than any of these rules."""
    return calendar_of(market) if isinstance(market, str) else market
