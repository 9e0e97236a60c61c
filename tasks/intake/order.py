"""Which good rows are bars of their own: each time once, and in its place."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from infra.market.timeframes import bar_length

_HOUR: Final = timedelta(hours=1)
_ORDERED: Final = 0.9
"""Share of steps in one direction from which a row out of place is a damaged time."""

_NEAR: Final = timedelta(days=4)
"""A row further from all others than a weekend did not just come late."""


def in_order(rows: pl.DataFrame, timeframe: str) -> pl.DataFrame:
    """Among good rows: the last of a timestamp stays, none overlaps, none is out of its place.

    Rows may come in any order, the newest first as well. Where nearly all go one way, a single row
    between two that follow one another has a damaged time if another row has that time, too, or
    none is near it.

    Parameters
    ----------
    rows : polars.DataFrame
        `source_row`, `timestamp`, `reason`.
    timeframe : str
    """
    good = rows.with_row_index("row").filter(pl.col("reason").is_null())
    steps = good["timestamp"].diff().drop_nulls()
    short = bar_length(timeframe) > 2 * _HOUR and bool((steps < bar_length(timeframe)).any())
    if len(steps) == 0 or (not short and steps.min() > timedelta(0)):  # type: ignore[operator]
        return rows
    lost = [_out_of_place(good, steps)]
    good = good.join(lost[0], on="row", how="anti")
    last = pl.col("source_row") == pl.col("source_row").max().over("timestamp")
    lost.append(good.filter(~last).select("row", order=pl.lit("duplicate timestamp")))
    good = good.filter(last).sort("timestamp")
    near = pl.col("timestamp").diff() * 2 < bar_length(timeframe)
    lost.append(good.filter(near).select("row", order=pl.lit("overlaps the bar before")))
    verdict = pl.concat(lost)
    joined = rows.with_row_index("row").join(verdict, on="row", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("reason", "order").alias("reason")).drop("row", "order")


def _out_of_place(good: pl.DataFrame, steps: pl.Series) -> pl.DataFrame:
    """Find single rows out of line in a file that goes forward, or backward."""
    forward = int((steps > timedelta(0)).sum())
    backward = int((steps < timedelta(0)).sum())
    nothing = pl.DataFrame(schema={"row": good.schema["row"], "order": pl.String})
    if max(forward, backward) < _ORDERED * len(steps) or min(forward, backward) == 0:
        return nothing
    time = pl.col("timestamp") if forward > backward else -pl.col("timestamp").dt.epoch("us")
    line = good.select("row", time=time.cast(pl.Int64))
    for ahead in (True, False):  # a row too late is told before those behind it seem too early
        now, before, after = pl.col("time"), pl.col("time").shift(1), pl.col("time").shift(-1)
        between = before.fill_null(after - 1) < after.fill_null(before + 1)
        odd = (now > after) if ahead else (now < before)
        line = line.filter(~(between & odd).fill_null(value=False))
    late = good.join(line, on="row", how="anti")
    return _lost(late, good.join(line, on="row", how="semi"))


def _lost(late: pl.DataFrame, line: pl.DataFrame) -> pl.DataFrame:
    """Return the rows out of place whose time another row has, or that is far from all others."""
    others = line.select(other="timestamp").sort("other")
    near = late.select("row", "timestamp").sort("timestamp")
    near = near.join_asof(
        others, left_on="timestamp", right_on="other", strategy="nearest", coalesce=False
    )
    away = (pl.col("timestamp") - pl.col("other")).abs()
    lost = near.filter((away == timedelta(0)) | (away > _NEAR) | away.is_null())
    return lost.select("row", order=pl.lit("unsorted timestamp"))
