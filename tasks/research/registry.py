"""Models on record: which there are, and where they lie."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from infra.postgres import models
from infra.postgres.database import session
from tasks.research.model import Model


class NoModel(LookupError):
    """No model of the pair and timeframe is registered."""


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
