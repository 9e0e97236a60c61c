"""Frames as they were known at a bar: what came later is cut off, or absurd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from infra.market.days import bar_end


def truncated(
    frames: Mapping[str, pl.DataFrame], timeframes: Mapping[str, str], base: str, rows: int
) -> dict[str, pl.DataFrame]:
    """Only what was known at the close of the base's last row: bars that had closed by then."""
    now = bar_end(frames[base]["timestamp"], timeframes[base])[rows - 1]
    return {
        name: each.filter(bar_end(each["timestamp"], timeframes[name]) <= now)
        for name, each in frames.items()
    }


def poisoned(
    frames: Mapping[str, pl.DataFrame], timeframes: Mapping[str, str], base: str, rows: int
) -> dict[str, pl.DataFrame]:
    """All that was not known then is absurd: NaN, infinite, huge, or null."""
    now = bar_end(frames[base]["timestamp"], timeframes[base])[rows - 1]
    found = {}
    for name, each in frames.items():
        later = bar_end(each["timestamp"], timeframes[name]) > now
        found[name] = each.with_columns(
            pl.when(later).then(_absurd(number)).otherwise(pl.col(column)).alias(column)
            for number, column in enumerate(each.columns)
            if each[column].dtype == pl.Float64
        )
    return found


def _absurd(number: int) -> float | None:
    return (float("nan"), float("inf"), 1e300, None, -1.0)[number % 5]


def timeframes_of(streams: Sequence[object]) -> dict[str, str]:
    return {each.name: each.timeframe for each in streams}  # type: ignore[attr-defined]
