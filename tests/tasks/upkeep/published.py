"""Models and published signals for tests of what came of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import insert, text

from infra.postgres import database as db
from infra.postgres.models import Model, Signal
from tasks.document import to_plain
from tasks.research.recipe import Recipe

HOUR = timedelta(hours=1)
RECIPE = Recipe.default("PLANTED", "H1")
BASE = [0.48, 0.47]


def record_model(
    name: str = "m", *, recipe: Recipe = RECIPE, champion: bool = True, **metrics: Any
) -> None:
    """Record a model whose folder never was, in force since long ago."""
    values = {
        "model_id": name,
        "pair": recipe.pair,
        "timeframe": recipe.timeframe,
        "strategy": "s",
        "parameters": to_plain(recipe),
        "data_hash": "d",
        "code_version": "c",
        "trained_from": datetime.fromisoformat("2014-01-01T00:00Z"),
        "trained_until": datetime.fromisoformat("2015-01-01T00:00Z"),
        "path": f"/nowhere/{name}",
        "metrics": {"base_rate": BASE, **metrics},
    }
    pointer = text(
        "INSERT INTO champion (pair, timeframe, strategy, model_id, who, since) "
        "VALUES (:pair, :timeframe, 's', :name, 'a test', '2015-01-01T00:00Z')"
    )
    with db.engine().begin() as connection:
        connection.execute(insert(Model).values(**values))
        if champion:
            where = {"pair": recipe.pair, "timeframe": recipe.timeframe}
            connection.execute(pointer, {**where, "name": name})


def random_signals(bars: pl.DataFrame, n: int, *, seed: int, model: str = "m") -> pl.DataFrame:
    """Signals on so many of the bars, most of them overlapping, told in time."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(bars), n, replace=False))
    time = bars["timestamp"].gather(rows)
    side = rng.choice(["long", "short"], n)
    near = bars["close"].gather(rows).to_numpy() * 1e-4
    return pl.DataFrame(
        {
            "strategy": ["s"] * n,
            "pair": [RECIPE.pair] * n,
            "timeframe": [RECIPE.timeframe] * n,
            "bar_ts": time,
            "side": side,
            "action": np.where(side == "long", "BUY", "SELL"),
            "confidence": rng.uniform(0.4, 0.7, n),
            "break_even": np.full(n, 0.5),
            "stop_distance": rng.uniform(1, 6, n) * near,
            "target_distance": np.where(rng.random(n) < 0.5, rng.uniform(1, 6, n) * near, np.nan),
            "horizon": rng.choice([2, 5, 8], n),
            "valid_until": time + 2 * HOUR,
            "published_at": time + HOUR,
            "mode": ["live"] * n,
            "model_id": [model] * n,
        }
    )


def publish(signals: pl.DataFrame) -> None:
    db.copy_frame(signals.fill_nan(None), Signal, update=False)


def outcomes(columns: str = "*") -> pl.DataFrame:
    return db.read_frame(f"SELECT {columns} FROM signal_outcome ORDER BY signal_id")
