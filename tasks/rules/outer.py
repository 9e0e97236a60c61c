"""The outer loop of training: which encoder and damping a model should see bars by.

Each setting needs trajectories of its own. All are compared on the newest part of the past, the
best two on all of it, each at the exits that suit it; every set of every setting counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from kernels.damping import DampingParams
from tasks.research.measure import Measures
from tasks.research.recipe import Recipe
from tasks.rules.frames import measured
from tasks.rules.selection import Selection, select
from tasks.rules.setup import Setup
from tasks.rules.sweep import Past

MOST: Final = 8
FINALISTS: Final = 2
SUBSAMPLE: Final = 20_000
"""Bars of the past that all settings are compared on."""
ENCODERS: Final = ("direction", "volatility", "body", "volume")
DAMPINGS: Final = (
    DampingParams(tau=4.0),
    DampingParams(tau=16.0),
    DampingParams(k1=0.15, k2=0.4),
    DampingParams(k1=0.6, k2=0.1),
)

Measuring = Callable[[Recipe, pl.DataFrame], Measures]


@dataclass(frozen=True)
class Tried:
    """A setting and what came of it on a span."""

    setup: Setup
    selection: Selection

    @property
    def merit(self) -> float:
        """Daily Sharpe ratio of the set that was chosen for it."""
        return float(self.selection.told.get("sharpe", 0.0))


def settings(recipe: Recipe, count: int, *, volume: bool) -> list[Recipe]:
    """Return the recipe, and others that see bars by another encoder or damping.

    Parameters
    ----------
    recipe : Recipe
    count : int
        How many, at most.
    volume : bool
        Whether the bars have volumes to be encoded.
    """
    encoders = [each for each in ENCODERS if volume or each != "volume"]
    others = [replace(recipe, encoder=each) for each in encoders if each != recipe.encoder]
    dampings = [replace(recipe, damping=each) for each in DAMPINGS if each != recipe.damping]
    mixed = [each for pair in zip(others, dampings, strict=False) for each in pair]
    rest = [each for each in (*others, *dampings) if each not in mixed]
    return [recipe, *mixed, *rest][: min(count, MOST)]


def select_setting(
    setup: Setup,
    bars: pl.DataFrame,
    measure: Measuring,
    *,
    count: int,
    fixed: Collection[str],
    engine: str,
    progress: Callable[[float], None] = lambda share: None,
) -> Selection:
    """Choose encoder, damping, caution and exits on the past.

    Parameters
    ----------
    setup : Setup
        Of one of the project's own strategies.
    bars : polars.DataFrame
        Of the run; nothing of their test span is looked at.
    measure : callable
        Measures bars by a recipe.
    count : int
        Settings, at most.
    fixed : collection of str
        Parameters that stay as they are.
    engine : {"cpu", "gpu"}
    progress : callable
        Called with the share done.

    Raises
    ------
    TooShort
        If there are too few bars.
    """
    volume = "volume" in bars.columns and bool((bars["volume"].fill_null(0) > 0).any())
    wanted = settings(setup.recipe, count, volume=volume)
    part = _newest(setup, bars, measure, engine)
    tried = []
    for number, recipe in enumerate(wanted):
        tried.append(_tried(replace(setup, recipe=recipe), part, measure, fixed, engine))
        progress((number + 1) / (len(wanted) + FINALISTS))
    best = sorted(tried, key=lambda each: -each.merit)[:FINALISTS]
    finals = [_tried(each.setup, bars, measure, fixed, engine) for each in best]
    progress(1.0)
    chosen = max(finals, key=lambda each: each.merit)
    return _counted(chosen, finals, tried)


def _newest(setup: Setup, bars: pl.DataFrame, measure: Measuring, engine: str) -> pl.DataFrame:
    """Return the newest bars of the past; what comes after them is nobody's business here."""
    past = _past(setup, bars, measure, engine)
    stop = past.spans(2 * setup.recipes[setup.first].horizon).calibration.stop
    return bars[max(0, stop - SUBSAMPLE) : stop]


def _past(setup: Setup, bars: pl.DataFrame, measure: Measuring, engine: str) -> Past:
    measures, base = measure(setup.recipe, bars), setup.strategy.requires.streams[0].name
    known = {setup.recipe.encoder: measures.metrics}
    frames = measured(setup.strategy, {base: bars}, known=known, engine=engine)
    return Past(bars, measures, frames, engine)


def _tried(
    setup: Setup, bars: pl.DataFrame, measure: Measuring, fixed: Collection[str], engine: str
) -> Tried:
    return Tried(setup, select(setup, _past(setup, bars, measure, engine), 1, fixed))


def _counted(chosen: Tried, finals: list[Tried], tried: list[Tried]) -> Selection:
    """Return the choice, every set of every setting counted."""
    found = chosen.selection
    every = [each.selection for each in (*tried, *finals)]
    sets = sum(each.sets for each in every)
    effective = sum(each.effective for each in every)
    tables = [each.selection.returns for each in finals]
    told: dict[str, Any] = {
        "settings": [
            {
                "encoder": each.setup.recipe.encoder,
                **{name: getattr(each.setup.recipe.damping, name) for name in ("tau", "k1", "k2")},
                "sharpe": each.merit,
            }
            for each in tried
        ]
    }
    return replace(
        found,
        setup=replace(found.setup, tried=sets, effective=min(effective, float(sets))),
        sets=sets,
        effective=min(effective, float(sets)),
        returns=np.column_stack(tables),
        told=found.told | told,
    )
