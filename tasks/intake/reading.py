"""From what a file says to times in UTC and numbers: proved, declared, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import polars as pl

from infra.bars import PRICES, QUOTES
from infra.market.instruments import UnknownInstrument, canonical
from infra.market.timeframes import bar_length
from infra.sources.clocks import Clock, ClockError
from infra.sources.columns import SERVER, SourceError
from infra.sources.numbers import LEVEL, read_numbers, read_volume
from infra.sources.readings import Reading
from infra.sources.time_forms import is_blank
from infra.sources.times import read_times
from tasks.intake.level import Bounds
from tasks.intake.parts import refuse_other_spacing
from tasks.intake.spacing import OFF_GRID, Spacing, problem, refuse_wrong

_DUKASCOPY: Final = r"^\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d\.\d{3}( GMT[+-]\d{4})?$"
"""Dukascopy's own form, whose day comes first."""
_LONG: Final = timedelta(hours=1)
_SATURDAY: Final = 6


@dataclass(frozen=True)
class Options:
    """What is declared of a file.

    Attributes
    ----------
    clock : str, optional
        Of times that name no zone.
    publisher : bool
        Whether the clock is the publisher's, not declared: then it may find nothing to do.
    decimal : str, optional
        The decimal mark.
    time_format : str, optional
        As `infra.sources.times.read_times` takes it.
    scale : float, optional
        A price is the number written times this.
    stamp : str, optional
        `open` or `close`: which end of its bar a time is of.
    any_level : bool
        Whether prices need not be within the instrument's bounds.
    """

    clock: str | None = None
    publisher: bool = True
    decimal: str | None = None
    time_format: str | None = None
    scale: float | None = None
    stamp: str | None = None
    any_level: bool = False


@dataclass(frozen=True)
class Read:
    """Rows of a source with what they mean.

    Attributes
    ----------
    raw : polars.DataFrame
        The rows as written, of the pair alone.
    rows : polars.DataFrame
        `source_row`, `timestamp` (UTC), `written`, `naive`, `clock_fault`, prices, `volume`,
        quotes, `unreadable`.
    bounds : Bounds
        Of the pair.
    facts : dict of str to str
        What the file was taken for: times, clock, decimal mark.
    notes : dict of str to int
        What was left out of rows that are bars all the same, and how often.
    """

    raw: pl.DataFrame
    rows: pl.DataFrame
    bounds: Bounds
    facts: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)


def read(raw: pl.DataFrame, timeframe: str, pair: str, options: Options) -> Read:
    """Tell what the rows of a source mean.

    Parameters
    ----------
    raw : polars.DataFrame
        As of `infra.sources.registry.Source.read`.
    timeframe : str
    pair : str
        Empty where it is not known: then levels tell nothing.
    options : Options

    Raises
    ------
    SourceError
        If a column has several meanings, if a declared option cannot apply, or if times or
        prices cannot be those of the pair and timeframe.
    """
    raw, others = _of_pair(raw, pair)
    bounds = Bounds.of(pair, any_level=options.any_level)
    times, facts = _times(raw, timeframe, options)
    numbers, unreadable, notes = _numbers(raw, options, bounds, facts)
    refuse_other_spacing(raw, times["timestamp"], timeframe)
    refuse_wrong(times["timestamp"], timeframe)
    rows = pl.concat([raw.select("source_row"), times, numbers], how="horizontal")
    rows = rows.with_columns(unreadable=unreadable)
    bounds.refuse_whole(rows["close"], options.scale)
    notes |= {"rows of other instruments": others} if others else {}
    return Read(raw, rows, bounds, facts, notes)


def _of_pair(raw: pl.DataFrame, pair: str) -> tuple[pl.DataFrame, int]:
    """Return the rows of the pair, where a file names its instruments, and how many are others'."""
    if "ticker" not in raw.columns or not pair:
        return raw, 0
    tickers = raw["ticker"].drop_nulls().unique(maintain_order=True)
    ours = [ticker for ticker in tickers if _canonical(ticker) == pair]
    if not ours and len(tickers):
        named = ", ".join(map(str, tickers.head(5)))
        raise SourceError(
            f"the file holds {named}, not {pair}: ask for pair={_canonical(tickers[0])}"
        )
    kept = raw.filter(pl.col("ticker").is_in(ours) | pl.col("ticker").is_null())
    return kept, raw.height - kept.height


def _canonical(ticker: str) -> str:
    try:
        return canonical(ticker)
    except UnknownInstrument:
        return ticker


