"""The steps of a backtest: each reads files of the run's folder and leaves its own there."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from infra.store import content_hash
from kernels.device import choose_engine
from tasks.folder import RunFolder, bar_store
from tasks.measure import Measures, measure, refuse_bad_prices
from tasks.model import Frozen
from tasks.recipe import Recipe
from tasks.resolve import resolve
from tasks.steps import step
from tasks.walkforward import freeze, replay

DIMENSIONS = 64


@step("bars", version=1)
def take_bars(
    folder: str, pair: str, timeframe: str, start: str | None, end: str | None
) -> dict[str, Any]:
    """Fix the bars the run works on, whatever is ingested meanwhile.

    Returns
    -------
    dict
        `rows`, `hash`, `first` and `last` bar.

    Raises
    ------
    BarsError
        If there are none, or prices are not numbers.
    """
    span = (datetime.fromisoformat(edge) if edge else None for edge in (start, end))
    bars = bar_store().read(pair, timeframe, *span)
    refuse_bad_prices(bars)
    bars.write_parquet(RunFolder(Path(folder)).bars)
    return {
        "rows": len(bars),
        "hash": content_hash(bars),
        "first": bars["timestamp"][0].isoformat(),
        "last": bars["timestamp"][-1].isoformat(),
    }


@step("measure", version=1)
def measure_bars(folder: str, recipe: dict[str, Any], engine: str) -> dict[str, Any]:
    """Compute metrics and damping trajectories of all bars.

    Returns
    -------
    dict
        `bars`, `with_metrics`, `converged` (share), `engine` and `reason`.
    """
    run, plan = RunFolder(Path(folder)), Recipe.from_dict(recipe)
    chosen = choose_engine(engine)
    measures = measure(
        pl.read_parquet(run.bars),
        plan.timeframe,
        encoder=plan.encoder,
        params=plan.damping,
        engine=engine,
    )
    measures.metrics.write_parquet(run.metrics)
    flat = measures.trajectory.reshape(len(measures.metrics), DIMENSIONS)
    names = [f"trajectory_{d}" for d in range(DIMENSIONS)]
    pl.from_numpy(flat, names).write_parquet(run.trajectory, compression="uncompressed")
    measured = measures.metrics.filter(pl.col("steps") > 0)
    return {
        "bars": len(measures.metrics),
        "with_metrics": len(measured),
        "converged": float(np.mean(measured["converged"].to_numpy())) if len(measured) else 0.0,
        "engine": chosen.name,
        "reason": chosen.reason,
    }


@step("search", version=1)
def search_paths(
    folder: str, recipe: dict[str, Any], data_hash: str, engine: str
) -> dict[str, Any]:
    """Build the path library and count the neighbours of each bar, causally.

    Returns
    -------
    dict
        `library` and `queries` (rows), `stride`, `spans`.
    """
    run, plan = RunFolder(Path(folder)), Recipe.from_dict(recipe)
    measures = _measures(run)
    frozen = freeze(measures, plan, data_hash)
    outcomes = resolve(pl.read_parquet(run.bars), measures.metrics, plan, engine=engine)
    shown = create_progress_artifact(0.0, key="search", description="nearest past paths")
    library, counts = replay(
        measures,
        outcomes,
        frozen,
        engine=engine,
        progress=lambda share: update_progress_artifact(shown, 100 * share),  # type: ignore[arg-type]
    )
    library.write(run.library)
    counts.write_parquet(run.counts)
    run.frozen.write_text(json.dumps(frozen.to_dict()))
    return {
        "library": len(library),
        "queries": len(counts),
        "stride": frozen.stride,
        "spans": frozen.spans.to_dict(),
    }


def _measures(run: RunFolder) -> Measures:
    flat: NDArray[np.float32] = pl.read_parquet(run.trajectory).to_numpy()
    trajectory = np.ascontiguousarray(flat).reshape(len(flat), -1, 4)
    return Measures(pl.read_parquet(run.metrics), trajectory)


def _frozen(run: RunFolder) -> Frozen:
    return Frozen.from_dict(json.loads(run.frozen.read_text()))
