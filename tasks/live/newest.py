"""The newest bars as the live cycle sees them: same kernels, same numbers as the backtest."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from infra.market.timeframes import bar_length
from infra.stores.bulk import BarStore
from infra.stores.tiers import TieredBars
from kernels.paths import unit_paths
from tasks.research.library import Library, PathLibrary
from tasks.research.measure import Measures, measure
from tasks.research.model import Model
from tasks.research.resolve import resolve, with_distances
from tasks.research.search import search

LOOKBACK = 4096
"""Bars read before the first one that is measured.

The window takes 258; the rest finds the last bit before it, so that an event is missed only
where no price moved for more than 3,800 bars.
"""


class NoBars(LookupError):
    """There is no complete bar to look at."""


def predict_newest(
    model: Model,
    library: PathLibrary,
    store: BarStore,
    *,
    as_of: datetime,
    count: int = 1,
    engine: str = "auto",
) -> pl.DataFrame:
    """Tell the confidence of the newest complete bars.

    Parameters
    ----------
    model : Model
    library : PathLibrary
        As the model's training left it or longer; rows are added here as their outcomes become
        known.
    store : BarStore
    as_of : datetime
        Nothing after it is looked at; a bar counts once it is closed.
    count : int
        How many of the newest bars.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    polars.DataFrame
        The columns of a backtest's predictions, without outcomes: one row a bar.

    Raises
    ------
    NoBars
        If no bar of the pair is complete at `as_of`.
    """
    recipe = model.frozen.recipe
    first, bars = _window(TieredBars(store), model, as_of, count=count, last=library.last)
    newest = first + len(bars) - 1
    measures = measure(
        bars, recipe.timeframe, encoder=recipe.encoder, params=recipe.damping, engine=engine
    )
    library = library.extend(_resolved(model, bars, measures, first, engine))
    positions = np.arange(max(0, newest - count + 1), newest + 1, dtype=np.int64)
    rows = positions - first
    paths = unit_paths(measures.trajectory[rows], model.frozen.standard)
    counts = search(paths, positions, library, horizon=recipe.horizon, k=recipe.k, engine=engine)
    told = with_distances(measures.metrics, recipe).with_columns(
        position=pl.int_range(first, first + pl.len(), dtype=pl.Int64)
    )
    return told.join(
        model.predict(counts), on="position", how="inner", maintain_order="left"
    ).fill_nan(None)


def _window(
    bars: TieredBars, model: Model, as_of: datetime, *, count: int, last: int
) -> tuple[int, pl.DataFrame]:
    """Return the bars to look at, and the number of the first of them since the model's first.

    Numbers and bars are of one content, though an ingest may come between.
    """
    recipe = model.frozen.recipe
    key, start = (recipe.pair, recipe.timeframe), model.frozen.first_bar
    end = as_of - bar_length(recipe.timeframe) + timedelta.resolution
    content = None
    while content != (content := bars.store.content_hash(*key)):
        newest = bars.count(*key, start, end) - 1
        first = max(0, min(newest - count, last) + 1 - LOOKBACK)
        window = bars.newest(*key, newest - first + 1, end)
    if window.is_empty():
        raise NoBars(
            f"no {recipe.pair} {recipe.timeframe} bar is complete at {as_of}: run `ingest` first"
        )
    return first, window


def _resolved(
    model: Model, bars: pl.DataFrame, measures: Measures, first: int, engine: str
) -> Library:
    outcomes = resolve(bars, measures.metrics, model.frozen.recipe, engine=engine)
    paths = unit_paths(measures.trajectory, model.frozen.standard)
    return Library.build(paths, outcomes, stride=model.frozen.stride, first=first)
