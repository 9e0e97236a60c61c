"""Which good rows are bars of their own: each time once, and in its place."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from infra.market.timeframes import bar_length
from infra.sources.columns import SourceError

_HOUR: Final = timedelta(hours=1)
_ORDERED: Final = 0.9
"""Share of steps in one direction from which a row out of place is a damaged time."""

_FOLDED: Final = 0.25
_FEW: Final = 8
_MANY: Final = 20
_FAR: Final = timedelta(days=60)
"""From all others: a first or last row that is, and no gap else, has a damaged time."""
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
    alone = _far_at_the_ends(good, steps)
    if alone.is_empty() and (len(steps) == 0 or (not short and steps.min() > timedelta(0))):  # type: ignore[operator]
        return rows
    good = good.join(alone, on="row", how="anti")
    steps = good["timestamp"].diff().drop_nulls()
    lost = [alone, _out_of_place(good, steps)]
    good = good.join(lost[1], on="row", how="anti")
    last = pl.col("source_row") == pl.col("source_row").max().over("timestamp")
    lost.append(good.filter(~last).select("row", order=pl.lit("duplicate timestamp")))
    good = good.filter(last).sort("timestamp")
    near = pl.col("timestamp").diff() * 2 < bar_length(timeframe)
    lost.append(good.filter(near).select("row", order=pl.lit("overlaps the bar before")))
    verdict = pl.concat(lost)
    joined = rows.with_row_index("row").join(verdict, on="row", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("reason", "order").alias("reason")).drop("row", "order")


def refuse_folded(raw: pl.DataFrame, rows: pl.DataFrame) -> None:
    """Refuse times of twelve hours that do not say which half of the day they are of.

    Parameters
    ----------
    raw : polars.DataFrame
        `timestamp` as written.
    rows : polars.DataFrame
        `reason`.

    Raises
    ------
    SourceError
        If many rows come twice and no hour is 0 or above 12.
    """
    twice = int((rows["reason"] == "duplicate timestamp").sum())
    if twice < _FOLDED * rows.height or twice < _FEW or raw["timestamp"].dtype != pl.String:
        return
    written = raw["timestamp"].drop_nulls()
    hours = written.str.extract(r"[T ](\d{1,2}):\d\d").cast(pl.Int8, strict=False).drop_nulls()
    halves = written.str.contains(r"(?i)\d\s*[ap]m")
    if len(hours) and not halves.any() and hours.is_between(1, 12).all() and hours.n_unique() > 9:
        raise SourceError(
            f"{twice:,} of {rows.height:,} times come twice and no hour is above 12: the file does "
            "not say which half of the day they are of; export it with 24 hours, or say "
            "time_format= if that is not so"
        )


def _far_at_the_ends(good: pl.DataFrame, steps: pl.Series) -> pl.DataFrame:
    """Find a first and a last row that are far from all others: their times are damaged."""
    rows = [
        good["row"][at]
        for at, step in ((0, 0), (-1, -1))
        if good.height >= _MANY and abs(steps[step]) > _FAR and (abs(steps[1:-1]) < _FAR).all()
    ]
    frame = pl.DataFrame({"row": rows}, schema={"row": good.schema["row"]})
    return frame.with_columns(order=pl.lit("unsorted timestamp"))


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
