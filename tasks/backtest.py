"""The steps of a backtest: each reads files of the run's folder and leaves its own there."""

from __future__ import annotations

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
from tasks.research.knowledge import with_costs
from tasks.research.leads import with_leads
from tasks.research.measure import BarsError, Measures, measure_by, refuse_bad_prices
from tasks.research.model import Frozen
from tasks.research.pool import pooled
from tasks.research.recipe import Recipe
from tasks.research.resolve import resolve
from tasks.research.search import memory_plan
from tasks.research.training import opinions, predictions, train
from tasks.research.walkforward import freeze, replay
from tasks.rules.bench import Bench, frames_of, with_exits
from tasks.rules.frames import others
from tasks.rules.setup import Setup
from tasks.rules.texts import find, of_texts
from tasks.steps import step
from tasks.strategy import commands

DIMENSIONS = 64


@step("strategy", version=1)
def take_strategy(
    folder: str,
    asked: str,
    recipe: dict[str, Any],
    parameters: dict[str, float],
    files: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Fix the strategy the run works with, whatever becomes of its file meanwhile.

    Parameters
    ----------
    folder : str
        The run's folder.
    asked : str
        Its name or file.
    recipe : dict
        A plain `Recipe`: pair, timeframe and all that the strategy does not say itself.
    parameters : dict of str to float
    files : dict of str to str, optional
        Its texts by path, where its file is on another machine.

    Returns
    -------
    dict
        `strategy` (its title), `digest`, `rules` (that each train a confidence).

    Raises
    ------
    DslError
        If there is none, or it is no program, or has other parameters.
    """
    plan = from_plain(Recipe, recipe)
    place = asked, plan.pair, plan.timeframe
    setup = Setup.of(of_texts(*place, files) if files else find(*place), plan, parameters)
    document.write(RunFolder(Path(folder)).strategy, setup)
    rules = list(setup.recipes)
    return {"strategy": setup.strategy.title, "digest": setup.strategy.digest, "rules": rules}


@step("bars", version=4)
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
        `rows`, `hash`, `first` and `last` bar, `lead_hashes` and `pool_hashes` by other pair,
        `stream_hashes` of the strategy's other streams by pair and timeframe.

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
    streams = _streams(run, first, last)
    _keep_others(looked_at, run.leads)
    _keep_others(pooled_with, run.pool_bars)
    return {
        "rows": len(bars),
        "hash": content_hash(bars),
        "first": first.isoformat(),
        "last": last.isoformat(),
        "lead_hashes": {pair: content_hash(each) for pair, each in looked_at.items()},
        "pool_hashes": {pair: content_hash(each) for pair, each in pooled_with.items()},
        "stream_hashes": streams,
    }


def _streams(run: RunFolder, first: datetime, last: datetime) -> dict[str, str]:
    """Keep the bars of a strategy's other streams, and return their hashes."""
    if not run.strategy.exists():  # bars alone are taken
        return {}
    strategy = Setup.read(run).strategy
    bars = others(strategy, bar_store(), first, last)
    named = [each.with_columns(stream=pl.lit(name)) for name, each in bars.items()]
    if named:
        keep(pl.concat(named, how="diagonal"), run.streams)
    key = {each.name: f"{each.pair} {each.timeframe}" for each in strategy.requires.streams}
    return {key[name]: content_hash(each) for name, each in bars.items()}


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
            f"there are no bars of {pair} {timeframe}{span}: run `ingest` for them first, "
            f"{commands.ingest(pair, timeframe)}"
        )
    refuse_bad_prices(bars)
    return bars


@step("measure", version=4)
def measure_bars(folder: str, engine: str) -> dict[str, Any]:
    """Compute metrics and damping trajectories of all bars, and how trades would end.

    Parameters
    ----------
    folder : str
        The run's folder.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    dict
        `bars`, `with_metrics`, `converged` (share), `engine` and `reason`.
    """
    run = RunFolder(Path(folder))
    setup, bars = Setup.read(run), pl.read_parquet(run.bars)
    chosen = choose_engine(engine)
    metrics = keep_measures(run, setup, measured_by(run, setup.recipe, bars, engine), engine)
    measured = metrics.filter(pl.col("steps") > 0)
    return {
        "bars": len(metrics),
        "with_metrics": len(measured),
        "converged": float(np.mean(measured["converged"].to_numpy())) if len(measured) else 0.0,
        "engine": chosen.name,
        "reason": chosen.reason,
    }


def measured_by(run: RunFolder, recipe: Recipe, bars: pl.DataFrame, engine: str) -> Measures:
    """Measure bars of a run, with its leads up to the last of them.

    Parameters
    ----------
    run : RunFolder
    recipe : Recipe
    bars : polars.DataFrame
    engine : {"auto", "cpu", "gpu"}
    """
    measures = measure_by(recipe, bars, engine=engine)
    if recipe.leads:
        last = bars["timestamp"][-1]
        leads = {
            k: each.filter(pl.col("timestamp") <= last) for k, each in _others(run.leads).items()
        }
        measures = with_leads(measures, leads, recipe, engine=engine)
    return measures


def keep_measures(run: RunFolder, setup: Setup, measures: Measures, engine: str) -> pl.DataFrame:
    """Keep what was measured, and where stop and target of each rule would be.

    Parameters
    ----------
    run : RunFolder
    setup : Setup
    measures : Measures
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    polars.DataFrame
        The metrics.
    """
    metrics = measures.metrics
    keep(metrics, run.metrics)
    keep_exits(run, setup, metrics, engine)
    flat = measures.trajectory.reshape(len(metrics), DIMENSIONS)
    names = [f"trajectory_{d}" for d in range(DIMENSIONS)]
    keep(pl.from_numpy(flat, names), run.trajectory, "uncompressed")
    return metrics


