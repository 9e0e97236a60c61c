"""Prices, quotes and the clock of a bar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from infra.market.calendar import Calendar
from infra.market.days import bar_end
from infra.market.hours import calendar_of
from infra.market.week import WEEK
from tasks.strategy.language.registry import Bars, Builtin, Slot, column, finite

GROUP: Final = "Market"
SESSIONS: Final = {
    "sydney": ("Australia/Sydney", 8, 17),
    "tokyo": ("Asia/Tokyo", 9, 18),
    "london": ("Europe/London", 8, 17),
    "new_york": ("America/New_York", 8, 17),
}
"""Zone, first hour and the hour after the last of each, on its own clock, Monday to Friday."""

_LOOK_AHEAD: Final = timedelta(days=14)
"""Of the calendar, which knows no prices: no closure lies further away."""


def closes_in(given: Bars, times: pl.Series) -> pl.Series:
    """Return the minutes from each bar's close to the market's next one; null where it has none.

    Parameters
    ----------
    given : Bars
    times : polars.Series
        Starts of the bars.
    """
    calendar = calendar_of(given.pair)
    if calendar.week.minutes == WEEK or times.is_empty():
        return pl.Series([None] * len(times), dtype=pl.Float64)
    ends = bar_end(times, given.timeframe).dt.epoch("us").to_numpy()
    closes = _closes(calendar, times)
    left: pl.Series = pl.Series((closes[np.searchsorted(closes, ends)] - ends) / 60e6)
    return left


def _closes(calendar: Calendar, times: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    sessions = calendar.sessions(times[0], times[-1] + _LOOK_AHEAD)
    return sessions["closes"].dt.epoch("us").to_numpy()


def _in_session(_: Bars, name: str) -> pl.Expr:
    zone, first, last = SESSIONS[name]
    local = pl.col("timestamp").dt.convert_time_zone(zone)
    return local.dt.hour().is_between(first, last - 1) & (local.dt.weekday() <= 5)


def _of(
    name: str,
    says: str,
    units: str,
    build: Callable[[Bars], pl.Expr],
    nulls: str = "",
    example: str = "",
) -> Builtin:
    return Builtin(
        name,
        GROUP,
        (),
        "number",
        says,
        units,
        example or f"{name}()",
        build,
        role="bars",
        nulls=nulls or "never null",
    )


def _mid(given: Bars) -> pl.Expr:
    half = finite((column(given, "bid_close") + column(given, "ask_close")) / 2)
    return half.fill_null(column(given, "close"))


def _minutes(given: Bars) -> pl.Expr:
    return pl.col("timestamp").map_batches(
        lambda times: closes_in(given, times), return_dtype=pl.Float64
    )


_QUOTES = "null where the source has no quotes"

FUNCTIONS: Final = (
    _of("open", "The first price of the bar.", "price", lambda b: column(b, "open")),
    _of("high", "The highest price of the bar.", "price", lambda b: column(b, "high")),
    _of("low", "The lowest price of the bar.", "price", lambda b: column(b, "low")),
    _of("close", "The last price of the bar.", "price", lambda b: column(b, "close")),
    _of(
        "mid",
        "The middle of bid and ask at the close; the close where there are no quotes.",
        "price",
        _mid,
    ),
    _of("bid", "The bid at the close.", "price", lambda b: column(b, "bid_close"), _QUOTES),
    _of("ask", "The ask at the close.", "price", lambda b: column(b, "ask_close"), _QUOTES),
    _of(
        "spread",
        "Ask less bid at the close.",
        "price",
        lambda b: finite(column(b, "ask_close") - column(b, "bid_close")),
        _QUOTES,
    ),
    _of(
        "volume",
        "The volume of the bar, as the source counts it.",
        "as the source has it",
        lambda b: column(b, "volume"),
        "null where the source has none",
    ),
    _of(
        "hour",
        "The hour in which the bar begins, UTC.",
        "0 to 23",
        lambda _: pl.col("timestamp").dt.hour().cast(pl.Float64),
    ),
    _of(
        "weekday",
        "The day on which the bar begins, UTC: 1 is Monday, 7 Sunday.",
        "1 to 7",
        lambda _: pl.col("timestamp").dt.weekday().cast(pl.Float64),
    ),
    Builtin(
        "session",
        GROUP,
        (Slot("name", "string", constant=True, choices=tuple(SESSIONS)),),
        "bool",
        "Whether the bar begins within the working hours of a place, on its own clock.",
        "true or false",
        'session("london")',
        _in_session,
        role="bars",
        nulls="never null",
    ),
    _of(
        "minutes_to_close",
        "Minutes from the bar's close to the market's next scheduled one.",
        "minutes",
        _minutes,
        "null where the market never closes",
        "minutes_to_close() > 60",
    ),
)
