"""Bars from CSV: text with a header line, separated by comma, semicolon, tab or bar."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from infra.sources.columns import Mapped, map_columns
from infra.sources.text import Text


class Csv(Mapped):
    """Files with a header, from anywhere."""

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file; see `read_csv`."""
        return read_csv(path, self.columns)


def read_csv(path: Path, mapping: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Read a file as text, without judging any row.

    Parameters
    ----------
    path : Path
        File in UTF-8 or UTF-16, or a zip of it; bytes that are neither show up as U+FFFD.
    mapping : mapping of str to str, optional
        As in `map_columns`.

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
    text = Text.of(path)
    names = next(csv.reader([text.first_line], delimiter=text.separator), [])
    columns = map_columns(names, path, mapping)
    fields = [f"field_{i}" for i in range(len(names))]
    cells = text.fields(fields, text.separator, header=True)
    place = dict(zip(reversed(names), reversed(fields), strict=True))
    time = pl.concat_str([place[name] for name in columns.time], separator=" ")
    return cells.select(
        pl.col("source_row"),
        time.alias("timestamp"),
        *(pl.col(place[source]).alias(name) for name, source in columns.values.items()),
        pl.col("excess"),
    )
