"""Expectations: a small table beside a strategy that says which bar gives which signal.

`trend.test.csv` beside `trend.sep` has a row for each bar: `timestamp`, `close` and, as far as they
matter, `open`, `high`, `low` (the close where left out) and any other column of a frame; `stream`
where there are several; and `expect`, the name of the signal, `-` for none, empty for either.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from infra.bars import PRICES, TIME
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.program import Program

MOST_BYTES: Final = 4_000_000
NOTHING: Final = "-"


@dataclass(frozen=True)
class Miss:
    """A bar that gave something else than was expected."""

    timestamp: datetime
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.timestamp:%Y-%m-%d %H:%M}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Outcome:
    """How many bars had expectations, and which were missed."""

    expected: int
    misses: tuple[Miss, ...]


def beside(path: Path) -> Path:
    """Return where the expectations of a strategy lie."""
    return path.with_suffix(".test.csv")


def held(program: Program, path: Path) -> Outcome:
    """Return how a program does by a table of expectations.

    Parameters
    ----------
    program : Program
    path : pathlib.Path

    Raises
    ------
    DslError
        If the table is not there, or not one of bars.
    """
    table = _read(path)
    base = program.streams[0].name
    frames = {each.name: _of_stream(table, each.name, base) for each in program.streams}
    found = dict(program.evaluate(frames).select("timestamp", "signal").iter_rows())
    rows = frames[base].filter(pl.col("expect") != "").select("timestamp", "expect")
    if rows.is_empty():
        raise DslError(f"{path.name} expects nothing: fill the column expect")
    _known(program, path, rows)
    misses = tuple(
        Miss(time, expected, found.get(time, NOTHING))
        for time, expected in rows.iter_rows()
        if found.get(time, NOTHING) != expected
    )
    return Outcome(rows.height, misses)


def _known(program: Program, path: Path, rows: pl.DataFrame) -> None:
    names = {signal.name for signal in program.compiled().signals} | {NOTHING}
    if strange := set(rows["expect"]) - names:
        known = ", ".join(sorted(names))
        raise DslError(f"{path.name} expects {min(strange)}, where there are {known}")


def _read(path: Path) -> pl.DataFrame:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DslError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise DslError(f"{path.name} is larger than {MOST_BYTES:,} bytes")
    try:
        table = pl.read_csv(io.BytesIO(content), infer_schema=False).with_columns(
            pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC")
        )
        words = {"timestamp", "stream", "expect"}
        numbers = [name for name in table.columns if name not in words]
        typed = table.with_columns(pl.col(numbers).cast(pl.Float64))
        return typed.with_columns(pl.col("timestamp").cast(TIME), *_close_of(typed))
    except (pl.exceptions.PolarsError, UnicodeError) as error:
        first = str(error).splitlines()[0]
        raise DslError(f"{path.name} is no table of timestamp, close and expect: {first}") from None


def _close_of(table: pl.DataFrame) -> list[pl.Expr]:
    missing = [name for name in PRICES if name not in table.columns]
    filled = [pl.col("close").alias(name) for name in missing]
    present = [pl.col(name).fill_null(pl.col("close")) for name in PRICES if name not in missing]
    expect = pl.col("expect").fill_null("").str.strip_chars()
    return [*filled, *present, expect]


def _of_stream(table: pl.DataFrame, name: str, base: str) -> pl.DataFrame:
    if "stream" not in table.columns:
        return table if name == base else table.clear()
    return table.filter(pl.col("stream").fill_null(base) == name).drop("stream")
