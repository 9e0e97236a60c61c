"""Files that are read as one: whether they are of one kind."""

from __future__ import annotations

from typing import Final

import polars as pl

from infra.sources.columns import SourceError
from tasks.intake.spacing import Spacing, problem

_APART: Final = 0.02
"""Share of a file's rows that may differ from another file's at the same times: revised ones."""
_LEAST: Final = 3


def refuse_other_spacing(raw: pl.DataFrame, times: pl.Series, timeframe: str) -> None:
    """Refuse files of which one has bars of another length.

    Parameters
    ----------
    raw : polars.DataFrame
        `file`, where rows are of several.
    times : polars.Series
        UTC.
    timeframe : str

    Raises
    ------
    SourceError
        It names the file.
    """
    if "file" not in raw.columns:
        return
    parts = pl.DataFrame({"file": raw["file"], "time": times}).partition_by("file", as_dict=True)
    for (name,), rows in parts.items():
        if reason := problem(Spacing.of(rows["time"], timeframe), timeframe):
            raise SourceError(f"{name}: {reason}")


def refuse_contrary(raw: pl.DataFrame, rows: pl.DataFrame) -> None:
    """Refuse files that have other prices for the same times: of another pair, side or clock.

    Parameters
    ----------
    raw : polars.DataFrame
        `file`, where rows are of several.
    rows : polars.DataFrame
        `timestamp`, `close`, `reason`.

    Raises
    ------
    SourceError
        It names two of them.
    """
    if "file" not in raw.columns:
        return
    told = rows.select("timestamp", "close", "reason").with_columns(raw["file"])
    twice = told.filter(pl.col("reason") == "duplicate timestamp")
    kept = told.filter(pl.col("reason").is_null())
    both = twice.join(kept, on="timestamp", suffix=" kept")
    other = both.filter(
        (pl.col("file") != pl.col("file kept")) & (pl.col("close") != pl.col("close kept"))
    )
    counts = told["file"].value_counts().rename({"count": "rows"})
    pairs = other.group_by("file", "file kept").len().join(counts, on="file")
    worst = pairs.filter(pl.col("len") >= pl.max_horizontal(_APART * pl.col("rows"), _LEAST))
    if not worst.is_empty():
        one, another, n, _ = worst.sort("len", descending=True).row(0)
        raise SourceError(
            f"{one} and {another} have other prices for {n:,} of the same times: files of one "
            "source are of one pair=, side and clock=; ingest them one by one, the right one last"
        )
