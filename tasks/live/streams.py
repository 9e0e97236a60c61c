"""Frames of a strategy's streams as the live cycle sees them."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from infra.market.timeframes import bar_length
from infra.stores import catalog
from infra.stores.tiers import TieredBars
from tasks.rules.frames import measured
from tasks.rules.setup import Setup
from tasks.strategy.language.modules import Stream

LOOKBACK = 4096
"""Bars read before the first one that is measured.

The window takes 258; the rest finds the last bit before it, so that an event is missed only
where no price moved for more than 3,800 bars.
"""


def frames(
    setup: Setup, store: TieredBars, bars: pl.DataFrame, metrics: pl.DataFrame, *, engine: str
) -> dict[str, pl.DataFrame]:
    """Return the frames of all streams beside bars of the first one.

    Parameters
    ----------
    setup : Setup
    store : TieredBars
    bars : polars.DataFrame
        Of the first stream, the newest last.
    metrics : polars.DataFrame
        Of the same bars.
    engine : {"auto", "cpu", "gpu"}

    Raises
    ------
    infra.stores.catalog.NoSeries
        If there are no bars of a stream; the message says how they come.
    """
    base, *more = setup.strategy.requires.streams
    found = {base.name: bars}
    for stream in more:
        earlier = setup.strategy.requires.bars[stream.name] + LOOKBACK
        found[stream.name] = _beside(store, stream, bars["timestamp"], base, earlier)
    known = {setup.recipe.encoder: metrics}
    return measured(setup.strategy, found, known=known, engine=engine)


def _beside(
    store: TieredBars, stream: Stream, times: pl.Series, base: Stream, earlier: int
) -> pl.DataFrame:
    """Return bars that closed by the close of the last of others, from long before the first."""
    catalog.require(store.store, stream.pair, stream.timeframe)
    length = bar_length(stream.timeframe)
    end = times[-1] + bar_length(base.timeframe) - length + timedelta.resolution
    count = earlier + (times[-1] - times[0]) // length + 1
    return store.newest(stream.pair, stream.timeframe, count, end)
