"""What `ingest` is asked for, and what of it goes together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from infra.market.instruments import SYNTHETIC
from infra.market.timeframes import Timeframe, bar_length
from infra.sources import sample
from infra.sources.clocks import Clock
from infra.sources.registry import MAPPED, SOURCES, TICKS
from infra.sources.registry import Source as FileSource
from infra.sources.times import check_form
from kernels.synthetic import START
from tasks.intake.reading import Options
from tasks.parameters import Pair, Parameters

_PLANTED_START: Final = datetime.fromtimestamp(START / 1e6, UTC)
_CLOSED: Final = 1.42
"""Time that bars of the forex week take, at most, in their own length."""
_SAMPLE: Final = (sample.PAIR, sample.TIMEFRAME)
_OF_FILES: Final = ("clock", "decimal", "scale", "stamp", "any_level")
Source = Literal[
    "sample",
    "csv",
    "parquet",
    "histdata",
    "metatrader",
    "dukascopy",
    "truefx",
    "lean",
    "minutes",
    "oanda",
    "planted",
]


class IngestRequest(Parameters):
    """What to ingest. Each field says itself what it is."""

    pair: Pair = Field(sample.PAIR, description="What the bars are of, such as EUR_USD.")
    timeframe: Timeframe = Field(sample.TIMEFRAME, description="Length of a bar.")
    source: Source = Field(
        "sample",
        description="sample (5,000 EURUSD hours), planted (a walk with a known edge; the pair says "
        "which), minutes (longer bars of the pair's M1 in the store), oanda (candles of the "
        "account whose token is in SEP_OANDA_TOKEN), or a file: csv (any text with a header, and "
        "spreadsheets), parquet (and Arrow, Feather), histdata, metatrader, dukascopy and truefx "
        "(ticks, kept as M1), lean.",
    )
    path: Path | None = Field(
        None,
        description="The file, on the machine of the worker; a folder or a pattern such as "
        "data/*.csv takes all of them as one. Packed ones (zip, gz, bz2, xz, zst) are unpacked.",
    )
    clock: Annotated[str, Field(max_length=64)] | None = Field(
        None,
        description="Clock of timestamps that name no zone: UTC, EST, New York, New York+7, any "
        "IANA name; by default that of the publisher (EST of histdata, New York+7 of metatrader, "
        "UTC of ticks); csv, parquet and lean need it, unless the header names it.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Of csv and parquet: name here to name in the file, such as "
        '{"timestamp": "When"}.',
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="Of a file: the decimal mark, where its prices do not prove it."
    )
    time_format: Annotated[str, Field(max_length=64)] | None = Field(
        None,
        description="Of csv and parquet: day-first, month-first, year-first, epoch-s, epoch-ms, "
        "excel, or a form such as %d.%m.%Y %H:%M, where the times do not prove it.",
    )
    scale: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="Of a file: a price is the number written times this: 0.001 for 103681."
    )
    stamp: Literal["open", "close"] | None = Field(
        None, description="Of a file: the end of its bar that a time is of; left out: open."
    )
    any_level: bool = Field(
        default=False,
        description="Of a file: take prices, too, that the instrument can hardly have, and a clock "
        "by which it moves while nobody trades.",
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(
        0, description="Of planted: the seed of its walk."
    )
    bars: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        5_000, description="Of planted: how many bars."
    )
    size: Annotated[float, Field(ge=0, le=4)] = Field(
        1.0, description="Of planted: how large its edge is; 0 is none."
    )
    start: datetime | None = Field(
        None,
        description="Of oanda: the first candle, in UTC where it names no zone. Left out, it "
        "begins a little before the last one read (the first time a year ago).",
    )
    end: datetime | None = Field(
        None, description="Of oanda: one past the last candle; left out: the newest complete one."
    )

    @field_validator("clock")
    @classmethod
    def _clock(cls, clock: str | None) -> str | None:
        if clock is not None:
            Clock.of(clock)
        return clock

    @field_validator("time_format")
    @classmethod
    def _form(cls, form: str | None) -> str | None:
        if form is not None:
            check_form(form)
        return form

    @model_validator(mode="after")
    def _fits(self) -> IngestRequest:
        if (self.pair in SYNTHETIC) != (self.source == "planted"):
            raise ValueError(
                f"source=planted and the pairs {', '.join(sorted(SYNTHETIC))} belong together: "
                "made-up bars never mix with a market's"
            )
        self._fits_file()
        self._fits_span()
        if self.source == "minutes" and self.timeframe == "M1":
            raise ValueError("source=minutes makes longer bars of M1: ask for another timeframe")
        if self.source == "sample" and (self.pair, self.timeframe) != _SAMPLE:
            raise ValueError(f"the sample is {' '.join(_SAMPLE)}: ask for these")
        if self._end() > datetime.now(UTC):
            raise ValueError(f"{self.bars} planted bars of {self.timeframe} reach into the future")
        return self

    def _fits_file(self) -> None:
        files = ", ".join(SOURCES)
        if (self.path is None) == (self.source in SOURCES):
            raise ValueError(f"path is the file to read: give it with source={files} alone")
        if self.columns and self.source not in MAPPED:
            raise ValueError(f"columns goes with source={', '.join(sorted(MAPPED))} alone")
        if self.time_format is not None and self.source not in MAPPED:
            raise ValueError(f"time_format goes with source={', '.join(sorted(MAPPED))} alone")
        given = [name for name in _OF_FILES if getattr(self, name) not in (None, False)]
        if given and self.source not in SOURCES:
            raise ValueError(f"{given[0]} is of a file: give it with source={files} alone")
        if self.source in TICKS and any(name != "clock" for name in given):
            raise ValueError(f"ticks of {self.source} need no {given[-1]}: leave it out")
        held = self.file_source.timeframe if self.source in SOURCES else None
        if held not in (None, self.timeframe):
            raise ValueError(f"{self.source} files hold {held}: ask for timeframe={held}")

    def _fits_span(self) -> None:
        if self.source != "oanda" and (self.start or self.end):
            raise ValueError("start and end go with source=oanda alone")
        if self.start and self.start >= (self.end or datetime.now(UTC)):
            raise ValueError("start must lie before end, and in the past")

    @property
    def options(self) -> Options:
        """What is declared of the file, and its publisher's clock where none is."""
        if self.source not in SOURCES:
            return Options(clock=sample.CLOCK if self.source == "sample" else None)
        return Options(
            clock=self.file_source.clock,
            publisher=self.clock is None or self.source in TICKS,
            decimal=self.decimal,
            time_format=self.time_format,
            scale=self.scale,
            stamp=self.stamp,
            any_level=self.any_level,
        )

    @property
    def file_source(self) -> FileSource:
        """The source that reads the file, with the clock of the request."""
        options: dict[str, Any] = {"clock": self.clock} if self.clock is not None else {}
        options |= {"columns": self.columns} if self.columns else {}
        return SOURCES[self.source](**options)

    def _end(self) -> datetime:
        if self.source != "planted":
            return _PLANTED_START
        closed = _CLOSED if SYNTHETIC[self.pair] == "forex" else 1.0
        return _PLANTED_START + closed * self.bars * bar_length(self.timeframe)

    @property
    def name(self) -> str:
        """Name of the source in the database: kind, and file or seed."""
        if self.source == "planted":
            size = "" if self.size == 1 else f":size={self.size:g}"
            return f"planted:{self.seed}{size}"
        return f"{self.source}:{self.path.name}" if self.path else self.source
