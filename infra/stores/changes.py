"""What a write changes, told from the files there were and those there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from infra.bars import SCHEMA
from infra.stores.years import Years

_VALUES: Final = [name for name in SCHEMA if name != "timestamp"]
_STRETCHES: Final = 10**9
"""More than there are bars in a year."""


@dataclass(frozen=True)
class Change:
    """What a write changes.

    Attributes
    ----------
    added : polars.DataFrame
        `timestamp` of each bar that was not there, and its `stretch`: the same of neighbours
        between which no bar lay before.
    replaced : polars.DataFrame
        The rows, all of `SCHEMA`, that have other values now, as they were.
    """

    added: pl.DataFrame
    replaced: pl.DataFrame

    def __bool__(self) -> bool:
        """Say whether anything came or was replaced."""
        return not (self.added.is_empty() and self.replaced.is_empty())


def between(folder: Path, before: Years, after: Years) -> Change:
    """Compare the bars of two times; bars that went are no part of it.

    Parameters
    ----------
    folder : Path
        Of the pair and timeframe.
    before, after : mapping of str to Year
        A year of which the earlier file is lost is left out.
    """
    years = [(name, before.get(name), year) for name, year in sorted(after.items())]
    parts = [
        _of_year(int(name), folder / old.file if old else None, folder / new.file)
        for name, old, new in years
        if new != old and (old is None or (folder / old.file).exists())
    ]
    nothing = pl.DataFrame(schema={"timestamp": SCHEMA["timestamp"], "stretch": pl.Int64})
    return Change(
        pl.concat([nothing, *(added for added, _ in parts)]),
        pl.concat([pl.DataFrame(schema=SCHEMA), *(replaced for _, replaced in parts)]),
    )


def completed(bars: pl.DataFrame) -> pl.DataFrame:
    """Return bars with all columns of `SCHEMA`, in order, quotes null where they are unknown."""
    absent = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in bars]
    return bars.with_columns(absent).select(*SCHEMA, pl.exclude(*SCHEMA))


def _of_year(year: int, old: Path | None, new: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    if old is None:
        times = pl.read_parquet(new, columns=["timestamp"], glob=False)
        whole = times.with_columns(stretch=pl.lit(year * _STRETCHES, pl.Int64))
        return whole, pl.DataFrame(schema=SCHEMA)
    was, now = (completed(pl.read_parquet(path, glob=False)) for path in (old, new))
    there = now["timestamp"].is_in(was["timestamp"].implode())
    stretch = there.rle_id().cast(pl.Int64) + year * _STRETCHES
    added = now.select("timestamp", stretch=stretch).filter(~there)
    both = was.join(now, on="timestamp", suffix=" now", maintain_order="left")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name} now")) for name in _VALUES)
    return added, both.filter(differs).select(*SCHEMA)
