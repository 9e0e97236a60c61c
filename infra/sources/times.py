"""Timestamps as files write them: text in many forms, numbers since 1970, typed columns."""

from __future__ import annotations

from itertools import product
from typing import Final

import polars as pl

from infra.bars import TIME

NAIVE: Final = pl.Datetime("us")
_CLOCKS = ("%H:%M:%S%.f", "%H:%M", "%H%M%S", "%H%M%S%3f")
_DAYS = ("%Y-%m-%d", "%Y%m%d", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y")
_FORMS: Final[tuple[tuple[str, bool], ...]] = (
    *(
        (f"{day}{between}{clock}{zone}", bool(zone))
        for day, between, clock, zone in product(_DAYS, "T ", _CLOCKS, ("%#z", ""))
    ),
    *((day, False) for day in _DAYS),
)
"""Forms of timestamps, and whether they name a zone; no text fits two of them."""
_SAMPLE = 64


def read_times(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Read a column of timestamps of whatever type.

    Parameters
    ----------
    column : polars.Series
        Text, whole numbers (seconds, milli-, micro- or nanoseconds since 1970, told by their
        size), Datetime or Date.

    Returns
    -------
    aware : polars.Series
        `Datetime("us", "UTC")`: times that name their zone; null elsewhere.
    naive : polars.Series
        `Datetime("us")`: times that do not; null elsewhere.
    """
    kind = column.dtype
    if kind == pl.String:
        return _read_text(column)
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return column.dt.convert_time_zone("UTC").cast(TIME), _nothing(column, NAIVE)
    if kind in (pl.Datetime, pl.Date):
        return _nothing(column, TIME), column.cast(NAIVE)
    if kind.is_integer():
        return _epoch(column), _nothing(column, NAIVE)
    return _nothing(column, TIME), _nothing(column, NAIVE)


def _nothing(column: pl.Series, kind: pl.DataType) -> pl.Series:
    return pl.repeat(None, len(column), dtype=kind, eager=True)


def _read_text(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Try one form after the other on what none before it could read, the likely ones first."""
    text = column.str.strip_chars().str.replace(r"(?i)\s*(Z|UTC|GMT)$", "+0000")
    digits = text.str.contains(r"^\d{9,19}$")
    aware, naive = _epoch(text.set(~digits, None)), _nothing(text, NAIVE)
    sample = text.filter(text.is_not_null()).head(_SAMPLE)
    for form, zoned in sorted(_FORMS, key=lambda form: _strptime(sample, *form).null_count()):
        rest = (aware.is_null() & naive.is_null() & text.is_not_null()).arg_true()
        if rest.is_empty():
            break
        read = _strptime(text.gather(rest), form, zoned)
        if zoned:
            aware = aware.scatter(rest, read)
        else:
            naive = naive.scatter(rest, read)
    return aware, naive


def _strptime(words: pl.Series, form: str, zoned: bool) -> pl.Series:
    zone = "UTC" if zoned else None
    read = words.str.to_datetime(form, time_unit="us", time_zone=zone, strict=False)
    return read.set(read.dt.year() < 1000, None)  # of two digits: nobody knows which is the year


def _epoch(numbers: pl.Series) -> pl.Series:
    n = pl.col("n")
    micro = (
        pl.when(n.abs() < 10**11)
        .then(n * 1_000_000)
        .when(n.abs() < 10**14)
        .then(n * 1_000)
        .when(n.abs() < 10**17)
        .then(n)
        .otherwise(n // 1_000)
    )
    whole = numbers.cast(pl.Int64, strict=False).alias("n").to_frame()
    return whole.select(micro.cast(TIME)).to_series()
