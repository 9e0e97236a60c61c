"""The last steps of a backtest: it is judged, reported and recorded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from socket import gethostname
from typing import Any

import polars as pl

from tasks import document
from tasks.document import to_plain
from tasks.folder import RunFolder
from tasks.intake.truth import read_truth
from tasks.reports.cautions import cautions
from tasks.reports.hashes import hashes
from tasks.reports.learners import learners
from tasks.reports.periods import periods
from tasks.reports.report import write_report
from tasks.reports.shown import shown
from tasks.reports.summary import summarise
from tasks.reports.truth import against_truth, speaks_of
from tasks.research.model import Model
from tasks.research.registry import register
from tasks.research.simulation import Simulation
from tasks.rules.bench import Bench
from tasks.rules.setup import Setup
from tasks.steps import step

FIGURES = (
    *("verdict", "trades", "money", "calibration", "learners", "caution"),
    *("passed", "gate", "trials"),
)
"""What of a summary is recorded with its model."""


@step("report", version=5)
def write_run_report(
    folder: str, about: dict[str, Any], judged: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Sum the run up, judge it, and write summary and report.

    Parameters
    ----------
    folder : str
        The run's folder.
    about : dict
        What else the summary says of the run.
    judged : dict, optional
        What the gate said, and of the choice of parameters.

    Returns
    -------
    dict
        The summary, with `report` (path of the HTML file) and `report_hash` (its SHA-256).
    """
    run = RunFolder(Path(folder))
    bench, models, told = Bench.read(run), {}, {}
    for rule, mine in bench.setup.folders(run):
        models[rule] = document.read(mine.model, Model)
        told[rule] = pl.read_parquet(mine.predictions), models[rule].frozen.recipe.horizon
    signals = pl.read_parquet(run.signals)
    simulation = Simulation(pl.read_parquet(run.trades), pl.read_parquet(run.equity))
    first = bench.setup.first
    predicted, horizon = told.pop(first)
    about = {**_about(bench.setup, models), **about}
    summary = summarise(predicted, signals, simulation, horizon=horizon, about=about, rules=told)
    learnt = {
        rule: _learnt(mine, bench, rule, models[rule]) for rule, mine in bench.setup.folders(run)
    }
    summary |= learnt[first] | _truth(bench, models, predicted, simulation)
    summary["shown"] = {rule: _shown(mine, models[rule]) for rule, mine in bench.setup.folders(run)}
    summary["periods"] = periods(simulation.trades)
    summary["hashes"] = hashes(models[first].frozen, run.model)
    for rule, told_of in summary["rules"].items():
        summary["rules"][rule] = {"calibration": told_of, **learnt[rule]}
    summary |= judged or {}
    run.summary.write_text(json.dumps(summary, indent=1))
    report = write_report(run.path, predicted, signals, simulation, summary, told)
    digest = hashlib.sha256(report.read_bytes()).hexdigest()
    return {**summary, "report": str(report), "report_hash": digest}


@step("register", version=3)
def register_model(folder: str, summary: dict[str, Any]) -> dict[str, Any]:
    """Record the models as candidates in PostgreSQL: that of the first rule stands for all.

    Parameters
    ----------
    folder : str
        The run's folder.
    summary : dict
        What `write_run_report` returned.

    Returns
    -------
    dict
        `model_id`.
    """
    run = RunFolder(Path(folder))
    setup, figures = Setup.read(run), {n: summary[n] for n in FIGURES if n in summary}
    same = {"engine": summary["about"]["engine"], "strategy": setup.source.asked}
    same |= {"run": run.path.name, "machine": gethostname()}
    for rule, mine in setup.folders(run):
        model = document.read(mine.model, Model)
        if rule == setup.first:
            first = model.model_id
        else:
            figures = {"verdict": summary["verdict"], "rule": rule, "of": first}
            figures |= summary["rules"][rule]
        register(model, str(mine.path), figures | same)
    return {"model_id": first}


def _about(setup: Setup, models: dict[str, Model]) -> dict[str, Any]:
    first = models[setup.first]
    told: dict[str, Any] = {"model": first.model_id, "data_hash": first.frozen.data_hash}
    told |= to_plain(first.frozen.recipe)
    del told["spread_hours"]  # `spread_source` says which
    told["parameters"] = {
        name: setup.parameters.get(name, param.default)
        for name, param in setup.strategy.parameters.items()
    }
    if len(models) > 1:
        told["models"] = {rule: model.model_id for rule, model in models.items()}
    return told | ({"tried": setup.tried} if setup.tried else {})


def _learnt(mine: RunFolder, bench: Bench, rule: str, model: Model) -> dict[str, Any]:
    """Say what learners and caution of a rule are worth."""
    predicted, confidence = pl.read_parquet(mine.predictions), model.confidence
    recipe = model.frozen.recipe
    tried = cautions(
        predicted,
        bench.trader(rule),
        in_force=model.caution,
        asked=recipe.caution is not None,
        growths=confidence.growths,
    )
    said, weights = pl.read_parquet(mine.opinions), confidence.weights
    judged = learners(predicted, said, weights, horizon=recipe.horizon)
    return {"learners": judged, "caution": tried}


def _shown(mine: RunFolder, model: Model) -> dict[str, Any]:
    """Show the calibration of a rule, by the seed of its recipe."""
    predicted, said = pl.read_parquet(mine.predictions), pl.read_parquet(mine.opinions)
    confidence, recipe = model.confidence, model.frozen.recipe
    weights, seed = confidence.weights, recipe.seed
    return shown(predicted, said, confidence.stack, weights, horizon=recipe.horizon, seed=seed)


def _truth(
    bench: Bench, models: dict[str, Model], predictions: pl.DataFrame, simulation: Simulation
) -> dict[str, Any]:
    """Say how much of the truth a strategy of one rule told and took, if it is known and asked."""
    setup = bench.setup
    recipe = models[setup.first].frozen.recipe
    if len(models) > 1 or not setup.strategy.requires.rules:
        return {}
    truth = read_truth(recipe.pair, recipe.timeframe)
    if truth is None or not speaks_of(truth, recipe, predictions):
        return {}
    trade = bench.trader(setup.first)
    return {"truth": against_truth(predictions, simulation, truth, trade, horizon=recipe.horizon)}
