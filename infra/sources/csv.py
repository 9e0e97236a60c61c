"""Bars from CSV: text with a header line, separated by comma, semicolon, tab or bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from infra.sources.columns import Columns, Mapped, SourceError, map_columns
from infra.sources.text import Text, cells_of, separator_of

_PREAMBLE: Final = 25
"""Lines that may come before the header."""
_STACK: Final = ("Price", "Ticker")


@dataclass(frozen=True)
class _Header:
    """The names of a file's fields, and how many lines come before its first row."""

    names: tuple[str, ...]
    separator: str
    lines: int
    columns: Columns
    ticker: str | None = None


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
        File in UTF-8 or UTF-16, packed or not; bytes that are neither show up as U+FFFD.
    mapping : mapping of str to str, optional
        As in `map_columns`; numbers of columns (from 1) where the file has no header.

    Returns
    -------
    polars.DataFrame
        `source_row` (Int64, number of the line, 1 the header), `timestamp`, prices, `volume` and
        quotes as String, as far as the file has them, and `excess`, what a line has behind its
        last field; `time_of_day`, where it stands beside a date; `ticker`
        where the file has it; `header_clock` and `header_ends`, what the header says of the times.
        Records without content are left out.

    Raises
    ------
    SourceError
        If the file is missing, empty, binary, HTML, or lacks columns.
    """
    text = Text.of(path)
    header = _header(text, mapping or {})
    fields = [f"field_{i}" for i in range(len(header.names))]
    cells = text.fields(fields, header.separator, header=header.lines)
    place = dict(zip(reversed(header.names), reversed(fields), strict=True))
    columns = header.columns
    times = [pl.col(place[name]) for name in columns.time]
    return cells.select(
        pl.col("source_row"),
        (pl.concat_str(times, separator=" ") if times[1:] else times[0]).alias("timestamp"),
        *(pl.col(place[source]).alias(name) for name, source in columns.values.items()),
        *(time.alias("time_of_day") for time in times[1:]),
        *_named(header, place),
        pl.col("excess"),
    )


def columns_of(path: Path, mapping: Mapping[str, str] | None = None) -> Columns:
    """Return which columns of a file are taken for what; see `read_csv`.

    Parameters
    ----------
    path : Path
    mapping : mapping of str to str, optional

    Raises
    ------
    SourceError
        If it is not a file of bars.
    """
    return _header(Text.of(path), mapping or {}).columns


def _named(header: _Header, place: Mapping[str, str]) -> list[pl.Expr]:
    """Return what a file says of its rows beside their values: ticker, clock, which end it is."""
    columns = header.columns
    if columns.ticker is not None:
        return [pl.col(place[columns.ticker]).alias("ticker"), *columns.said()]
    stacked = [pl.lit(header.ticker).alias("ticker")] if header.ticker is not None else []
    return [*stacked, *columns.said()]


def _header(text: Text, mapping: Mapping[str, str]) -> _Header:
    """Find the line that names the columns of bars."""
    lines = text.head.splitlines()[:_PREAMBLE]
    if mapping and all(name.isdecimal() for name in mapping.values()):
        return _without(lines, text.path, mapping)
    error: SourceError | None = None
    for number, line in enumerate(lines):
        separator = separator_of(lines[number:])
        names = cells_of(line, separator)
        if stacked := _stacked(lines[number : number + 3], separator):
            return stacked
        try:
            columns = map_columns(names, text.path, mapping)
        except SourceError as none:
            error = error or (none if line.strip() else None)
            continue
        return _Header(tuple(names), separator, number + 1, columns)
    raise error or SourceError(f"{text.path} holds no bars: fetch or export it again")


def _without(lines: list[str], path: Path, mapping: Mapping[str, str]) -> _Header:
    """Number the fields of a file without a header."""
    separator = separator_of(lines)
    names = [str(number) for number in range(1, len(cells_of(lines[0], separator)) + 1)]
    return _Header(tuple(names), separator, 0, map_columns(names, path, mapping))


def _stacked(lines: list[str], separator: str) -> _Header | None:
    """Read the three lines of yfinance: what columns hold, of which ticker, the time's name."""
    rows = [cells_of(line, separator) for line in lines]
    if [row[0] for row in rows if row] not in ([*_STACK, "Date"], [*_STACK, "Datetime"]):
        return None
    names = ["Datetime", *rows[0][1:]]
    tickers = set(rows[1][1:])
    columns = map_columns(names, Path("Ticker"))
    ticker = tickers.pop() if len(tickers) == 1 else None
    return _Header(tuple(names), separator, 3, columns, ticker)
