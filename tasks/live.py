"""The newest bars as the live cycle sees them: same kernels, same numbers as the backtest."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from infra.store import BarStore
from kernels.paths import unit_paths
from tasks.instruments import bar_length
from tasks.library import Library, PathLibrary
from tasks.measure import Measures, measure
from tasks.model import Model
from tasks.resolve import resolve, with_distances
from tasks.search import search

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
    known = _complete(store, model, as_of)
    newest = len(known) - 1
    first = max(0, min(newest - count, library.last) + 1 - LOOKBACK)
    bars = known.slice(first)
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


def _complete(store: BarStore, model: Model, as_of: datetime) -> pl.DataFrame:
    recipe = model.frozen.recipe
    last = as_of - bar_length(recipe.timeframe)
    bars = store.read(recipe.pair, recipe.timeframe, start=model.frozen.first_bar)
    bars = bars.filter(pl.col("timestamp") <= last)
    if bars.is_empty():
        raise NoBars(
            f"no {recipe.pair} {recipe.timeframe} bar is complete at {as_of}: run `ingest` first"
        )
    return bars


def _resolved(
    model: Model, bars: pl.DataFrame, measures: Measures, first: int, engine: str
) -> Library:
    outcomes = resolve(bars, measures.metrics, model.frozen.recipe, engine=engine)
    paths = unit_paths(measures.trajectory, model.frozen.standard)
    return Library.build(paths, outcomes, stride=model.frozen.stride, first=first)
