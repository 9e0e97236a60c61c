"""Bars from Parquet, with the types of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from infra.sources.columns import Mapped, SourceError, map_columns


class Parquet(Mapped):
    """Parquet files from anywhere."""

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file; see `read_parquet`."""
        return read_parquet(path, self.columns)


def read_parquet(path: Path, mapping: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Read a file without judging any row.

    Parameters
    ----------
    path : Path
        One Parquet file.
    mapping : mapping of str to str, optional
        As in `map_columns`.

    Returns
    -------
    polars.DataFrame
        `source_row` (Int64, number of the row, from 1), `timestamp`, prices, `volume` and quotes,
        as far as the file has them, of whatever types.

    Raises
    ------
    SourceError
        If the file is missing, not Parquet, empty, or lacks columns.
    """
    try:
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        columns = map_columns(scan.collect_schema().names(), path, mapping)
        time = pl.col(columns.time[0])
        if len(columns.time) > 1:
            time = pl.concat_str(columns.time, separator=" ")
        frame = scan.select(
            time.alias("timestamp"),
            *(pl.col(source).alias(name) for name, source in columns.values.items()),
        ).collect()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path} is no Parquet file, or a damaged one: {error}") from error
    if frame.is_empty():
        raise SourceError(f"{path} holds no rows: fetch or export it again")
    index = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("source_row")
    return frame.select(index, pl.all())