def _times(
    raw: pl.DataFrame, timeframe: str, options: Options
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Timestamps in UTC, whether a row had one, and why a local one is no instant."""
    column = raw["timestamp"]
    if "fault" in raw.columns:  # the publisher's form tells that these are damaged
        column = column.set(raw["fault"].is_not_null(), None)
    of_day = raw["time_of_day"] if "time_of_day" in raw.columns else None
    reading = read_times(
        column,
        of_day,
        declared=options.time_format or _publishers_order(raw),
        choose=lambda readings: _possible(readings, timeframe),
    )
    clock = _clock(raw, reading, options)
    if clock is not None and reading.epoch:
        reading = reading._replace(
            naive=reading.aware.dt.replace_time_zone(None),
            aware=reading.aware.clear(len(column)),
        )
    ends = _ends(raw, options)
    aware, fault = _instants(reading, clock, bar_length(timeframe), ends=ends)
    frame = {
        "timestamp": aware,
        "written": _written(column, reading.read),
        "naive": reading.naive.is_not_null() & pl.repeat(clock is None, len(column), eager=True),
        "clock_fault": fault,
    }
    facts = {"times": reading.name, "because": reading.why, "clock": _named(reading, clock)}
    return pl.DataFrame(frame), {**facts, "stamp": "close" if ends else "open"}


def _publishers_order(raw: pl.DataFrame) -> str | None:
    """Return the order of day and month that Dukascopy's header and form prove."""
    if "header_clock" not in raw.columns and "header_local" not in raw.columns:
        return None
    if raw["timestamp"].dtype != pl.String:
        return None
    sample = raw["timestamp"].drop_nulls().head(64)
    return "day-first" if len(sample) and sample.str.contains(_DUKASCOPY).all() else None


def _possible(readings: Sequence[Reading], timeframe: str) -> list[Reading]:
    """Return the readings whose rows are as far apart as bars of the timeframe."""
    spacings = [Spacing.of(reading.times, timeframe) for reading in readings]
    pairs = list(zip(readings, spacings, strict=True))
    on_grid = [(r, s) for r, s in pairs if s.off_grid <= OFF_GRID]
    fitting = [(r, s) for r, s in on_grid if problem(s, timeframe) is None]
    if timeframe == "D1":  # a day of trade is no Saturday: months read as days are
        fitting = [(r, s) for r, s in fitting if not _has_saturdays(r)]
    whole = [r for r, s in fitting if s.holes == 0]
    torn = [r for r, s in fitting if s.holes >= 2]
    return whole if len(whole) + len(torn) == len(fitting) and whole else [r for r, _ in fitting]


def _has_saturdays(reading: Reading) -> bool:
    return bool((reading.times.dt.weekday() == _SATURDAY).any())


def _clock(raw: pl.DataFrame, reading: Reading, options: Options) -> str | None:
    """Return the clock of times that name no zone: declared, the publisher's or the header's."""
    said = raw["header_clock"].unique().to_list() if "header_clock" in raw.columns else []
    named = [name for name in said if name is not None and _is_clock(name)]
    declared = options.clock
    if named and None in said and declared is None:
        raise SourceError(
            f"some files name the clock {named[0]}, others none: ingest them one by one, or say "
            "clock="
        )
    if len(named) > 1:
        raise SourceError(f"the files have the clocks {', '.join(named)}: ingest them one by one")
    if declared is not None and named and Clock.of(declared) != Clock.of(named[0]):
        raise SourceError(f"clock={declared} cannot apply: the header says {named[0]}")
    if declared is not None and not options.publisher and not reading.epoch:
        _refuse_idle_clock(reading, declared)
    if declared is None and reading.epoch and SERVER in said:
        raise SourceError(
            "the times are MetaTrader's, counted by the clock of the broker's server, which the "
            "file does not name: say clock='New York+7', as most servers have it, or another one"
        )
    clock = declared or (named[0] if named else None)
    if clock is None and reading.naive.count() and not reading.aware.count():
        raise SourceError(
            "the times name no zone: say by which clock they are, such as clock=UTC, clock=EST, "
            "clock='New York+7' (servers of many brokers)"
        )
    return None if reading.epoch and declared is None else clock


def _is_clock(name: str) -> bool:
    try:
        Clock.of(name)
    except ClockError:
        return False
    return True


def _refuse_idle_clock(reading: Reading, clock: str) -> None:
    if reading.aware.count() and not reading.naive.count():
        raise SourceError(
            f"clock={clock} cannot apply: every time names its own zone; leave clock= out"
        )


def _ends(raw: pl.DataFrame, options: Options) -> bool:
    """Whether times are those at which bars end."""
    said = "header_ends" in raw.columns and bool(raw["header_ends"].count())
    if said and options.stamp == "open":
        raise SourceError("stamp=open cannot apply: the header says that times are of the close")
    return said or options.stamp == "close"


def _instants(
    reading: Reading, clock: str | None, length: timedelta, *, ends: bool
) -> tuple[pl.Series, pl.Series]:
    """Return when bars begin, in UTC, and why a local time is no instant."""
    aware, naive = reading.aware, reading.naive
    if ends:
        aware = aware - length
        naive = naive - length if length > _LONG else naive
    fault = pl.repeat(None, len(aware), dtype=pl.String, eager=True)
    if clock is None or not naive.count():
        return aware, fault
    falling = _newest_first(naive)
    local = Clock.of(clock).to_utc(naive.reverse() if falling else naive, length=length)
    local = local.reverse() if falling else local
    instants = local["timestamp"]
    if ends and length <= _LONG:
        instants = instants - length
    return (aware.fill_null(instants) if aware.count() else instants), local["fault"]


def _newest_first(times: pl.Series) -> bool:
    steps = times.drop_nulls().diff().drop_nulls()
    return 2 * int((steps < timedelta(0)).sum()) > len(steps)


def _named(reading: Reading, clock: str | None) -> str:
    if clock is not None:
        return clock
    return "UTC, counted since 1970" if reading.epoch else "named by each time"


def _written(column: pl.Series, read: pl.Series) -> pl.Series:
    """Whether a row has a time at all: what was read, was written."""
    return read if read.all() else read | ~_blank(column)


def _blank(column: pl.Series) -> pl.Series:
    """Whether a cell holds nothing: null, blank, NaN or a word for it."""
    if column.dtype == pl.String:
        return is_blank(column)
    empty = column.is_null()
    return empty | column.is_nan().fill_null(value=False) if column.dtype.is_float() else empty


def _numbers(
    raw: pl.DataFrame, options: Options, bounds: Bounds, facts: dict[str, str]
) -> tuple[pl.DataFrame, pl.Series, dict[str, int]]:
    """Prices, volume and quotes as numbers, which rows have a price that is none, and notes."""
    quotes = [name for name in QUOTES if name in raw.columns]
    names = [name for name in PRICES if name in raw.columns]
    names += quotes if len(quotes) == len(QUOTES) else []
    cells = raw.select(names)
    read_as = read_numbers(
        cells,
        beside=raw["volume"] if "volume" in raw.columns else None,
        declared=options.decimal,
        bounds=bounds.written(options.scale),
    )
    facts |= {"decimal": read_as.decimal}
    frame = _scaled(read_as.frame, options.scale)
    unreadable = pl.repeat(False, raw.height, dtype=pl.Boolean, eager=True)
    for name in names:
        if frame[name].null_count() > cells[name].null_count():
            unreadable |= frame[name].is_null() & ~_blank(cells[name])
    missing = [name for name in PRICES if name not in names]
    mid = {name: (pl.col(f"bid_{name}") + pl.col(f"ask_{name}")) / 2 for name in missing}
    volume, notes = _volume(raw, read_as.decimal, sure=read_as.why != LEVEL)
    frame = frame.with_columns(**mid, volume=volume)
    return frame, unreadable.alias("unreadable"), notes


def _scaled(prices: pl.DataFrame, scale: float | None) -> pl.DataFrame:
    """Multiply, or divide where that is exact: 103681 / 1000 is 103.681, times 0.001 it is not."""
    if scale is None:
        return prices
    whole = round(1 / scale)
    if scale < 1 and abs(1 / scale - whole) < 1e-6 * whole:
        return prices.select(pl.all() / whole)
    return prices.select(pl.all() * scale)


def _volume(raw: pl.DataFrame, decimal: str, *, sure: bool) -> tuple[pl.Series, dict[str, int]]:
    if "volume" not in raw.columns:
        return pl.repeat(None, raw.height, dtype=pl.Float64, eager=True), {}
    volume = read_volume(raw["volume"], decimal, sure=sure)
    odd = raw["volume"].filter(volume.is_null())
    lost = len(odd) - int(_blank(odd).sum())
    return volume, {"unreadable volumes": lost} if lost else {}
