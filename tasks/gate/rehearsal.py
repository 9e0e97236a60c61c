"""Training and judging in memory, without servers and files: the harness under its own eyes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from tasks.gate.checks import Check, checks
from tasks.gate.evidence import Search, Unseen, unseen
from tasks.research.knowledge import with_costs
from tasks.research.measure import Measures, measure_by
from tasks.research.model import Model
from tasks.research.resolve import resolve
from tasks.research.simulation import Simulation
from tasks.research.training import predictions, train
from tasks.research.walkforward import freeze, replay
from tasks.rules.bench import Bench
from tasks.rules.frames import measured
from tasks.rules.selection import Selection, select
from tasks.rules.setup import Setup
from tasks.rules.sweep import Past

Judge = Callable[..., list[Check]]
"""As `tasks.gate.checks.checks`."""


@dataclass(frozen=True)
class Rehearsal:
    """What training made of bars, and what the gate says of it.

    Attributes
    ----------
    selection : Selection
    models : dict of str to Model
        By rule, the first one's first.
    library : int
        Rows of the first rule's library.
    predictions : polars.DataFrame
        Of the first rule.
    signals : polars.DataFrame
        Of the test span.
    simulation : Simulation
        Of the test span.
    found : Unseen
    search : Search
    checks : list of Check
    """

    selection: Selection
    models: dict[str, Model]
    library: int
    predictions: pl.DataFrame
    signals: pl.DataFrame
    simulation: Simulation
    found: Unseen
    search: Search
    checks: list[Check]


def rehearse(
    setup: Setup,
    bars: pl.DataFrame,
    *,
    tries: int = 16,
    engine: str = "cpu",
    seed: int = 0,
    judge: Judge = checks,
) -> Rehearsal:
    """Choose parameters on the past, train, trade the test span, and ask the gate.

    Parameters
    ----------
    setup : Setup
        Of a strategy that looks at one stream.
    bars : polars.DataFrame
    tries : int
        Sets of a text's parameters.
    engine : {"cpu", "gpu"}
    seed : int
        Of the bootstraps.
    judge : callable
        The gate.

    Raises
    ------
    tasks.research.spans.TooShort
        If there are too few bars.
    """
    measures = measure_by(setup.recipe, bars, engine=engine)
    base = setup.strategy.requires.streams[0].name
    frames = measured(
        setup.strategy,
        {base: bars},
        known={setup.recipe.encoder: measures.metrics},
        engine=engine,
    )
    selection = select(setup, Past(bars, measures, frames, engine), tries)
    setup = selection.setup
    models, library, told = _trained(setup, bars, measures, frames, engine)
    test = max(each.frozen.spans.test.start for each in models.values())
    bench = Bench(
        setup,
        frames,
        {rule: each[test:] for rule, each in told.items()},
        bars[test:],
        measures.metrics["segment"].to_numpy()[test:],
        test,
    )
    signals = bench.signals()
    simulation = bench.trade(signals)
    horizon = setup.recipes[setup.first].horizon
    found = unseen(bench, told[setup.first], signals, simulation, horizon, seed=seed)
    search = Search(selection.returns.astype(np.float64), selection.sets, selection.effective)
    return Rehearsal(
        selection,
        models,
        library,
        told[setup.first],
        signals,
        simulation,
        found,
        search,
        judge(found, search, seed=seed),
    )


def _trained(
    setup: Setup,
    bars: pl.DataFrame,
    measures: Measures,
    frames: Mapping[str, pl.DataFrame],
    engine: str,
) -> tuple[dict[str, Model], int, dict[str, pl.DataFrame]]:
    """Return the model of each rule, rows of the first library, and what each model tells."""
    models, told, rows = {}, {}, 0
    for rule, recipe in setup.recipes.items():
        metrics = measures.metrics.with_columns(setup.exits(frames))
        known = replace(measures, metrics=with_costs(metrics, bars, recipe))
        outcomes = resolve(bars, known.metrics, recipe, engine=engine)
        frozen = freeze(known, outcomes, recipe, "", engine=engine)
        library, answers = replay(known, outcomes, frozen, engine=engine)
        rows = rows or len(library)
        models[rule] = train(known, outcomes, frozen, answers)
        told[rule] = predictions(known, outcomes, models[rule], answers)
    return models, rows, told
