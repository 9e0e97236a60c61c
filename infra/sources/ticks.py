"""Ticks, made into minutes: those of Dukascopy and TrueFX.

```
Gmt time,Ask,Bid,AskVolume,BidVolume
02.01.2018 03:04:05.678,1.20125,1.20121,1.5,0.75

EUR/USD,20180102 03:04:05.678,1.20121,1.20125
```

A minute holds open, high, low and close of bid, of ask and of the middle between both, and as
volume how many ticks it has. A file is taken to hold whole minutes: where one ends inside a
minute, the next export of it puts that right. Ticks that are none come as rows with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final

import polars as pl

from infra.bars import PRICES
from infra.sources.clocks import Clock
from infra.sources.columns import SourceError
from infra.sources.text import Text
from infra.sources.times import read_times

_GREENWICH: Final = re.compile(r"\b(gmt|utc)\b")
_DUKASCOPY: Final = ("ask", "bid", "askvolume", "bidvolume")
_DUKASCOPY_TIME: Final = r"\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d(\.\d+)?"
_EXPORT: Final = ("time", "bid", "ask")
_ROW: Final = ("pair", *_EXPORT)
_TRUEFX: Final = re.compile(r"^[A-Z]{3}/[A-Z]{3},\d{8} \d\d:", re.MULTILINE)
_TRUEFX_TIME: Final = r"\d{8} \d\d:\d\d:\d\d(\.\d+)?"
_EXPORT_TIME: Final = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"

_TIME, _PRICES = pl.col("timestamp"), pl.col("bid", "ask")
_FAULTS: Final = {
    "more fields than the header": pl.col("excess").is_not_null(),
    "missing timestamp": pl.col("time").is_null() | (pl.col("time") == ""),
    "unreadable timestamp": _TIME.is_null(),
    "unreadable number": pl.any_horizontal(_PRICES.is_null() | _PRICES.is_nan()),
    "non-positive price": pl.min_horizontal("bid", "ask") <= 0,
    "infinite price": pl.any_horizontal(_PRICES.is_infinite()),
    "crossed quotes": pl.col("ask") < pl.col("bid"),
}


@dataclass(frozen=True)
class Dukascopy:
    """Ticks that Dukascopy's tools export.

    Attributes
    ----------
    clock : str, optional
        By default UTC where the header says so (`Gmt time`, `Time (UTC)`); otherwise it must be
        declared.
    """

    clock: str | None = None
    timeframe: ClassVar[str | None] = "M1"
    price: ClassVar[str] = "mid"

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file; see `minutes`.

        Raises
        ------
        SourceError
            If the file is not one of these, or its header names no clock and nobody else does.
        """
        return self.rows(Text.of(path))

    def rows(self, text: Text) -> pl.DataFrame:
        """Read what is open already; see `read`."""
        time, *names = (name.strip(' "').lower() for name in text.first_line.split(text.separator))
        names = [name.replace(" ", "") for name in names]
        if "time" not in time or sorted(names) != sorted(_DUKASCOPY):
            raise SourceError(
                f"{text.path} holds no ticks of Dukascopy, which begin with `Gmt time,Ask,Bid,..`: "
                "use source=csv for its bars"
            )
        if self.clock is None and not _GREENWICH.search(time):
            raise SourceError(
                f"{text.path} has times by the clock of {time!r}: declare it, such as "
                "clock=Europe/Athens, or export in GMT"
            )
        fields = ["time", *names]
        rows = text.fields(fields, text.separator, header=True)
        return minutes(rows, fields, self.clock or "UTC", _DUKASCOPY_TIME, "day-first")


