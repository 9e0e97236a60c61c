"""One live cycle of a pair: predictions of each exit rule, then the strategy's signals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from infra.stores.bulk import BarStore
from infra.stores.tiers import TieredBars
from kernels.damping import HISTORY
from tasks.live.newest import predict_newest
from tasks.live.streams import LOOKBACK, frames
from tasks.live.trained import Trained
from tasks.research.measure import measure_by
from tasks.rules.setup import Setup
from tasks.rules.signals import signals
from tasks.strategy.seam import OWN


def newest_signals(
    setup: Setup,
    trained: Mapping[str, Trained],
    store: BarStore,
    *,
    as_of: datetime,
    count: int = 1,
    engine: str = "auto",
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ask models and strategy of the newest complete bars.

    Parameters
    ----------
    setup : Setup
    trained : mapping of str to Trained
        By exit rule.
    store : BarStore
    as_of : datetime
        Nothing after it is looked at; a bar counts once it is closed.
    count : int
        How many of the newest bars.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    predictions : polars.DataFrame
        Of the first rule.
    signals : polars.DataFrame
        As `tasks.rules.signals.signals` returns.

    Raises
    ------
    NoBars
        If no bar of the pair is complete at `as_of`.
    infra.stores.catalog.NoSeries
        If there are none of another stream.
    """
    told = {
        rule: predict_newest(
            each.model,
            each.library,
            store,
            as_of=as_of,
            count=count + _believed(setup),
            pool=each.pool,
            setup=None if rule == OWN else setup,
            engine=engine,
        )
        for rule, each in trained.items()
    }
    first = told[setup.first]
    start = max(each.model.frozen.spans.test.start for each in trained.values())
    known = _frames(setup, TieredBars(store), first["timestamp"][-1], count, engine)
    found = signals(setup, known, told, start=start, last=count)
    return first.tail(count), found


def _believed(setup: Setup) -> int:
    """Return how many earlier bars' beliefs a strategy may look back on."""
    needs = setup.strategy.requires
    return max(0, needs.bars[needs.streams[0].name] - HISTORY) if needs.rules else 0


def _frames(
    setup: Setup, store: TieredBars, last: datetime, count: int, engine: str
) -> dict[str, pl.DataFrame]:
    """Return frames that end with a bar, as long as the signals of the last ones need."""
    needs, recipe = setup.strategy.requires, setup.recipe
    bars = count + needs.bars[needs.streams[0].name] + LOOKBACK
    end = last + timedelta.resolution
    newest = store.newest(recipe.pair, recipe.timeframe, bars, end)
    return frames(
        setup, store, newest, measure_by(recipe, newest, engine=engine).metrics, engine=engine
    )
