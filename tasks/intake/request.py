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
from infra.sources.registry import MAPPED, SOURCES
from infra.sources.registry import Source as FileSource
from tasks.parameters import Pair, Parameters

PLANTED_START: Final = datetime(2015, 1, 5, tzinfo=UTC)
_SAMPLE: Final = (sample.PAIR, sample.TIMEFRAME)
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
        description="sample (5,000 EURUSD hours), planted (a walk with a known edge), minutes "
        "(longer bars of the pair's M1 in the store), oanda (candles of the account whose token is "
        "in SEP_OANDA_TOKEN), or a file: csv, parquet, histdata, metatrader, dukascopy and truefx "
        "(ticks, kept as M1), lean.",
    )
    path: Path | None = Field(None, description="The file, on the machine of the worker.")
    clock: Annotated[str, Field(max_length=64)] | None = Field(
        None,
        description="Clock of timestamps that name no zone: UTC, EST, New York, New York+7, any "
        "IANA name; by default that of the publisher (EST of histdata, New York+7 of metatrader, "
        "UTC of ticks), and of csv, parquet and lean none, which puts such rows into quarantine.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Of csv and parquet: name here to name in the file, such as "
        '{"timestamp": "When"}.',
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(
        0, description="Of planted: the seed of its walk."
    )
    bars: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        5_000, description="Of planted: how many bars."
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
        if self.clock is not None and self.source not in SOURCES:
            raise ValueError(f"clock is of a file: give it with source={files} alone")
        held = self.file_source.timeframe if self.source in SOURCES else None
        if held not in (None, self.timeframe):
            raise ValueError(f"{self.source} files hold {held}: ask for timeframe={held}")

    def _fits_span(self) -> None:
        if self.source != "oanda" and (self.start or self.end):
            raise ValueError("start and end go with source=oanda alone")
        if self.start and self.start >= (self.end or datetime.now(UTC)):
            raise ValueError("start must lie before end, and in the past")

    @property
    def file_source(self) -> FileSource:
        """The source that reads the file, with the clock of the request."""
        options: dict[str, Any] = {"clock": self.clock} if self.clock is not None else {}
        options |= {"columns": self.columns} if self.columns else {}
        return SOURCES[self.source](**options)

    def _end(self) -> datetime:
        planted = self.bars if self.source == "planted" else 0
        return PLANTED_START + planted * bar_length(self.timeframe)

    @property
    def name(self) -> str:
        """Name of the source in the database: kind, and file or seed."""
        if self.source == "planted":
            return f"planted:{self.seed}"
        return f"{self.source}:{self.path.name}" if self.path else self.source