@dataclass(frozen=True)
class TrueFx:
    """Ticks of TrueFX, as they come or exported again with a header `timestamp,bid,ask`.

    Attributes
    ----------
    clock : str
    """

    clock: str = "UTC"
    timeframe: ClassVar[str | None] = "M1"
    price: ClassVar[str] = "mid"

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file; see `minutes`.

        Raises
        ------
        SourceError
            If the file is not one of these.
        """
        return self.rows(Text.of(path))

    def rows(self, text: Text) -> pl.DataFrame:
        """Read what is open already; see `read`."""
        if text.first_line.lower().split(",") == ["timestamp", "bid", "ask"]:
            rows = text.fields(_EXPORT, ",", header=True)
            return minutes(rows, _EXPORT, self.clock, _EXPORT_TIME)
        if not _TRUEFX.search(text.head):
            raise SourceError(
                f"{text.path} holds no ticks of TrueFX, whose rows are "
                "`EUR/USD,20180102 03:04:05.678,bid,ask`"
            )
        rows = text.fields(_ROW, ",", header=False)
        return minutes(rows, _ROW, self.clock, _TRUEFX_TIME)


def minutes(
    rows: pl.DataFrame, fields: Sequence[str], clock: str, form: str, order: str | None = None
) -> pl.DataFrame:
    """Make minutes of ticks.

    Parameters
    ----------
    rows : polars.DataFrame
        `source_row`, `time`, `bid`, `ask`, `excess`, and `pair` where a file names it, as text.
    fields : sequence of str
        Of a line, to show of a tick in quarantine.
    clock : str
        Of times that name no zone.
    form : str
        Regular expression of a time.
    order : str, optional
        Of its day and month, as of `infra.sources.times.read_times`.

    Returns
    -------
    polars.DataFrame
        `source_row` (of a minute's first tick), `timestamp` (UTC), prices, `volume`, quotes;
        ticks that are none have nothing of these but `fault`, why, and `tick`, their fields.
    """
    ticks = _judged(rows, clock, form, order)
    good = ticks.filter(pl.col("fault").is_null())
    bars = good.group_by_dynamic("timestamp", every="1m").agg(
        pl.col("source_row").first(), *_prices(), volume=pl.len().cast(pl.Float64)
    )
    shown = rows.select("source_row", ticks["fault"], tick=pl.struct(*fields, "excess"))
    bad = shown.filter(pl.col("fault").is_not_null())
    return pl.concat([bars, bad], how="diagonal").sort("source_row")


def _prices() -> list[pl.Expr]:
    sides = {"": pl.col("mid"), "bid_": pl.col("bid"), "ask_": pl.col("ask")}
    return [
        price.alias(f"{side}{name}")
        for side, tick in sides.items()
        for name, price in zip(
            PRICES, (tick.first(), tick.max(), tick.min(), tick.last()), strict=True
        )
    ]


def _judged(rows: pl.DataFrame, clock: str, form: str, order: str | None) -> pl.DataFrame:
    """Ticks with their time in UTC, numbers, and `fault`: null or why a tick is none."""
    readable = rows["time"].str.contains(f"^(?:{form})$")
    times = read_times(rows["time"].set(~readable, None), declared=order)
    local = Clock.of(clock).to_utc(times.naive)
    timestamp = times.aware.fill_null(local["timestamp"])
    numbers = pl.col("bid", "ask").cast(pl.Float64, strict=False)
    ticks = rows.with_columns(numbers, local["fault"], timestamp=timestamp).with_columns(
        mid=pl.mean_horizontal("bid", "ask"), fault=_first({**_FAULTS, **_beyond(rows)})
    )
    right = pl.when(pl.col("fault").is_null()).then("timestamp")
    late = right < right.cum_max().forward_fill()
    unsorted = pl.when(late).then(pl.lit("unsorted timestamp"))
    return ticks.with_columns(fault=pl.coalesce("fault", unsorted))


def _beyond(rows: pl.DataFrame) -> dict[str, pl.Expr]:
    """Faults that need more than the tick: those of the present and of its neighbours."""
    faults = {"future timestamp": datetime.now(UTC) < _TIME}
    if "pair" in rows.columns:
        faults["another pair"] = pl.col("pair").ne_missing(rows["pair"].mode().sort()[0])
    return faults


def _first(faults: dict[str, pl.Expr]) -> pl.Expr:
    named = [pl.when(here).then(pl.lit(name)) for name, here in faults.items()]
    return pl.coalesce("fault", *named)
