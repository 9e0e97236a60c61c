"""The step that chooses a strategy's parameters on the past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks import document
from tasks.backtest import keep_exits, keep_measures, measured_by, measures_of
from tasks.folder import RunFolder, keep
from tasks.research.recipe import Recipe
from tasks.rules.bench import frames_of
from tasks.rules.outer import select_setting
from tasks.rules.selection import Selection, by_grid, select
from tasks.rules.setup import Setup
from tasks.rules.sweep import Past
from tasks.steps import step


@step("sweep", version=3)
def choose_parameters(
    folder: str, tries: int, fixed: list[str], engine: str, settings: int
) -> dict[str, Any]:
    """Choose the strategy's parameters on the past, the test span unseen.

    Parameters
    ----------
    folder : str
        The run's folder.
    tries : int
        How many sets of a text's parameters are compared, at most.
    fixed : list of str
        Parameters that stay as they are.
    engine : {"cpu", "gpu"}
        The one that measured the bars.
    settings : int
        Encoders and dampings that are compared, at most, for a strategy of the project's own.

    Returns
    -------
    dict
        `parameters` (those that do not have their defaults), `caution`, `tried` (how many sets
        were), `rules` (that each train a confidence), `growths` (of the chosen, and of what was
        asked for), `told` (what is to be said of the choice).
    """
    run = RunFolder(Path(folder))
    setup, metrics = Setup.read(run), pl.read_parquet(run.metrics)
    frames = frames_of(run, setup, metrics, engine=engine)
    past = Past(pl.read_parquet(run.bars), measures_of(run), frames, engine)
    if settings > 1 and by_grid(setup):
        found = _by_setting(run, setup, past, settings, fixed)
    else:
        found = select(setup, past, tries, fixed)
    document.write(run.strategy, found.setup)
    names = [str(number) for number in range(found.returns.shape[1])]
    keep(pl.from_numpy(found.returns, names), run.trials)
    if _sees(found.setup.recipe) == _sees(setup.recipe):
        keep_exits(run, found.setup, metrics, engine)
    else:
        measures = measured_by(run, found.setup.recipe, past.bars, engine)
        keep_measures(run, found.setup, measures, engine)
    return {
        "parameters": found.setup.parameters,
        "caution": found.setup.recipe.caution,
        "tried": found.sets,
        "rules": list(found.setup.recipes),
        "growths": [found.growth, found.default],
        "told": found.told,
    }


def _sees(recipe: Recipe) -> tuple[object, ...]:
    """What trajectories hang on."""
    return recipe.encoder, recipe.damping


def _by_setting(
    run: RunFolder, setup: Setup, past: Past, count: int, fixed: list[str]
) -> Selection:
    shown = create_progress_artifact(0.0, key="settings", description="encoders and dampings")
    return select_setting(
        setup,
        past.bars,
        lambda recipe, bars: measured_by(run, recipe, bars, past.engine),
        count=count,
        fixed=fixed,
        engine=past.engine,
        progress=lambda share: update_progress_artifact(shown, 100 * share),  # type: ignore[arg-type]
    )
