"""Rows in time in which nobody trades, and what they tell of the clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from infra.market.hours import calendar_of
from infra.market.instruments import SYNTHETIC
from infra.market.timeframes import bar_length
from infra.sources.columns import SourceError

_WEEKS: Final = 0.8
"""Share of weeks in which a row begins as the market closes, from which times are of the close."""
_LEAST: Final = 2
_LONGEST: Final = timedelta(hours=1)
"""Longer bars may begin at any hour before the market closes."""


def closed_out(
    rows: pl.DataFrame, timeframe: str, pair: str
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Set aside rows that lie wholly in time in which nobody trades.

    Parameters
    ----------
    rows : polars.DataFrame
        `timestamp`, prices, `reason`.
    timeframe, pair : str
        Without a pair no hours are known.

    Returns
    -------
    rows : polars.DataFrame
    notes : dict of str to int
        How many of them moved: prices that move while the market is closed have a wrong clock.
    """
    if not pair or pair in SYNTHETIC:
        return rows, {}
    start = rows["timestamp"].set(rows["reason"].is_not_null(), None)
    known = start.is_not_null()
    times = start.drop_nulls()
    shut = _shut(times, timeframe, pair)
    if not shut.any():
        return rows, {}
    closed = pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)
    closed = closed.scatter(known.arg_true(), shut)
    moved = int((closed & (rows["high"] > rows["low"])).sum())
    reason = pl.when(closed).then(pl.lit("market closed")).otherwise("reason")
    notes = {"bars that move while the market is closed": moved} if moved else {}
    return rows.with_columns(reason=reason), notes


def refuse_ends(rows: pl.DataFrame, timeframe: str, pair: str) -> None:
    """Refuse times that look like those at which bars end.

    Parameters
    ----------
    rows : polars.DataFrame
        `timestamp`, `reason`.
    timeframe, pair : str
        Without a pair no hours are known.

    Raises
    ------
    SourceError
        If week after week a row begins as the market closes, and none as it opens.
    """
    length = bar_length(timeframe)
    if not pair or pair in SYNTHETIC or length > _LONGEST:
        return
    times = rows.filter(pl.col("reason").is_null())["timestamp"].drop_nulls()
    shut, before = (_shut(at, timeframe, pair) for at in (times, times - length))
    closing = int((shut & ~before).sum())
    if closing < _LEAST or (before & ~shut).any():
        return
    weeks = (times + timedelta(days=2)).dt.truncate("1w").n_unique()  # from Saturday on
    if closing >= _WEEKS * weeks:
        raise SourceError(
            f"in {closing:,} weeks a row begins as the market closes, and none as it opens: say "
            "stamp=close if times are those at which bars end, stamp=open if not, or another clock="
        )


def _shut(times: pl.Series, timeframe: str, pair: str) -> pl.Series:
    """Return whether a bar that begins at a time lies wholly in closed time: Boolean."""
    if times.is_empty():
        return pl.Series([], dtype=pl.Boolean)
    ends = times + bar_length(timeframe)
    return calendar_of(pair).open_time(times, ends, surely=False) == timedelta(0)
