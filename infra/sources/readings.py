"""One way to read a column of times, and text read by one form."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from infra.bars import TIME
from infra.sources.time_forms import Form, strict_pattern

NAIVE: Final = pl.Datetime("us")
EPOCHS: Final = {"epoch-s": 1e6, "epoch-ms": 1e3, "epoch-us": 1.0, "epoch-ns": 1e-3}
"""Units since 1970, and microseconds of each."""
REACH: Final = 6.2e16
"""Microseconds from 1970 to the first year, and so many beyond it."""

_FOUR_DIGITS: Final = -30_610_224_000_000_000
"""Microseconds from 1970 to the year 1000."""
_TAIL: Final = re.compile(r".*\d\d:\d\d:\d\d((?:\.0+)?\s?(?:Z|[+-]\d\d:?(?:\d\d)?)?)$")


class Reading(NamedTuple):
    """One way to read a column.

    Attributes
    ----------
    name : str
        As `time_format` takes it; empty for typed columns, which have one meaning.
    aware : polars.Series
        `Datetime("us", "UTC")`: times that name their zone; null elsewhere.
    naive : polars.Series
        `Datetime("us")`: times that do not; null elsewhere.
    order : str
        Of day and month, where the text allows several.
    why : str
        What proves it.
    """

    name: str
    aware: pl.Series
    naive: pl.Series
    order: str = ""
    why: str = ""

    @property
    def epoch(self) -> bool:
        """Whether times are counted since 1970, by whatever clock."""
        return self.name in EPOCHS

    @property
    def times(self) -> pl.Series:
        """The times that are told: local ones where there are any."""
        return self.naive if self.naive.count() else self.aware

    @property
    def read(self) -> pl.Series:
        """Whether a row has a time: Boolean."""
        return self.aware.is_not_null() | self.naive.is_not_null()


def nothing(column: pl.Series, kind: pl.DataType) -> pl.Series:
    """Return nulls of a type, as many as a column has rows.

    Parameters
    ----------
    column : polars.Series
    kind : polars.DataType
    """
    return pl.repeat(None, len(column), dtype=kind, eager=True)


def strptime(words: pl.Series, form: Form) -> tuple[pl.Series, pl.Series]:
    """Return times with a zone, and those without, of text in one form; null where it is not.

    Parameters
    ----------
    words : polars.Series
        String.
    form : Form
    """
    pattern = strict_pattern(form.form)
    if pattern is not None:
        words = words.set(~words.str.contains(pattern).fill_null(value=False), None)
    if "%H" in form.form and "%M" not in form.form:
        words, form = words + "00", form._replace(form=form.form + "%M")
    short = _with_tail(words, form)
    read = _read(words, short)
    rest = (read.is_null() & words.is_not_null()).arg_true()
    if short != form.form and len(rest):
        read = read.scatter(rest, _read(words.gather(rest), form.form))
    # of two digits: nobody knows which is the year
    read = read.set(read.dt.epoch("us") < _FOUR_DIGITS, None)
    if not form.zoned:
        return nothing(words, TIME), read
    aware = read.dt.replace_time_zone("UTC")
    return aware - timedelta(hours=form.ahead), nothing(words, NAIVE)


def _read(words: pl.Series, form: str) -> pl.Series:
    """Read text by a form, in UTC where it names an offset."""
    read = words.str.to_datetime(
        form, time_unit="us", time_zone=zone(form), strict=False, cache=False
    )
    return read.dt.replace_time_zone(None)


def _with_tail(words: pl.Series, form: Form) -> str:
    """Write an end such as `.000Z` or `+00:00` that all have into the form: it is read fast."""
    base = form.form.partition("%S")[0] + "%S"
    found = _TAIL.match(str(words[0])) if len(words) and base != form.form else None
    tail = found[1] if found is not None and form.form.startswith(base) else ""
    if not tail or not words.str.ends_with(tail).fill_null(value=False).all():
        return form.form
    ahead = tail.strip().lstrip(".0Z")
    return form.form if ahead.strip("+-:0") else base + tail


def zone(form: str) -> str | None:
    """Return the zone that strptime is to be told for a form: UTC where it reads an offset."""
    return "UTC" if "%z" in form or "%#z" in form or "%:z" in form else None


def shown(column: pl.Series) -> pl.Series:
    """Return a column that can be written: typed times beyond any calendar as their numbers."""
    if not isinstance(column.dtype, pl.Datetime):
        return column
    number = column.to_physical()
    reach = REACH * {"ms": 1e-3, "us": 1.0, "ns": 1e3}[column.dtype.time_unit]
    far = ~number.is_between(-reach, reach).fill_null(value=True)
    if not far.any():
        return column
    return column.set(far, None).cast(pl.String).fill_null(number.cast(pl.String))


def example(column: pl.Series) -> str:
    """Return the first cell that holds anything, quoted, for messages."""
    text = shown(column).cast(pl.String, strict=False).drop_nulls()
    return repr(text[0][:40]) if len(text) else "none"
