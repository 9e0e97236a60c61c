"""Bars from Parquet, with the types of the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from infra.sources.columns import Mapped, SourceError, map_columns

_PROBE: Final = """
import sys, polars
polars.read_parquet(sys.argv[1], glob=False, hive_partitioning=False)
"""


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
        _probe(path)
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = scan.collect_schema()
        columns = map_columns(schema.names(), path, mapping)
        _refuse_nested(path, schema, (*columns.time, *columns.values.values()))
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


def _refuse_nested(path: Path, schema: pl.Schema, names: Sequence[str]) -> None:
    nested = [f"{name!r} ({schema[name]})" for name in names if schema[name].is_nested()]
    if nested:
        raise SourceError(
            f"{path} keeps lists or records where a price or time should be: {', '.join(nested)}; "
            "write a plain column for each"
        )


def _probe(path: Path) -> None:
    """Read a file in a process of its own first: a damaged one may take the reader with it."""
    path.open("rb").close()
    command = [sys.executable, "-I", "-c", _PROBE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        messages = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise SourceError(f"{path} is no Parquet file, or a damaged one: {messages[0]}")
