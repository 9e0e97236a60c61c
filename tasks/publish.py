"""Models and signals into PostgreSQL: each signal once, whoever publishes it how often."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from infra import models
from infra.database import copy_frame, session
from tasks.instruments import SYNTHETIC, bar_length
from tasks.model import Model

COLUMNS = (
    "side",
    "action",
    "confidence",
    "lower",
    "upper",
    "break_even",
    "entropy",
    "coherence",
    "stability",
    "damped_value",
    "stop_distance",
    "target_distance",
)


class NoModel(LookupError):
    """No model of the pair and timeframe is registered."""


@dataclass(frozen=True)
class Published:
    """What came of publishing: `new` rows, those `present` before, and their mode."""

    new: int
    present: int
    mode: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def mode_of(pair: str) -> str:
    """Return "live" for synthetic instruments, "shadow" for all others.

    Shadow signals are recorded and resolved, never executed. Until a model can pass the gate,
    nothing that a market trades is live.
    """
    return "live" if pair in SYNTHETIC else "shadow"


def publish(
    signals: pl.DataFrame, distances: pl.DataFrame, model: Model, *, run_id: str | None = None
) -> Published:
    """Publish signals; one that is there already stays as it is.

    Parameters
    ----------
    signals : polars.DataFrame
        What a strategy returned.
    distances : polars.DataFrame
        timestamp, stop_distance, target_distance of the same bars.
    model : Model
        Registered before (`register`).
    run_id : str, optional
        The run that publishes.

    Notes
    -----
    The key is (strategy, pair, timeframe, bar). A signal is valid until the bar after its own
    has ended.
    """
    recipe = model.frozen.recipe
    bar, mode = bar_length(recipe.timeframe), mode_of(recipe.pair)
    rows = signals.join(
        distances.select("timestamp", "stop_distance", "target_distance"), on="timestamp"
    )
    finite = [pl.col(name).replace(float("inf"), None) for name in COLUMNS[-2:]]
    frame = rows.with_columns(finite).select(
        *COLUMNS,
        strategy=pl.lit(recipe.strategy),
        pair=pl.lit(recipe.pair),
        timeframe=pl.lit(recipe.timeframe),
        bar_ts="timestamp",
        horizon=pl.lit(recipe.horizon),
        valid_until=pl.col("timestamp") + 2 * bar,
        mode=pl.lit(mode),
        model_id=pl.lit(model.model_id),
        run_id=pl.lit(run_id, pl.String),
    )
    new = copy_frame(frame.fill_nan(None), models.Signal, update=False)
    return Published(new, len(frame) - new, mode)


def register(model: Model, path: str, metrics: dict[str, Any], code_version: str) -> None:
    """Record a model as a candidate; the same model again brings its figures up to date."""
    frozen = model.frozen
    row = insert(models.Model).values(
        model_id=model.model_id,
        pair=frozen.recipe.pair,
        timeframe=frozen.recipe.timeframe,
        strategy=frozen.recipe.strategy,
        parameters=json.loads(json.dumps(frozen.recipe.to_dict())),
        data_hash=frozen.data_hash,
        code_version=code_version,
        trained_from=frozen.first_bar,
        trained_until=frozen.last_bar,
        path=path,
        metrics=metrics,
    )
    changed = {"path": path, "metrics": metrics, "created_at": datetime.now(UTC)}
    with session() as opened:
        opened.execute(row.on_conflict_do_update(index_elements=["model_id"], set_=changed))


def newest_model(pair: str, timeframe: str, model_id: str | None = None) -> str:
    """Return the folder of a model: the one asked for, else the newest of the pair.

    Raises
    ------
    NoModel
        If there is none, or its folder is gone; the message says how to make one.
    """
    chosen = (
        select(models.Model.path)
        .where(models.Model.pair == pair, models.Model.timeframe == timeframe)
        .order_by(models.Model.created_at.desc())
        .limit(1)
    )
    if model_id is not None:
        chosen = chosen.where(models.Model.model_id == model_id)
    with session() as opened:
        path = opened.scalar(chosen)
    make = f"`prefect deployment run backtest/local -p pair={pair} -p timeframe={timeframe}`"
    if path is None:
        raise NoModel(f"no model {model_id or ''} of {pair} {timeframe}: run {make}")
    if not Path(path).is_dir():
        raise NoModel(f"the model's folder {path} is gone: name another model, or run {make}")
    return path
