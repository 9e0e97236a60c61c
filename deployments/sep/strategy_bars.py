"""Frames of stored bars for a strategy, with the engine's metrics where it asks for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from infra.bars import within as _span
from infra.market.timeframes import bar_length
from infra.stores import catalog
from infra.stores.changes import completed
from tasks.folder import bar_store
from tasks.research.measure import measure
from tasks.strategy.language.builtins.engine import metric_column
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.modules import Stream
from tasks.strategy.language.program import Program

CLOSED: Final = timedelta(days=10)
"""More than a market is ever closed: so much earlier bars are read for the warm-up."""


def frames(
    program: Program, start: datetime | None, end: datetime | None
) -> dict[str, pl.DataFrame]:
    """Return the bars of a program's streams, with those of the warm-up before them.

    Parameters
    ----------
    program : Program
    start, end : datetime or None
        Of the signals that are wanted.

    Raises
    ------
    DslError
        If it asks what a model believes, which only a trained one tells.
    infra.stores.catalog.NoSeries
        If there are no bars of a stream; the message says how they come.
    """
    if rules := program.requires.rules:
        problem = f"{program.name} asks what is believed of {', '.join(rules)}"
        raise DslError(f"{problem}: train it with the backtest flow, which runs it as well")
    return {stream.name: _frame(program, stream, start, end) for stream in program.streams}


def within(signals: pl.DataFrame, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    """Return the signals of a span.

    Parameters
    ----------
    signals : polars.DataFrame
    start, end : datetime or None
    """
    return signals.filter(*_span(start, end))


def _frame(
    program: Program, stream: Stream, start: datetime | None, end: datetime | None
) -> pl.DataFrame:
    store = bar_store()
    catalog.require(store, stream.pair, stream.timeframe)
    first = None
    if start is not None:
        warm = 2 * program.requires.bars[stream.name] * bar_length(stream.timeframe)
        first = start - CLOSED - warm
    bars = completed(store.read(stream.pair, stream.timeframe, first, end))
    metrics = [(m, encoder) for name, m, encoder in program.requires.metrics if name == stream.name]
    for encoder in sorted({encoder for _, encoder in metrics}):
        found = measure(bars, stream.pair, stream.timeframe, encoder=encoder).metrics
        names = [name for name, which in metrics if which == encoder]
        bars = bars.with_columns(found[name].alias(metric_column(name, encoder)) for name in names)
    return bars
