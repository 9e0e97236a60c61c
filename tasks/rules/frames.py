"""Frames of a strategy's streams: bars, the engine's metrics, and what models believe."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from infra.bars import within, without_empty_quotes
from infra.market.timeframes import bar_length
from infra.stores import catalog
from infra.stores.bulk import BarStore
from infra.stores.changes import completed
from tasks.research.measure import measure
from tasks.strategy.language.builtins.engine import metric_column
from tasks.strategy.seam import Strategy

CLOSED: Final = timedelta(days=10)
"""More than a market is ever closed: so much earlier bars are read for the warm-up."""


def stored(
    strategy: Strategy, store: BarStore, start: datetime | None, end: datetime | None
) -> dict[str, pl.DataFrame]:
    """Return the bars of all streams, with those of the warm-up before them.

    Parameters
    ----------
    strategy : Strategy
    store : BarStore
    start, end : datetime or None
        Of the signals that are wanted.

    Raises
    ------
    infra.stores.catalog.NoSeries
        If there are none of a stream; the message says how they come.
    """
    found = {}
    for stream in strategy.requires.streams:
        catalog.require(store, stream.pair, stream.timeframe)
        warm = 2 * strategy.requires.bars[stream.name] * bar_length(stream.timeframe)
        first = None if start is None else start - CLOSED - warm
        found[stream.name] = store.read(stream.pair, stream.timeframe, first, end)
    return found


def measured(
    strategy: Strategy,
    bars: Mapping[str, pl.DataFrame],
    *,
    known: Mapping[str, pl.DataFrame] | None = None,
    engine: str = "auto",
) -> dict[str, pl.DataFrame]:
    """Return the bars of all streams with the metrics that a strategy asks for.

    Parameters
    ----------
    strategy : Strategy
    bars : mapping of str to polars.DataFrame
        By stream.
    known : mapping of str to polars.DataFrame, optional
        Metrics of the first stream's bars that are there, by encoder.
    engine : {"auto", "cpu", "gpu"}
    """
    found = {}
    for number, stream in enumerate(strategy.requires.streams):
        frame = completed(bars[stream.name])
        asked = [(m, e) for name, m, e in strategy.requires.metrics if name == stream.name]
        for encoder in sorted({encoder for _, encoder in asked}):
            told = (known or {}).get(encoder) if number == 0 else None
            if told is None and not frame.is_empty():
                told = measure(
                    without_empty_quotes(frame), stream.pair, stream.timeframe,
                    encoder=encoder, engine=engine,
                ).metrics  # fmt: skip
            names = [metric for metric, which in asked if which == encoder]
            frame = frame.with_columns(
                (pl.lit(None, pl.Float64) if told is None else told[name]).alias(
                    metric_column(name, encoder)
                )
                for name in names
            )
        found[stream.name] = frame
    return found


def others(
    strategy: Strategy, store: BarStore, first: datetime, last: datetime
) -> dict[str, pl.DataFrame]:
    """Return the bars of all streams but the first that closed by the close of a bar of that one.

    Parameters
    ----------
    strategy : Strategy
    store : BarStore
    first : datetime
        Start of the earliest bar.
    last : datetime
        Start of a bar of the first stream.

    Raises
    ------
    infra.stores.catalog.NoSeries
        If there are none of a stream; the message says how they come.
    """
    base, *more = strategy.requires.streams
    found = {}
    for stream in more:
        catalog.require(store, stream.pair, stream.timeframe)
        end = last + bar_length(base.timeframe) - bar_length(stream.timeframe)
        bars = store.read(stream.pair, stream.timeframe, first, end + timedelta.resolution)
        found[stream.name] = without_empty_quotes(bars)
    return found


def inside(signals: pl.DataFrame, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    """Return the signals of a span.

    Parameters
    ----------
    signals : polars.DataFrame
    start, end : datetime or None
    """
    return signals.filter(*within(start, end))
