"""Timestamps as files write them: which readings a column allows, and the one that is proved.

A column has one meaning. All of it is read in every way that its text allows (day before month or
behind it, seconds or milliseconds, HHMM or HHMMSS whose zeros a spreadsheet took); a way that reads
fewer rows than another is no way. Where several are left, the caller may know which of them fits
(`choose`); otherwise the column is refused with the option that says it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from infra.bars import TIME
from infra.sources.columns import SourceError
from infra.sources.epochs import in_reach, of_numbers
from infra.sources.readings import EPOCHS, NAIVE, Reading, example, nothing, strptime, zone
from infra.sources.time_forms import Form, forms_of, is_blank

_SAMPLE: Final = 256
_ROUNDS: Final = 6
"""How often what is left unread is looked at for one more form."""
_STRAYS: Final = 0.01
"""Share of rows that may speak against what all others say: they are damaged, and set aside."""
_ORDERS: Final = ("day-first", "month-first", "year-first")
_PADS: Final = {6: "%H%M%S", 4: "%H%M", 2: "%H", 9: "%H%M%S%3f"}
"""Times of day in digits, by how many there are before a spreadsheet took the zeros."""

Choose = Callable[[Sequence[Reading]], Sequence[Reading]]


def read_times(
    column: pl.Series,
    of_day: pl.Series | None = None,
    *,
    declared: str | None = None,
    choose: Choose | None = None,
) -> Reading:
    """Read a column of timestamps of whatever type.

    Parameters
    ----------
    column : polars.Series
        Text, numbers since 1970, Datetime or Date; text of a date and, behind a blank, `of_day`.
    of_day : polars.Series, optional
        Text of the time of day alone, where a file has it in a column of its own.
    declared : str, optional
        `day-first`, `month-first`, `year-first`, `epoch-s` (`-ms`, `-us`, `-ns`), `excel`, or a
        form as of strptime.
    choose : callable, optional
        Returns those of several readings that can be right.

    Raises
    ------
    SourceError
        If the column has several meanings, or not the one declared.
    """
    readings = _readings(column, of_day, declared)
    if not any(reading.read.any() for reading in readings):
        _refuse_unreadable(column)
    if len(readings) > 1:
        readings = _without_less_read(readings, column)
    if len(readings) > 1 and choose is not None and len(fitting := choose(readings)) == 1:
        return fitting[0]._replace(why="no other reading has rows as far apart")
    if len(readings) > 1:
        raise SourceError(_undecided(readings, column))
    return readings[0]


def _refuse_unreadable(column: pl.Series) -> None:
    text = column.cast(pl.String, strict=False) if not column.dtype.is_nested() else None
    if text is not None and not is_blank(text).all():
        raise SourceError(
            f"times such as {example(column)} cannot be read: say time_format=, such as "
            "time_format='%d.%m.%Y %H:%M', or columns= if these are no times"
        )


def check_form(form: str) -> None:
    """Raise ValueError if `time_format` cannot be this."""
    if form in (*_ORDERS, *EPOCHS, "excel"):
        return
    if "%" not in form:
        raise ValueError(
            f"time_format={form!r} is none: take {', '.join((*_ORDERS, *EPOCHS, 'excel'))}, or a "
            "form such as %d.%m.%Y %H:%M"
        )
    try:
        pl.Series(["x"]).str.to_datetime(form, strict=False, time_zone=zone(form))
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"time_format={form!r} is none: {str(error).splitlines()[0]}") from error


def _readings(column: pl.Series, of_day: pl.Series | None, declared: str | None) -> list[Reading]:
    kind = column.dtype
    if kind == pl.String:
        return _of_text(column, of_day, declared)
    if kind.is_numeric():
        return _declared_only(of_numbers(column, declared), column, declared)
    if declared is not None:
        raise SourceError(f"time_format={declared} cannot apply: times are of the type {kind}")
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return [Reading("", in_reach(column).cast(TIME), nothing(column, NAIVE))]
    if kind in (pl.Datetime, pl.Date):
        return [Reading("", nothing(column, TIME), in_reach(column).cast(NAIVE))]
    return [Reading("", nothing(column, TIME), nothing(column, NAIVE))]


def _declared_only(
    readings: list[Reading], column: pl.Series, declared: str | None
) -> list[Reading]:
    """Return the reading that is declared, of all if any is."""
    if declared is None:
        return readings or [Reading("", nothing(column, TIME), nothing(column, NAIVE))]
    chosen = [reading for reading in readings if reading.name == declared]
    _refuse_unread(chosen[:1], column, declared)
    return [chosen[0]._replace(why="declared")]


def _refuse_unread(readings: Sequence[Reading], column: pl.Series, declared: str) -> None:
    """Raise SourceError where what is declared reads nothing."""
    if not any(reading.read.any() for reading in readings):
        raise SourceError(
            f"time_format={declared} cannot apply: it reads none of the times, such as "
            f"{example(column)}"
        )


def _of_text(column: pl.Series, of_day: pl.Series | None, declared: str | None) -> list[Reading]:
    sample = _sampled(column)
    if of_day is not None and _mostly_digits(_sampled(of_day)):
        if declared is not None and "%" in declared:
            return _by_form(_padded(column, of_day, _width(declared)), declared)
        readings = [
            reading
            for width, form in _PADS.items()
            if _fits(of_day, width)
            for reading in _of_forms(_padded(column, of_day, width), form)
        ]
        return _kept_order(readings, column, declared)
    if declared is not None and "%" in declared:
        return _by_form(column, declared)
    if _mostly_digits(sample):
        digits = column.str.strip_chars()
        return _declared_only(of_numbers(digits, declared), column, declared)
    return _kept_order(_of_forms(column), column, declared)


def _kept_order(readings: list[Reading], column: pl.Series, declared: str | None) -> list[Reading]:
    """Return the readings with the order of day and month that is declared."""
    if declared is None or is_blank(column).all():
        return readings
    chosen = [reading for reading in readings if declared == reading.order]
    _refuse_part(chosen, readings, column, declared)
    if not chosen:
        raise SourceError(
            f"time_format={declared} cannot apply to times such as {example(column)}, whose day "
            "and month stand where they stand"
        )
    _refuse_unread(chosen, column, declared)
    return [reading._replace(why="declared") for reading in chosen]


def _by_form(column: pl.Series, declared: str) -> list[Reading]:
    zoned = zone(declared) is not None
    aware, naive = strptime(column.str.strip_chars(), Form(declared, zoned))
    chosen = _declared_only([Reading(declared, aware, naive)], column, declared)
    _refuse_part(chosen, _of_forms(column), column, declared)
    return chosen


def _refuse_part(
    chosen: Sequence[Reading], others: Sequence[Reading], column: pl.Series, declared: str
) -> None:
    """Raise SourceError where what is declared reads clearly fewer rows than something else."""
    one = max(chosen, key=lambda reading: int(reading.read.sum()), default=None)
    read = 0 if one is None else int(one.read.sum())
    for other in others:
        if one is not None and read and read < (1 - _STRAYS) * int(other.read.sum()):
            odd = example(column.filter(other.read & ~one.read))
            raise SourceError(
                f"time_format={declared} cannot apply: it does not read times such as {odd}, "
                f"which are {other.name}"
            )


def _sampled(column: pl.Series) -> pl.Series:
    """Cells from all over a column that hold anything."""
    step = max(len(column) // _SAMPLE, 1)
    if len(column) > 2 * _SAMPLE:
        column = pl.concat([column.head(_SAMPLE // 8), column.gather_every(step), column.tail(8)])
    return column.filter(~is_blank(column))


def _mostly_digits(sample: pl.Series) -> bool:
    return 2 * int(sample.str.contains(r"^\s*\d+(\.\d+)?\s*$").sum()) > len(sample)


def _of_forms(column: pl.Series, of_day: str | None = None) -> list[Reading]:
    """Read text by the forms that its cells have: one reading for each order of day and month."""
    orders: dict[str, list[Form]] = {}
    for cell in _sampled(column).unique(maintain_order=True):
        for order, form in forms_of(cell, of_day).items():
            orders.setdefault(order, []).append(form)
    common = orders.pop("", [])
    kept = orders or {"": []}
    return [_one_way(column, order, [*forms, *common], of_day) for order, forms in kept.items()]


def _one_way(column: pl.Series, order: str, forms: Sequence[Form], of_day: str | None) -> Reading:
    """Read by one form after the other, the likely ones first, then by what the rest looks like."""
    likely = sorted(set(forms), key=forms.count, reverse=True)
    aware, naive = nothing(column, TIME), nothing(column, NAIVE)
    used: set[Form] = set()
    for _ in range(_ROUNDS):
        for form in likely:
            rest = (aware.is_null() & naive.is_null()).arg_true()
            if rest.is_empty():
                break
            whole = len(rest) == len(column)
            read, local = strptime(column if whole else column.gather(rest), form)
            aware = read if whole else aware.scatter(rest, read)
            naive = local if whole else naive.scatter(rest, local)
        used |= set(likely)
        left = (
            _sampled(column.filter(aware.is_null() & naive.is_null()))
            .unique(maintain_order=True)
            .head(64)
        )
        guesses = [forms_of(cell, of_day) for cell in left]
        likely = list({f for guess in guesses for o, f in guess.items() if o in ("", order)} - used)
        if not likely:
            break
    shown = max(forms, key=forms.count).form if forms else ""
    return Reading(order if order and of_day is None else shown, aware, naive, order)


def _padded(column: pl.Series, of_day: pl.Series, width: int) -> pl.Series:
    """Put the zeros back before times of day: `20240603 100` is `20240603 000100`."""
    frame = pl.DataFrame({"whole": column, "time": of_day.str.strip_chars()})
    date = pl.col("whole").str.strip_chars().str.strip_suffix(pl.col("time")).str.strip_chars()
    time = pl.when(pl.col("time").str.contains(rf"^\d{{1,{width}}}$")).then(
        pl.col("time").str.zfill(width)
    )
    return frame.select(pl.concat_str(date, pl.lit(" "), time)).to_series()


def _fits(of_day: pl.Series, width: int) -> bool:
    """Whether times of day may have so many digits; where the first is written, just so many."""
    digits = of_day.drop_nulls().str.strip_chars()
    digits = digits.filter(digits.str.contains(r"^\d+$"))
    lengths = digits.str.len_bytes().unique().to_list()
    if not lengths or (longest := max(lengths)) > width:
        return False
    written = digits.str.starts_with("0") & (digits.str.len_bytes() > 1)
    return longest == width if written.any() else True


def _width(form: str) -> int:
    return next((width for width, time in _PADS.items() if form.endswith(time)), 6)


def _without_less_read(readings: Sequence[Reading], column: pl.Series) -> list[Reading]:
    """Leave out readings that cannot read what another one reads.

    Raises
    ------
    SourceError
        If rows speak for one and other rows for another.
    """
    most = max(int(reading.read.sum()) for reading in readings)
    best = next(reading for reading in readings if int(reading.read.sum()) == most)
    kept = [best]
    for reading in readings:
        if reading is best or _same(reading, best):
            continue
        alone = int((best.read & ~reading.read).sum())
        against = int((reading.read & ~best.read).sum())
        if alone == 0:  # nor does the other read more, as none does than the best
            kept.append(reading)
        elif against > _STRAYS * most and reading.order != best.order:
            odd = example(column.filter(reading.read & ~best.read))
            raise SourceError(
                f"of the times, {alone:,} can be read {best.order} alone and {against:,} "
                f"{reading.order} alone, such as {odd}: the file mixes both, so time_format= "
                "cannot tell either: export it again"
            )
    return kept


def _same(one: Reading, other: Reading) -> bool:
    return one.aware.equals(other.aware) and one.naive.equals(other.naive)


def _undecided(readings: Sequence[Reading], column: pl.Series) -> str:
    ways = []
    for reading in readings:
        time = reading.times
        at = time.is_not_null().arg_true()
        ways.append(f"{time[at[0]]:%Y-%m-%d %H:%M:%S} by time_format={reading.name}")
    return (
        f"times such as {example(column)} can be {' or '.join(ways)}, and no row tells which: "
        "say it"
    )
