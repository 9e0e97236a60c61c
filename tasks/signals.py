"""The steps of the live cycle: newest bars to published signals."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from infra.stores import hot
from tasks.folder import RunFolder, bar_store
from tasks.live import publish
from tasks.live.newest import predict_newest
from tasks.research import registry
from tasks.research.model import Model
from tasks.research.stored import open_library
from tasks.steps import step
from tasks.strategy.strategies import strategy


@step("predict", version=1)
def predict(
    run: str,
    *,
    pair: str,
    timeframe: str,
    model_id: str | None,
    as_of: str,
    bars: int,
    engine: str,
) -> dict[str, Any]:
    """Tell the confidence of the newest complete bars; keep it as Parquet, and at hand in Valkey.

    Returns
    -------
    dict
        `predictions` and `model` (folders), `newest` (start of the newest bar), `bars`.
    """
    trained = RunFolder(Path(registry.newest_model(pair, timeframe, model_id)))
    model, bar_files = Model.read(trained.model), bar_store()
    content = bar_files.content_hash(pair, timeframe)
    told = predict_newest(
        model,
        open_library(model, trained.library, bar_files, engine=engine),
        bar_files,
        as_of=datetime.fromisoformat(as_of),
        count=bars,
        engine=engine,
    )
    folder = RunFolder.of("signals", run)
    told.write_parquet(folder.predictions)
    hot.keep("metrics", pair, timeframe, told, version=content)
    return {
        "predictions": str(folder.path),
        "model": str(trained.path),
        "newest": told["timestamp"][-1].isoformat(),
        "bars": len(told),
    }


@step("publish", version=1)
def publish_signals(predicted: dict[str, Any], *, run_id: str) -> dict[str, Any]:
    """Ask the strategy and publish its signals, each once.

    Returns
    -------
    dict
        `new`, `present` (published before), `mode`, `rows` (the signals, for people).
    """
    model = Model.read(RunFolder(Path(predicted["model"])).model)
    told = pl.read_parquet(RunFolder(Path(predicted["predictions"])).predictions)
    signals = strategy(model.frozen.recipe.strategy)(told)
    published = publish.publish(signals, told, model, run_id=run_id)
    shown = signals.select(
        pl.col("timestamp").dt.to_string("iso"), "side", "confidence", "lower", "break_even"
    )
    return {**published.to_dict(), "rows": shown.to_dicts()}
