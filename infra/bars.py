"""The words of a bar: its columns, their types and order, and the hash of its content."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import polars as pl

SCHEMA_VERSION: Final = "1"
PRICES: Final = ("open", "high", "low", "close")
QUOTES: Final = tuple(f"{side}_{price}" for side in ("bid", "ask") for price in PRICES)
TIME: Final = pl.Datetime("us", "UTC")
SCHEMA: Final[dict[str, pl.DataType]] = {
    "timestamp": TIME,
    **{name: pl.Float64() for name in (*PRICES, "volume", *QUOTES)},
}
"""Columns of bars, the quotes at the end: they are there where the source has them."""


def schema(*, quotes: bool) -> pl.Schema:
    """Return the columns of bars with or without quotes."""
    return pl.Schema({n: kind for n, kind in SCHEMA.items() if quotes or n not in QUOTES})


def within(start: datetime | None, end: datetime | None) -> list[pl.Expr]:
    """Return what bars with start <= timestamp < end fulfil; None sets no limit.

    Parameters
    ----------
    start, end : datetime or None
        With a zone.
    """
    time = pl.col("timestamp")
    first = [] if start is None else [time >= start]
    return first if end is None else [*first, time < end]


def without_empty_quotes(bars: pl.DataFrame) -> pl.DataFrame:
    """Return bars less the quotes that none of them has: other years' have no say in these."""
    given = any(name in bars.columns and bars[name].count() for name in QUOTES)
    return bars if given else bars.drop(QUOTES, strict=False)


def content_hash(bars: pl.DataFrame) -> str:
    """Return a hash of the rows of a frame: names, values and nulls, nothing of the file."""
    digest = hashlib.sha256(SCHEMA_VERSION.encode())
    for column in bars.rechunk():
        digest.update(column.name.encode())
        # apart from the values, where a null counts as 0
        digest.update(column.is_null().to_numpy().tobytes())
        digest.update(column.to_physical().fill_null(0).to_numpy().tobytes())
    return digest.hexdigest()
