"""The newest bars as the live cycle sees them: same kernels, same numbers as the backtest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from infra.errors import SepError
from infra.market.timeframes import bar_length
from infra.stores.bulk import BarStore
from infra.stores.tiers import TieredBars
from tasks.live.streams import LOOKBACK, frames
from tasks.research.knowledge import with_costs
from tasks.research.leads import with_leads
from tasks.research.library import Library, PathLibrary
from tasks.research.measure import Measures, measure_by
from tasks.research.model import Model
from tasks.research.pool import Pool
from tasks.research.recipe import Recipe
from tasks.research.resolve import resolve, with_distances
from tasks.research.search import search
from tasks.research.timeline import Timeline, Times
from tasks.research.training import asked
from tasks.rules.setup import Setup


class NoBars(SepError, LookupError):
    """There is no complete bar to look at."""


@dataclass(frozen=True)
class Window:
    """Bars to look at, and where they lie among all since the model's first one.

    Attributes
    ----------
    timeline : Timeline
        Of all bars since the model's first one: a replay's library knows later ones, too.
    stop : int
        How many of them are complete.
    bars : polars.DataFrame
        The last of these.
    """

    timeline: Timeline
    stop: int
    bars: pl.DataFrame

    @property
    def first(self) -> int:
        """Number of the first bar of the window."""
        return self.stop - len(self.bars)

    @property
    def starts(self) -> Times:
        """When the bars of the window began."""
        return self.timeline.starts[self.first : self.stop]


def predict_newest(
    model: Model,
    library: PathLibrary,
    store: BarStore,
    *,
    as_of: datetime,
    count: int = 1,
    pool: Pool | None = None,
    setup: Setup | None = None,
    engine: str = "auto",
) -> pl.DataFrame:
    """Predict the newest complete bars.

    Parameters
    ----------
    model : Model
        In force for the bars of the store (`tasks.research.registry`).
    library : PathLibrary
        As the model's training left it or longer; rows are added here as their outcomes become
        known.
    store : BarStore
    as_of : datetime
        Nothing after it is looked at; a bar counts once it is closed.
    count : int
        How many of the newest bars.
    pool : Pool, optional
        As the model's training left it, where its recipe names one. Rows of the model's own pair
        are added here likewise; those of other pairs are as they were until the next training.
    setup : Setup, optional
        The strategy of the model's exit rule, where that is not the recipe's own.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    polars.DataFrame
        The columns of a backtest's predictions, without outcomes: one row a bar.

    Raises
    ------
    NoBars
        If no bar of the pair is complete at `as_of`.
    NoSuchBar
        If the library knows a bar that the store does not have.
    ValueError
        If the model's recipe names a pool and none is passed.
    """
    recipe = model.frozen.recipe
    if recipe.pool and pool is None:
        raise ValueError(f"the model {model.model_id} asks a pool: pass the one of its training")
    tiered = TieredBars(store)
    back = LOOKBACK if setup is None else max(LOOKBACK, setup.strategy.requires.warmup)
    window = _window(tiered, model, as_of, count=count, last=_last(library, pool), back=back)
    measures = measure_by(recipe, window.bars, engine=engine)
    measures = with_leads(measures, _leads(tiered, recipe, window, count), recipe, engine=engine)
    measures = replace(measures, metrics=with_costs(measures.metrics, window.bars, recipe))
    if setup is not None:
        exits = setup.exits(frames(setup, tiered, window.bars, measures.metrics, engine=engine))
        measures = replace(measures, metrics=measures.metrics.with_columns(exits))
    resolved = _resolved(model, window, measures, engine)
    library = library.extend(resolved)
    positions = np.arange(max(0, window.stop - count), window.stop, dtype=np.int64)
    newest = positions - window.first
    paths = model.frozen.paths(measures.trajectory[newest])
    answers = search(
        paths,
        model.frozen.features(measures)[newest],
        positions,
        library,
        window.timeline,
        rule=model.frozen.rule,
        engine=engine,
    )
    if pool is not None:
        pool = pool.extend(resolved, window.timeline)
        rule = model.frozen.rule
        answers = pool.ask(answers, paths, window.timeline, rule=rule, engine=engine)
    told = model.predict(*asked(measures, model.frozen, answers, window.first))
    bars = with_distances(measures.metrics, recipe).with_columns(
        position=pl.int_range(window.first, window.stop, dtype=pl.Int64)
    )
    return bars.join(told, on="position", how="inner", maintain_order="left").fill_nan(None)


def _last(library: PathLibrary, pool: Pool | None) -> np.datetime64:
    """Return the bar since which rows may be missing; NaT where all may."""
    return library.last if pool is None else np.minimum(library.last, pool.last)


def _leads(bars: TieredBars, recipe: Recipe, window: Window, count: int) -> dict[str, pl.DataFrame]:
    """Return the bars of other pairs that began no later than the window's last one."""
    end = window.bars["timestamp"][-1] + timedelta.resolution
    return {
        pair: bars.newest(pair, recipe.timeframe, count + LOOKBACK, end) for pair in recipe.leads
    }


def _window(
    bars: TieredBars, model: Model, as_of: datetime, *, count: int, last: np.datetime64, back: int
) -> Window:
    """Return the bars to look at; they and the timeline are of one content of the store.

    An ingest may come between: then both are read again.
    """
    recipe = model.frozen.recipe
    key, start = (recipe.pair, recipe.timeframe), model.frozen.first_bar
    end = as_of - bar_length(recipe.timeframe) + timedelta.resolution
    content = None
    while content != (content := bars.store.content_hash(*key)):
        timeline = Timeline.of(bars.store.starts(*key, start))
        stop = timeline.before(end)
        last_number = -1 if np.isnat(last) else int(timeline.numbers(np.array([last]))[0])
        first = max(0, min(stop - 1 - count, last_number) + 1 - back)
        window = bars.newest(*key, stop - first, end)
    if window.is_empty():
        raise NoBars(
            f"no {recipe.pair} {recipe.timeframe} bar is complete at {as_of}: run `ingest` first"
        )
    return Window(timeline, stop, window)


def _resolved(model: Model, window: Window, measures: Measures, engine: str) -> Library:
    """Return the library's rows of the window whose outcome is known."""
    outcomes = resolve(window.bars, measures.metrics, model.frozen.recipe, engine=engine)
    return Library.build(
        model.frozen.paths(measures.trajectory),
        model.frozen.features(measures),
        outcomes,
        window.starts,
        stride=model.frozen.stride,
        first=window.first,
    )
