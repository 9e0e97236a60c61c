"""Bars from Parquet and Arrow files (Feather, IPC), with the types of the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl
import polars.selectors as cs

from infra.sources.archive import DENSEST
from infra.sources.columns import Columns, Mapped, SourceError, map_columns

_PROBE: Final = """
import sys, polars
path, kind, most = sys.argv[1:]
if kind == "parquet":
    scan = polars.scan_parquet(path, glob=False, hive_partitioning=False)
elif kind == "stream":
    scan = polars.read_ipc_stream(path).lazy()
else:
    scan = polars.scan_ipc(path)
cells = scan.select(polars.len()).collect().item() * len(scan.collect_schema())
if cells > int(most):
    sys.exit(f"it would unpack to {cells:,} cells, more than bars of its size can have")
scan.collect()
"""
_FREE: Final = 1_000_000
"""Cells that any file may have; beyond, `DENSEST` bytes of them to each of the file's."""
_MAGIC: Final = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "stream"}
_FEATHER_1: Final = b"FEA1"


class Parquet(Mapped):
    """Parquet and Arrow files from anywhere."""

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file; see `read_parquet`."""
        return read_parquet(path, self.columns)


def read_parquet(path: Path, mapping: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Read a file without judging any row.

    Parameters
    ----------
    path : Path
        One file of Parquet, Feather (version 2) or Arrow IPC, as a file or a stream.
    mapping : mapping of str to str, optional
        As in `map_columns`.

    Returns
    -------
    polars.DataFrame
        `source_row` (Int64, number of the row, from 1), `timestamp`, prices, `volume` and quotes,
        as far as the file has them, of whatever types; `ticker`, `time_of_day` and what the names
        say, as of `infra.sources.csv.read_csv`.

    Raises
    ------
    SourceError
        If the file is missing, not of these, empty, or lacks columns.
    """
    try:
        kind = _kind(path)
        _probe(path, kind)
        frame = _selected(_scan(path, kind), path, mapping or {})
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path} is no Parquet file, or a damaged one: {error}") from error
    if frame.is_empty():
        raise SourceError(f"{path} holds no rows: fetch or export it again")
    index = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("source_row")
    return frame.select(index, pl.all())


def columns_of(path: Path, mapping: Mapping[str, str] | None = None) -> Columns:
    """Return which columns of a file are taken for what; see `read_parquet`.

    Parameters
    ----------
    path : Path
    mapping : mapping of str to str, optional

    Raises
    ------
    SourceError
        If it is not a file of bars.
    """
    try:
        names = _scan(path, _kind(path)).collect_schema().names()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{path} is no Parquet file, or a damaged one: {error}") from error
    return map_columns(names, path, mapping or {})


def is_columnar(path: Path) -> bool:
    """Whether a file begins as Parquet or Arrow does."""
    with path.open("rb") as file:
        begin = file.read(6)
    return any(begin.startswith(magic) for magic in (*_MAGIC, _FEATHER_1))


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        begin = file.read(6)
    if begin.startswith(_FEATHER_1):
        raise SourceError(f"{path} is Feather of version 1: write it again as version 2 or Parquet")
    return next((kind for magic, kind in _MAGIC.items() if begin.startswith(magic)), "parquet")


def _scan(path: Path, kind: str) -> pl.LazyFrame:
    if kind == "parquet":
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)
    if kind == "stream":
        return pl.read_ipc_stream(path).lazy()
    return pl.read_ipc(path).lazy()


def _selected(scan: pl.LazyFrame, path: Path, mapping: Mapping[str, str]) -> pl.DataFrame:
    schema = scan.collect_schema()
    columns = map_columns(schema.names(), path, mapping)
    used = (*columns.time, *columns.values.values())
    _refuse_nested(path, schema, used)
    words = cs.by_dtype(pl.Categorical, pl.Enum) | cs.categorical() | cs.enum()
    scan = scan.with_columns(words.cast(pl.String), cs.decimal().cast(pl.Float64))
    times = [pl.col(name) for name in columns.time]
    of_day = times[1:] if all(schema[name] == pl.String for name in columns.time) else []
    named = [pl.col(name).cast(pl.String) for name in (columns.ticker,) if name is not None]
    return scan.select(
        (pl.concat_str(times, separator=" ") if times[1:] else times[0]).alias("timestamp"),
        *(pl.col(source).alias(name) for name, source in columns.values.items()),
        *(time.alias("time_of_day") for time in of_day),
        *(name.alias("ticker") for name in named),
        *columns.said(),
    ).collect()


def _refuse_nested(path: Path, schema: pl.Schema, names: Sequence[str]) -> None:
    nested = [f"{name!r} ({schema[name]})" for name in names if schema[name].is_nested()]
    if nested:
        raise SourceError(
            f"{path} keeps lists or records where a price or time should be: {', '.join(nested)}; "
            "write a plain column for each"
        )


def _probe(path: Path, kind: str) -> None:
    """Read a file in a process of its own first: a damaged one may take the reader with it."""
    path.open("rb").close()
    most = _FREE + DENSEST * path.stat().st_size // 8
    command = [sys.executable, "-I", "-c", _PROBE, str(path), kind, str(most)]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        messages = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise SourceError(f"{path} is no Parquet or Arrow file, or a damaged one: {messages[0]}")
