"""The steps of a backtest: each reads files of the run's folder and leaves its own there."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from infra.bars import content_hash, without_empty_quotes
from kernels.device import choose_engine
from tasks import document
from tasks.document import from_plain, to_plain
from tasks.folder import RunFolder, bar_store, keep
from tasks.intake.truth import read_truth
from tasks.reports.cautions import Trade, cautions
from tasks.reports.learners import learners
from tasks.reports.report import write_report
from tasks.reports.summary import summarise
from tasks.reports.truth import against_truth, speaks_of
from tasks.research.knowledge import with_costs
from tasks.research.leads import with_leads
from tasks.research.measure import BarsError, Measures, measure_by, refuse_bad_prices
from tasks.research.model import Frozen, Model
from tasks.research.pool import pooled
from tasks.research.recipe import Recipe
from tasks.research.registry import register
from tasks.research.resolve import closing, resolve
from tasks.research.search import memory_plan
from tasks.research.simulation import Simulation, simulate
from tasks.research.training import opinions, predictions, train
from tasks.research.walkforward import freeze, replay
from tasks.steps import step
from tasks.strategy.strategies import strategy

DIMENSIONS = 64
FIGURES = ("verdict", "trades", "money", "calibration", "learners", "caution")
"""What of a summary is recorded with its model."""


@step("bars", version=3)
def take_bars(
    folder: str,
    pair: str,
    timeframe: str,
    start: str | None,
    end: str | None,
    leads: list[str],
    pool: list[str],
) -> dict[str, Any]:
    """Fix the bars the run works on, whatever is ingested meanwhile.

    Parameters
    ----------
    folder : str
        The run's folder.
    pair, timeframe : str
    start, end : str, optional
        ISO times of the first bar, and of one past the last; None: all there are.
    leads : list of str
        Other pairs that are looked at.
    pool : list of str
        Other pairs whose past is asked, too: all of it, up to the last bar.

    Returns
    -------
    dict
        `rows`, `hash`, `first` and `last` bar, `lead_hashes` and `pool_hashes` by other pair.

    Raises
    ------
    BarsError
        If there are none, of one of the pairs, or prices are not numbers.
    """
    run = RunFolder(Path(folder))
    span = [datetime.fromisoformat(edge) if edge else None for edge in (start, end)]
    bars = _bars(pair, timeframe, *span)
    keep(bars, run.bars)
    first, last = bars["timestamp"][0], bars["timestamp"][-1]
    stop = last + timedelta.resolution
    looked_at = {lead: _bars(lead, timeframe, first, stop) for lead in leads}
    pooled_with = {other: _bars(other, timeframe, None, stop) for other in pool}
    _keep_others(looked_at, run.leads)
    _keep_others(pooled_with, run.pool_bars)
    return {
        "rows": len(bars),
        "hash": content_hash(bars),
        "first": first.isoformat(),
        "last": last.isoformat(),
        "lead_hashes": {pair: content_hash(each) for pair, each in looked_at.items()},
        "pool_hashes": {pair: content_hash(each) for pair, each in pooled_with.items()},
    }


def _keep_others(bars: dict[str, pl.DataFrame], path: Path) -> None:
    named = [each.with_columns(pair=pl.lit(pair)) for pair, each in bars.items()]
    if named:
        keep(pl.concat(named, how="diagonal"), path)


def _others(path: Path) -> dict[str, pl.DataFrame]:
    parts = pl.read_parquet(path).partition_by("pair", as_dict=True, include_key=False)
    # a pair without quotes got empty ones beside a pair that has some
    return {str(key[0]): without_empty_quotes(frame) for key, frame in parts.items()}


def _bars(pair: str, timeframe: str, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    bars = without_empty_quotes(bar_store().read(pair, timeframe, start, end))
    if bars.is_empty():
        span = f" from {start or 'the first'} to {end or 'the last'}"
        raise BarsError(
            f"there are no bars of {pair} {timeframe}{span}: run `ingest` for them first"
        )
    refuse_bad_prices(bars)
    return bars


@step("measure", version=3)
def measure_bars(folder: str, recipe: dict[str, Any], engine: str) -> dict[str, Any]:
    """Compute metrics and damping trajectories of all bars.

    Parameters
    ----------
    folder : str
        The run's folder.
    recipe : dict
        A plain `Recipe`.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    dict
        `bars`, `with_metrics`, `converged` (share), `engine` and `reason`.
    """
    run, plan = RunFolder(Path(folder)), from_plain(Recipe, recipe)
    chosen = choose_engine(engine)
    bars = pl.read_parquet(run.bars)
    measures = measure_by(plan, bars, engine=engine)
    if plan.leads:
        measures = with_leads(measures, _others(run.leads), plan, engine=engine)
    keep(with_costs(measures.metrics, bars, plan), run.metrics)
    flat = measures.trajectory.reshape(len(measures.metrics), DIMENSIONS)
    names = [f"trajectory_{d}" for d in range(DIMENSIONS)]
    keep(pl.from_numpy(flat, names), run.trajectory, "uncompressed")
    measured = measures.metrics.filter(pl.col("steps") > 0)
    return {
        "bars": len(measures.metrics),
        "with_metrics": len(measured),
        "converged": float(np.mean(measured["converged"].to_numpy())) if len(measured) else 0.0,
        "engine": chosen.name,
        "reason": chosen.reason,
    }


@step("search", version=4)
def search_paths(
    folder: str,
    recipe: dict[str, Any],
    data_hash: str,
    lead_hashes: dict[str, str],
    pool_hashes: dict[str, str],
    engine: str,
) -> dict[str, Any]:
    """Learn what similar means, build the path library, ask each bar's neighbours, causally.

    Parameters
    ----------
    folder : str
        Of the run.
    recipe : dict
        A plain `Recipe`.
    data_hash : str
        Content hash of the bars.
    lead_hashes, pool_hashes : dict
        The same of other pairs that are looked at, and of those of the pool.
    engine : {"cpu", "gpu"}
        The one that measured them: a run's numbers come from one engine, and say which.

    Returns
    -------
    dict
        `library`, `pool` and `queries` (rows), `memory` (how they were cut), `k`, `stride`,
        `spans`.
    """
    run, plan = RunFolder(Path(folder)), from_plain(Recipe, recipe)
    measures = _measures(run)
    outcomes = resolve(pl.read_parquet(run.bars), measures.metrics, plan, engine=engine)
    frozen = freeze(measures, outcomes, plan, data_hash, engine=engine)
    frozen = replace(frozen, lead_hashes=lead_hashes, pool_hashes=pool_hashes)
    shown = create_progress_artifact(0.0, key="search", description="nearest past paths")
    library, counts = replay(
        measures,
        outcomes,
        frozen,
        engine=engine,
        progress=lambda share: update_progress_artifact(shown, 100 * share),  # type: ignore[arg-type]
    )
    library.write(run.library)
    rows = 0
    if plan.pool:
        bars = _others(run.pool_bars)
        pool, counts = pooled(measures, frozen, library, counts, bars, engine=engine)
        pool.write(run.pool)
        rows = len(pool)
    keep(counts, run.counts)
    document.write(run.frozen, frozen)
    return {
        "library": len(library),
        "pool": rows,
        "queries": len(counts),
        "memory": memory_plan(len(library), len(counts), k=frozen.similarity.k, engine=engine),
        "k": frozen.similarity.k,
        "stride": frozen.stride,
        "spans": to_plain(frozen.spans),
    }


def _measures(run: RunFolder) -> Measures:
    flat: NDArray[np.float32] = pl.read_parquet(run.trajectory).to_numpy()
    trajectory = np.ascontiguousarray(flat).reshape(len(flat), -1, 4)
    return Measures(pl.read_parquet(run.metrics), trajectory)


@step("train", version=3)
def train_model(folder: str) -> dict[str, Any]:
    """Learn confidence and what it is worth, and tell both of every bar that was asked.

    Returns
    -------
    dict
        `model_id`, `weights` (of learners, by name) and `caution` in force.
    """
    run = RunFolder(Path(folder))
    frozen = document.read(run.frozen, Frozen)
    measures, answers = _measures(run), pl.read_parquet(run.counts)
    bars, recipe = pl.read_parquet(run.bars), frozen.recipe
    outcomes = resolve(bars, measures.metrics, recipe, engine=frozen.engine)
    model = train(measures, outcomes, frozen, answers)
    document.write(run.model, model)
    keep(predictions(measures, outcomes, model, answers), run.predictions)
    keep(opinions(measures, model, answers), run.opinions)
    return {
        "model_id": model.model_id,
        "weights": model.confidence.weights,
        "caution": model.caution,
    }


@step("simulate", version=2)
def simulate_trades(folder: str) -> dict[str, Any]:
    """Trade the strategy's signals of the test span, with costs.

    Returns
    -------
    dict
        `signals` and `trades` (numbers), `net` (sum of gains).
    """
    run = RunFolder(Path(folder))
    frozen, predicted = document.read(run.model, Model).frozen, pl.read_parquet(run.predictions)
    signals = _signals(frozen.recipe, predicted)
    simulation = _trade(run, frozen)(predicted)
    keep(simulation.trades, run.trades)
    keep(simulation.equity, run.equity)
    return {
        "signals": len(signals),
        "trades": len(simulation.trades),
        "net": float(simulation.trades["gain"].sum()),
    }


@step("report", version=2)
def write_run_report(folder: str, about: dict[str, Any]) -> dict[str, Any]:
    """Sum the run up, judge it, and write summary and report.

    Parameters
    ----------
    folder : str
        The run's folder.
    about : dict
        What else the summary says of the run.

    Returns
    -------
    dict
        The summary, with `report` (path of the HTML file).
    """
    run = RunFolder(Path(folder))
    model, predicted = document.read(run.model, Model), pl.read_parquet(run.predictions)
    recipe = model.frozen.recipe
    signals = _signals(recipe, predicted)
    simulation = Simulation(pl.read_parquet(run.trades), pl.read_parquet(run.equity))
    what = {"model": model.model_id, "data_hash": model.frozen.data_hash, **to_plain(recipe)}
    about = {**what, **about}
    summary = summarise(predicted, signals, simulation, horizon=recipe.horizon, about=about)
    summary |= _learnt(run, model, predicted, simulation)
    run.summary.write_text(json.dumps(summary, indent=1))
    report = write_report(run.path, predicted, signals, simulation, summary)
    return {**summary, "report": str(report)}


@step("register", version=2)
def register_model(folder: str, summary: dict[str, Any]) -> dict[str, Any]:
    """Record the model as a candidate in PostgreSQL.

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
    model = document.read(run.model, Model)
    figures = {name: summary[name] for name in FIGURES}
    figures["engine"] = model.frozen.engine
    register(model, str(run.path), figures)
    return {"model_id": model.model_id}


