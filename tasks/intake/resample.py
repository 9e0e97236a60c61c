"""Longer bars from shorter ones, with days that begin at 17:00 New York."""

from __future__ import annotations

from typing import Final

import polars as pl

from infra.bars import PRICES, QUOTES
from infra.market.days import bar_end, bar_start
from infra.market.timeframes import bar_length

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
        Columns of `infra.bars.SCHEMA`, the quotes optional; sorted by time.
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
    over = bars["timestamp"][-1] + bar_length(base) >= bar_end(starts[-1:], timeframe)[0]
    return longer[int(begun) : longer.height - int(not over)]


def _aggregated(bars: pl.DataFrame) -> pl.DataFrame:
    """One bar for each timestamp, in order."""
    quotes = [name for name in QUOTES if name in bars.columns]
    columns = {name: _HOW[name.rpartition("_")[2]](pl.col(name)) for name in (*PRICES, *quotes)}
    columns["volume"] = pl.col("volume").sum()
    complete = {name: pl.col(name).null_count() == 0 for name in columns}
    aggregated = {name: pl.when(complete[name]).then(column) for name, column in columns.items()}
    return bars.group_by("timestamp", maintain_order=True).agg(**aggregated).select(bars.columns)
