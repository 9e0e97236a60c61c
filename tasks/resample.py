"""Longer bars from shorter ones, with days that begin at 17:00 New York."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from infra.store import PRICES, QUOTES, TIME
from tasks.instruments import bar_length

_ZONE: Final = "America/New_York"
_AHEAD: Final = timedelta(hours=7)
"""From 17:00, where the day begins, to midnight."""
_HOUR: Final = timedelta(hours=1)
_HOW: Final = {
    "open": pl.Expr.first,
    "high": pl.Expr.max,
    "low": pl.Expr.min,
    "close": pl.Expr.last,
}


def resample(
    bars: pl.DataFrame, timeframe: str, *, base: str = "M1", partial: bool = False
) -> pl.DataFrame:
    """Make longer bars of shorter ones.

    Minutes that are missing inside a bar are no fault; a bar without any is not there.

    Parameters
    ----------
    bars : polars.DataFrame
        Columns of `infra.store.SCHEMA`, the quotes optional; sorted by time.
    timeframe : str
    base : str, default "M1"
        Timeframe of `bars`.
    partial : bool, default False
        Whether to keep the first bar where `bars` begin inside it, and the last one where they
        end before it does: neither shows what it will show once it is complete.

    Returns
    -------
    polars.DataFrame
        The same columns. A bar's volume and quotes are null where one of its minutes has none.

    Raises
    ------
    ValueError
        If a timeframe is not known, or `timeframe` is shorter than `base`.
    """
    if bar_length(timeframe) < bar_length(base):
        raise ValueError(f"bars of {base} make none of {timeframe}: ask for {base} or longer")
    starts = bar_start(bars["timestamp"], timeframe)
    longer = _aggregated(bars.with_columns(timestamp=starts))
    if partial or bars.is_empty():
        return longer
    begun = bars["timestamp"][0] > starts[0]
    over = bars["timestamp"][-1] + bar_length(base) >= _bar_end(starts[-1:], timeframe)[0]
    return longer[int(begun) : longer.height - int(not over)]


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


def _bar_end(starts: pl.Series, timeframe: str) -> pl.Series:
    length = bar_length(timeframe)
    return starts + length if length <= _HOUR else _from_server(_to_server(starts) + length)


def _to_server(times: pl.Series) -> pl.Series:
    """Times of a clock on which the day begins at midnight."""
    return times.dt.convert_time_zone(_ZONE).dt.replace_time_zone(None) + _AHEAD


def _from_server(times: pl.Series) -> pl.Series:
    """Instants of that clock; 01:00 New York, which comes twice in autumn, is the first one."""
    local = (times - _AHEAD).dt.replace_time_zone(_ZONE, ambiguous="earliest")
    return local.dt.convert_time_zone("UTC").cast(TIME)


def _aggregated(bars: pl.DataFrame) -> pl.DataFrame:
    """One bar for each timestamp, in order."""
    quotes = [name for name in QUOTES if name in bars.columns]
    columns = {name: _HOW[name.rpartition("_")[2]](pl.col(name)) for name in (*PRICES, *quotes)}
    columns["volume"] = pl.col("volume").sum()
    complete = {name: pl.col(name).null_count() == 0 for name in columns}
    known = {name: pl.when(complete[name]).then(column) for name, column in columns.items()}
    return bars.group_by("timestamp", maintain_order=True).agg(**known).select(bars.columns)