def _signals(recipe: Recipe, predictions: pl.DataFrame) -> pl.DataFrame:
    return strategy(recipe.strategy)(predictions.filter(pl.col("split") == "test"))


def _learnt(
    run: RunFolder, model: Model, predictions: pl.DataFrame, simulation: Simulation
) -> dict[str, Any]:
    """Say what learners and caution are worth, and how much of the truth, if one is known."""
    recipe, confidence, trade = model.frozen.recipe, model.confidence, _trade(run, model.frozen)
    said, horizon = pl.read_parquet(run.opinions), recipe.horizon
    tried = cautions(
        predictions,
        trade,
        in_force=model.caution,
        asked=recipe.caution is not None,
        growths=confidence.growths,
    )
    judged = learners(predictions, said, confidence.weights, horizon=horizon)
    told: dict[str, Any] = {"learners": judged, "caution": tried}
    truth = read_truth(recipe.pair, recipe.timeframe)
    if truth is not None and speaks_of(truth, recipe, predictions):
        told["truth"] = against_truth(predictions, simulation, truth, trade, horizon=horizon)
    return told


def _trade(run: RunFolder, frozen: Frozen) -> Trade:
    """Return what trades the test span of predictions by the strategy, with costs."""
    test, recipe = slice(frozen.spans.test.start, None), frozen.recipe
    bars = pl.read_parquet(run.bars)[test]
    metrics = pl.read_parquet(run.metrics)[test]
    segments, closed = metrics["segment"].to_numpy(), closing(metrics, recipe)

    def trade(predictions: pl.DataFrame) -> Simulation:
        signals = _signals(recipe, predictions)
        distances = signals.join(predictions, on="timestamp", maintain_order="left")
        stop, target = (distances[f"{name}_distance"] for name in ("stop", "target"))
        return simulate(
            bars,
            signals,
            segments=segments,
            horizon=recipe.horizon,
            costs=recipe.costs,
            stop=stop,
            target=target,
            closing=closed,
        )

    return trade
