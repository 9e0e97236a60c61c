"""The whole chain of a backtest on a walk whose truth is known, without servers and files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.outcomes import SIDES, Outcomes
from kernels.synthetic import WALKS, PlantedWalk, draw
from tasks.gate.selftest.walks import bars_of as bars_of
from tasks.research.knowledge import with_costs
from tasks.research.leads import with_leads
from tasks.research.measure import Measures, measure
from tasks.research.model import Model
from tasks.research.pool import pooled
from tasks.research.recipe import Recipe
from tasks.research.resolve import closing, resolve
from tasks.research.simulation import Simulation, simulate
from tasks.research.training import predictions, train
from tasks.research.walkforward import freeze, replay
from tasks.strategy.strategies import strategy

BARS = 20_000


@dataclass(frozen=True)
class Study:
    """What a backtest makes of a walk."""

    walk: PlantedWalk | None
    bars: pl.DataFrame
    measures: Measures
    outcomes: Outcomes
    model: Model
    answers: pl.DataFrame
    predicted: pl.DataFrame

    @property
    def test(self) -> pl.DataFrame:
        """Predictions of the test span."""
        return self.predicted.filter(pl.col("split") == "test")

    @property
    def recipe(self) -> Recipe:
        """What it was made by."""
        return self.model.frozen.recipe

    def trade(self, predicted: pl.DataFrame | None = None) -> Simulation:
        """Trade the signals of the test span, under the rules of a backtest."""
        rows = self.test if predicted is None else predicted
        signals = strategy(self.recipe.strategy)(rows)
        distances = signals.join(self.predicted, on="timestamp", maintain_order="left")
        first = self.model.frozen.spans.test.start
        return simulate(
            self.bars[first:],
            signals,
            segments=self.measures.metrics["segment"].to_numpy()[first:],
            horizon=self.recipe.horizon,
            costs=self.recipe.costs,
            stop=distances["stop_distance"],
            target=distances["target_distance"],
            closing=closing(self.measures.metrics, self.recipe)[first:],
        )


def recipe_of(name: str, **changes: Any) -> Recipe:
    """Return the recipe of a walk: no stop, so that its truth is that of its trades."""
    leader = WALKS[name].leader
    leads = (leader,) if leader else ()
    pair = WALKS[name].instrument
    recipe = Recipe.default(pair, "H1", leads=leads, slippage=0.0, **changes)
    return replace(recipe, stop_deviations=None)


def study(name: str, seed: int, bars: int = BARS, size: float = 1.0, **changes: Any) -> Study:
    """Draw a walk and run the chain on it."""
    walk = draw(name, bars, seed=seed, size=size)
    leader = WALKS[name].leader
    others = {leader: bars_of(walk.leader)} if leader and walk.leader else {}
    return replace(run(bars_of(walk), recipe_of(name, **changes), others), walk=walk)


def measured(
    bars: pl.DataFrame, recipe: Recipe, others: dict[str, pl.DataFrame]
) -> tuple[Measures, Outcomes]:
    """Return what is known of bars, and what became of their trades."""
    measures = measure(bars, recipe.pair, recipe.timeframe, engine="cpu")
    measures = with_leads(measures, others, recipe, engine="cpu")
    measures = replace(measures, metrics=with_costs(measures.metrics, bars, recipe))
    return measures, resolve(bars, measures.metrics, recipe, engine="cpu")


def run(
    bars: pl.DataFrame,
    recipe: Recipe,
    others: dict[str, pl.DataFrame] | None = None,
    pool: dict[str, pl.DataFrame] | None = None,
) -> Study:
    """Run the chain on bars, with those of leads and of a pool, on the CPU."""
    recipe = replace(recipe, pool=tuple(pool or ()))
    measures, outcomes = measured(bars, recipe, others or {})
    frozen = freeze(measures, outcomes, recipe, "data", engine="cpu")
    library, answers = replay(measures, outcomes, frozen, engine="cpu")
    if pool:
        _, answers = pooled(measures, frozen, library, answers, pool, engine="cpu")
    model = train(measures, outcomes, frozen, answers)
    predicted = predictions(measures, outcomes, model, answers)
    return Study(None, bars, measures, outcomes, model, answers, predicted)


def by_side(frame: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """Return a column of both sides, float64[n, 2]."""
    columns = [frame[f"{name}_{side}"].cast(pl.Float64).fill_null(np.nan) for side in SIDES]
    return np.column_stack([column.to_numpy() for column in columns])