def keep_exits(run: RunFolder, setup: Setup, metrics: pl.DataFrame, engine: str) -> None:
    """Keep where stop and target of each rule would be at every bar.

    Parameters
    ----------
    run : RunFolder
    setup : Setup
    metrics : polars.DataFrame
    engine : {"auto", "cpu", "gpu"}
    """
    frames = frames_of(run, setup, metrics, engine=engine)
    keep(setup.strategy.distances(frames, setup.parameters), run.exits)


@step("search", version=5)
def search_paths(
    folder: str, rule: str, data_hash: str, hashes: dict[str, dict[str, str]], engine: str
) -> dict[str, Any]:
    """Learn what similar means, build the path library, ask each bar's neighbours, causally.

    Parameters
    ----------
    folder : str
        Of the run.
    rule : str
        The strategy's exit rule.
    data_hash : str
        Content hash of the bars.
    hashes : dict
        `lead_hashes`, `pool_hashes` and `stream_hashes` as `take_bars` returned them.
    engine : {"cpu", "gpu"}
        The one that measured them: a run's numbers come from one engine, and say which.

    Returns
    -------
    dict
        `library`, `pool` and `queries` (rows), `memory` (how they were cut), `k`, `stride`,
        `spans`.
    """
    run = RunFolder(Path(folder))
    setup = Setup.read(run)
    mine, plan = setup.folder(run, rule), setup.recipes[rule]
    measures = measures_of(run, plan)
    outcomes = resolve(pl.read_parquet(run.bars), measures.metrics, plan, engine=engine)
    frozen = freeze(measures, outcomes, plan, data_hash, engine=engine)
    frozen = replace(
        frozen,
        lead_hashes=hashes["lead_hashes"],
        pool_hashes=hashes["pool_hashes"],
        stream_hashes=hashes["stream_hashes"],
    )
    shown = create_progress_artifact(0.0, key="search", description="nearest past paths")
    library, counts = replay(
        measures,
        outcomes,
        frozen,
        engine=engine,
        progress=lambda share: update_progress_artifact(shown, 100 * share),  # type: ignore[arg-type]
    )
    library.write(mine.library)
    rows = 0
    if plan.pool:
        bars = with_exits(setup, _others(run.pool_bars), engine=engine)
        pool, counts = pooled(measures, frozen, library, counts, bars, engine=engine)
        pool.write(mine.pool)
        rows = len(pool)
    keep(counts, mine.counts)
    document.write(mine.frozen, frozen)
    return {
        "library": len(library),
        "pool": rows,
        "queries": len(counts),
        "memory": memory_plan(len(library), len(counts), k=frozen.similarity.k, engine=engine),
        "k": frozen.similarity.k,
        "stride": frozen.stride,
        "spans": to_plain(frozen.spans),
    }


def measures_of(run: RunFolder, recipe: Recipe | None = None) -> Measures:
    """Return what is known of the bars of a run.

    Parameters
    ----------
    run : RunFolder
    recipe : Recipe, optional
        With exits and costs of its trades.
    """
    flat: NDArray[np.float32] = pl.read_parquet(run.trajectory).to_numpy()
    trajectory = np.ascontiguousarray(flat).reshape(len(flat), -1, 4)
    metrics = pl.read_parquet(run.metrics)
    if recipe is not None:
        exits = pl.read_parquet(run.exits).drop("timestamp")
        metrics = with_costs(metrics.hstack(exits), pl.read_parquet(run.bars), recipe)
    return Measures(metrics, trajectory)


@step("train", version=4)
def train_model(folder: str, rule: str) -> dict[str, Any]:
    """Learn confidence and what it is worth, and tell both of every bar that was asked.

    Parameters
    ----------
    folder : str
        The run's folder.
    rule : str
        The strategy's exit rule.

    Returns
    -------
    dict
        `model_id`, `weights` (of learners, by name) and `caution` in force.
    """
    run = RunFolder(Path(folder))
    mine = Setup.read(run).folder(run, rule)
    frozen = document.read(mine.frozen, Frozen)
    measures, answers = measures_of(run, frozen.recipe), pl.read_parquet(mine.counts)
    bars, recipe = pl.read_parquet(run.bars), frozen.recipe
    outcomes = resolve(bars, measures.metrics, recipe, engine=frozen.engine)
    model = train(measures, outcomes, frozen, answers)
    document.write(mine.model, model)
    keep(predictions(measures, outcomes, model, answers), mine.predictions)
    keep(opinions(measures, model, answers), mine.opinions)
    return {
        "model_id": model.model_id,
        "weights": model.confidence.weights,
        "caution": model.caution,
    }


@step("simulate", version=3)
def simulate_trades(folder: str) -> dict[str, Any]:
    """Trade the strategy's signals of the test span, with costs.

    Returns
    -------
    dict
        `signals` and `trades` (numbers), `net` (sum of gains).
    """
    run = RunFolder(Path(folder))
    bench = Bench.read(run)
    signals = bench.signals()
    simulation = bench.trade(signals)
    keep(signals, run.signals)
    keep(simulation.trades, run.trades)
    keep(simulation.equity, run.equity)
    return {
        "signals": len(signals),
        "trades": len(simulation.trades),
        "net": float(simulation.trades["gain"].sum()),
    }
