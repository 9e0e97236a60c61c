"""Times that are numbers: since 1970 in any unit, digits of a date, days of a spreadsheet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from infra.bars import TIME
from infra.sources.columns import SourceError
from infra.sources.readings import EPOCHS, NAIVE, REACH, Reading, example, nothing, strptime
from infra.sources.time_forms import Form

_DIGITS: Final = {
    8: ("%Y%m%d", "%d%m%Y", "%m%d%Y"),
    10: ("%Y%m%d%H", "%y%m%d%H%M", "%d%m%y%H%M"),
    12: ("%Y%m%d%H%M", "%y%m%d%H%M%S", "%d%m%Y%H%M", "%m%d%Y%H%M"),
    14: ("%Y%m%d%H%M%S", "%d%m%Y%H%M%S"),
    17: ("%Y%m%d%H%M%S%3f",),
}
_FIRST: Final = datetime(1971, 1, 1, tzinfo=UTC)
_STRAYS: Final = 0.01
"""Share of numbers that may be of another unit: they are damaged."""
_EXCEL: Final = datetime(1899, 12, 30)  # noqa: DTZ001
_EXCEL_DAYS: Final = (20_000.0, 80_000.0)


def of_numbers(column: pl.Series, declared: str | None) -> list[Reading]:
    """Read numbers in each way that makes times between 1971 and now of most of them.

    Parameters
    ----------
    column : polars.Series
        Numbers, or text of digits.
    declared : str or None
        The reading that is declared: it counts whatever it makes.

    Raises
    ------
    SourceError
        If they look like days of a spreadsheet, and are not said to be, or units are mixed.
    """
    now = datetime.now(UTC) + timedelta(days=1)
    number = column.cast(pl.Float64, strict=False)
    readings = _units(column, number, declared, now)
    text = column.cast(pl.String, strict=False) if column.dtype != pl.Float64 else None
    for width, forms in _DIGITS.items() if text is not None else ():
        assert text is not None
        fitting = text.set((text.str.len_bytes() != width).fill_null(value=True), None)
        for form in forms if fitting.count() else ():
            _, naive = strptime(fitting, Form(form, zoned=False))
            if declared == form or _credible(naive.dt.replace_time_zone("UTC"), now):
                readings.append(Reading(form, nothing(column, TIME), naive))
    if declared == "excel" or number.is_between(*_EXCEL_DAYS).sum() * 2 > len(number):
        readings.append(Reading("excel", nothing(column, TIME), _excel(number)))
        if declared is None and len(readings) == 1:
            raise SourceError(
                f"times such as {example(column)} look like days as a spreadsheet counts them: "
                "say time_format=excel if they are, or export them as dates"
            )
    return readings


def _units(
    column: pl.Series, number: pl.Series, declared: str | None, now: datetime
) -> list[Reading]:
    """Read numbers as time since 1970, in each unit that makes sense of most."""
    whole = column.cast(pl.Int64, strict=False) if column.dtype != pl.Float64 else None
    every = []
    for name, micros in EPOCHS.items():
        time = _micros(number, whole, micros).cast(TIME)
        far = ~time.is_between(_FIRST, now).fill_null(value=False)
        every.append(Reading(name, time.set(far, None), nothing(column, NAIVE)))
    counts = {reading.name: reading.aware.count() for reading in every}
    first, second, *_ = sorted(counts, key=lambda name: counts[name], reverse=True)
    if declared is None and counts[second] > _STRAYS * counts[first]:
        raise SourceError(
            f"of the times, {counts[first]:,} are {first} and {counts[second]:,} {second}: the "
            "source mixes both; ingest each part alone, or set one aside with time_format="
        )
    return [
        reading
        for reading in every
        if declared == reading.name or 2 * counts[reading.name] > number.count() > 0
    ]


def _micros(number: pl.Series, whole: pl.Series | None, micros: float) -> pl.Series:
    """Numbers of a unit as whole microseconds since 1970, null where they are out of reach."""
    near = number.is_between(-1e11 * 1e6 / micros, 1e11 * 1e6 / micros).fill_null(value=False)
    if whole is None or whole.null_count() > number.null_count():
        scaled = (number.set(~near, None) * micros).round()
        return scaled.cast(pl.Int64, strict=False)
    held = whole.set(~near, None)
    return held * int(micros) if micros >= 1 else held // round(1 / micros)


def _credible(time: pl.Series, now: datetime) -> bool:
    """Whether most rows are of a time between 1971 and now."""
    return 2 * int(time.is_between(_FIRST, now).sum()) > len(time) - time.null_count() > 0


def _excel(days: pl.Series) -> pl.Series:
    near = days.set(~days.is_between(*_EXCEL_DAYS).fill_null(value=False), None)
    seconds = (near * 86_400).round().cast(pl.Int64) * 1_000_000
    return pl.select(pl.lit(_EXCEL) + seconds.cast(pl.Duration("us"))).to_series().cast(NAIVE)


def in_reach(column: pl.Series) -> pl.Series:
    """Return typed times as whole microseconds since 1970, null beyond the years 1 to 9999."""
    kind = column.dtype
    units = {"ms": 1e3, "us": 1.0, "ns": 1e-3}
    scale = units[kind.time_unit] if isinstance(kind, pl.Datetime) else 86_400e6
    number = column.to_physical().cast(pl.Int64)
    reach = REACH / scale
    held = number.set(~number.is_between(-reach, reach).fill_null(value=False), None)
    return held * int(scale) if scale >= 1 else held // round(1 / scale)
