"""Scores of a recorded model's past that are out of sample: what a model of its first part says
of the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.bars import without_empty_quotes
from infra.market.days import trading_day
from infra.stores.bulk import BarStore
from kernels.device import choose_engine
from kernels.outcomes import SIDES
from kernels.statistics.sharpe import LEAST
from tasks import document
from tasks.folder import RunFolder
from tasks.research import registry
from tasks.research.leads import with_leads
from tasks.research.measure import measure_by
from tasks.research.model import Frozen
from tasks.research.recipe import Recipe
from tasks.research.registry import Entry
from tasks.research.spans import TooShort, least
from tasks.rules.frames import measured, others
from tasks.rules.setup import Setup
from tasks.rules.sweep import Past, told_apart

SHARE: Final = 0.75
"""Of a history that lies before its test span, about."""


@dataclass(frozen=True)
class Scores:
    """Bars of a past, and how good each side looked to who had not seen them.

    Attributes
    ----------
    recipe : Recipe
        Of the model.
    bars, metrics : polars.DataFrame
    score : float32[n, 2]
        Margins, long and short; NaN where nothing is known.
    closing : bool[n]
        Whether the market closes after the bar, so that nothing is entered.
    """

    recipe: Recipe
    bars: pl.DataFrame
    metrics: pl.DataFrame
    score: NDArray[np.float32]
    closing: NDArray[np.bool_]


def scores(chosen: Entry, store: BarStore, *, engine: str = "auto") -> Scores:
    """Return scores of the past of a model, its test span unseen.

    Parameters
    ----------
    chosen : Entry
    store : infra.stores.bulk.BarStore
        With the bars it was made of.
    engine : {"auto", "cpu", "gpu"}

    Raises
    ------
    tasks.research.registry.ModelRefused
        If a file is gone, or bars of its history or the code changed since.
    TooShort
        If the past is too short to train on a part of it, or the rest too short to be judged.

    Notes
    -----
    The past is what lies before the test span, and nothing later is read. It is split as a whole
    history is; margins are those of the last part, by a model of the two before it, with the
    recipe of the one on record. That one itself knows these bars: it was fitted on them.
    """
    frozen = registry.in_force(chosen, store).frozen
    recipe, past, exits = _past(chosen, frozen, store, choose_engine(engine).name)
    start = _start(past, recipe)
    told = told_apart(past, recipe, exits)[start:]
    margins = [told[f"margin_{side}"].cast(pl.Float64).fill_null(math.nan) for side in SIDES]
    return Scores(
        recipe=recipe,
        bars=past.bars[start:],
        metrics=past.measures.metrics[start:],
        score=np.column_stack([margin.to_numpy() for margin in margins]).astype(np.float32),
        closing=told["closing"].to_numpy(),
    )


def _past(
    chosen: Entry, frozen: Frozen, store: BarStore, engine: str
) -> tuple[Recipe, Past, list[pl.Series]]:
    """Return a model's bars before its test span, measured, and the exits of its rule."""
    setup, recipe = _setup(chosen), frozen.recipe
    end = frozen.last_bar + timedelta.resolution
    read = store.read(recipe.pair, recipe.timeframe, frozen.first_bar, end)
    bars = without_empty_quotes(read.head(frozen.spans.calibration.stop))
    first, last = bars["timestamp"][0], bars["timestamp"][-1]
    measures = measure_by(recipe, bars, engine=engine)
    until = last + timedelta.resolution
    leads = {
        pair: without_empty_quotes(store.read(pair, recipe.timeframe, first, until))
        for pair in recipe.leads
    }
    measures = with_leads(measures, leads, recipe, engine=engine)
    base = setup.strategy.requires.streams[0].name
    streams = {base: bars, **others(setup.strategy, store, first, last)}
    known = {recipe.encoder: measures.metrics}
    frames = measured(setup.strategy, streams, known=known, engine=engine)
    return recipe, Past(bars, measures, frames, engine), setup.exits(frames)


def _setup(chosen: Entry) -> Setup:
    """Return what the run traded: that of a later rule lies with the first one."""
    first = registry.entry(chosen.metrics.get("of", chosen.model_id))
    try:
        return Setup.read(RunFolder(Path(first.folder)))
    except document.DocumentError as error:
        raise registry.refused(first, error) from error


def _start(past: Past, recipe: Recipe) -> int:
    """Return the first bar that is told of by who has not seen it."""
    count = len(past.bars)
    try:
        start = past.spans(recipe.horizon).test.start
    except TooShort as error:
        known = np.flatnonzero(np.isfinite(past.measures.trajectory[:, -1, 0]))
        needed = (int(known[0]) if len(known) else 0) + least(recipe.horizon)
        raise TooShort(_missing(count, needed, "to train on a part of them")) from error
    days = trading_day(past.bars["timestamp"][start:]).n_unique()
    if days < LEAST:
        what = f"to judge by: the part to trade has {days} days of at least {LEAST}"
        raise TooShort(_missing(count, math.ceil(count * LEAST / days), what))
    return start


def _missing(count: int, needed: int, what: str) -> str:
    missing = needed - count
    return (
        f"{count:,} bars before the test span are too few {what}; about {missing:,} are missing "
        f"there, {math.ceil(missing / SHARE):,} of the whole history: ingest earlier bars and "
        "train again"
    )
