"""The trading day, which begins at 17:00 New York, and the bars in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from infra.bars import TIME
from infra.market.timeframes import bar_length

NEW_YORK: Final = "America/New_York"
DAY_BEGINS: Final = 17
"""Hour in New York at which a day ends and the next one begins."""
_AHEAD: Final = timedelta(hours=24 - DAY_BEGINS)
"""From 17:00, where the day begins, to midnight."""
_HOUR: Final = timedelta(hours=1)


def bar_start(times: pl.Series, timeframe: str) -> pl.Series:
    """Return when the bar begins that each time falls into.

    Bars of an hour and less begin on multiples of their length; a day begins at 17:00 New York
    in summer as in winter, and bars of four hours there and every four hours on New York's clock.

    Parameters
    ----------
    times : polars.Series
        `Datetime("us", "UTC")`.
    timeframe : str

    Returns
    -------
    polars.Series
        `Datetime("us", "UTC")`.
    """
    length = bar_length(timeframe)
    if length <= _HOUR:
        return times.dt.truncate(length)
    return _from_server(_to_server(times).dt.truncate(length))


def bar_end(starts: pl.Series, timeframe: str) -> pl.Series:
    """Return when the bars end that begin at `starts`; a day in autumn has 25 hours.

    Parameters
    ----------
    starts : polars.Series
        `Datetime("us", "UTC")`.
    timeframe : str

    Returns
    -------
    polars.Series
        `Datetime("us", "UTC")`.
    """
    length = bar_length(timeframe)
    return starts + length if length <= _HOUR else _from_server(_to_server(starts) + length)


def trading_day(times: pl.Series) -> pl.Series:
    """Return the day that each time belongs to: from 17:00 New York on it is the next one.

    Parameters
    ----------
    times : polars.Series
        `Datetime("us", "UTC")`.

    Returns
    -------
    polars.Series
        `Date`.
    """
    return _to_server(times).dt.date()


def _to_server(times: pl.Series) -> pl.Series:
    """Times of a clock on which the day begins at midnight."""
    return times.dt.convert_time_zone(NEW_YORK).dt.replace_time_zone(None) + _AHEAD


def _from_server(times: pl.Series) -> pl.Series:
    """Instants of that clock; 01:00 New York, which comes twice in autumn, is the first one."""
    local = (times - _AHEAD).dt.replace_time_zone(NEW_YORK, ambiguous="earliest")
    return local.dt.convert_time_zone("UTC").cast(TIME)
