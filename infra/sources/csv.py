"""Bars from CSV: text with a header line, separated by comma, semicolon, tab or bar."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl

from infra.sources.columns import SourceError, map_columns

_SEPARATORS = ",;\t|"
_HEAD = 65_536


def read_csv(path: Path) -> pl.DataFrame:
    """Read a file as text, without judging any row.

    Parameters
    ----------
    path : Path
        File in UTF-8; bytes that are not show up as U+FFFD.

    Returns
    -------
    polars.DataFrame
        `source_row` (Int64, number of the line, 1 the header), `timestamp`, prices, `volume` and
        quotes as String, as far as the file has them, and `excess`, what a line has behind its
        last field. Blank lines are left out.

    Raises
    ------
    SourceError
        If the file is missing, empty, binary, HTML, or lacks columns.
    """
    names, separator = _header(path)
    columns = map_columns(names, path)
    fields = [f"field_{i}" for i in range(len(names))]
    parts = pl.col("line").str.splitn(separator, len(names) + 1)
    cells = (
        _lines(path).with_columns(parts.struct.rename_fields([*fields, "excess"])).unnest("line")
    )
    place = dict(zip(reversed(names), reversed(fields), strict=True))
    clean = {name: pl.col(field).str.strip_chars(' "') for name, field in place.items()}
    time = pl.concat_str([clean[name] for name in columns.time], separator=" ")
    frame = cells.select(
        pl.col("source_row"),
        time.alias("timestamp"),
        *(clean[source].alias(name) for name, source in columns.values.items()),
        pl.col("excess"),
    )
    if frame.is_empty():
        raise SourceError(f"{path} holds a header and no bars: fetch or export it again")
    return frame


def _header(path: Path) -> tuple[list[str], str]:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    if not text:
        raise SourceError(f"{path} is empty: fetch or export it again")
    if b"\0" in head:
        raise SourceError(f"{path} is binary, not CSV: unpack it, or use source=parquet")
    if text[:5].lower() in ("<!doc", "<html", "<?xml"):
        raise SourceError(f"{path} is a web page, not CSV: the download needs a login or moved")
    line = head.decode("utf-8-sig", errors="replace").splitlines()[0]
    separator = max(_SEPARATORS, key=line.count)
    return next(csv.reader([line], delimiter=separator)), separator


def _lines(path: Path) -> pl.DataFrame:
    try:
        lines = pl.read_lines(path, glob=False)
    except pl.exceptions.ComputeError:  # not UTF-8
        lines = pl.read_lines(path.read_bytes().decode(errors="replace").encode())
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("source_row")
    numbered = lines.select(number, pl.col("line").str.strip_chars(" \r")).slice(1)
    return numbered.filter(pl.col("line").str.len_bytes() > 0)
