"""The steps of the live cycle: newest bars to published signals."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from infra.clock import WallClock
from infra.stores import hot
from kernels.device import choose_engine
from tasks import document
from tasks.folder import RunFolder, bar_store, keep
from tasks.live import publish
from tasks.live.newest import NoBars, predict_newest
from tasks.research import registry
from tasks.research.model import Model
from tasks.research.pool import Pool
from tasks.research.registry import ModelRefused
from tasks.research.stored import open_library
from tasks.steps import step
from tasks.strategy.strategies import strategy
from tasks.trading import heartbeat
from tasks.upkeep.health import note_model


@step("champions", version=1)
def find_champions(timeframe: str, pairs: list[str] | None) -> list[str]:
    """Find the models in force of the enabled pairs of a timeframe.

    Parameters
    ----------
    timeframe : str
    pairs : list of str, optional
        Of these alone; left out: of all.

    Returns
    -------
    list of str
        Their names, by pair.

    Raises
    ------
    NoModel
        If a pair that was asked for has none, or no pair at all.
    """
    champions = registry.champions(timeframe)
    chosen = [each for each in champions if pairs is None or each.pair in pairs]
    missing = set(pairs or ()) - {each.pair for each in chosen}
    if missing or not chosen:
        raise registry.NoModel(
            f"no model of {', '.join(sorted(missing)) or 'any pair'} is in force for {timeframe}: "
            "`sep model list` shows what backtests left, `sep model champion` puts one in force"
        )
    return [each.model_id for each in chosen]


@step("predict", version=2)
def predict(run: str, *, model_id: str, as_of: str, bars: int, engine: str) -> dict[str, Any]:
    """Predict the newest complete bars; keep that as Parquet, and at hand in Valkey.

    Parameters
    ----------
    run : str
        The flow run.
    model_id : str
        A model in force.
    as_of : str
        ISO time: nothing after it is looked at.
    bars : int
        How many of the newest bars.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    dict
        `pair`, `timeframe`, `paused` (why the model is refused or there is no bar; None as a
        rule) and then `predictions` and `model` (folders), `newest` (start of the newest bar),
        `bars`, `engine` (that predicted, and that of the model).
    """
    chosen, store = registry.entry(model_id), bar_store()
    series = {"pair": chosen.pair, "timeframe": chosen.timeframe}
    try:
        content = store.content_hash(chosen.pair, chosen.timeframe)
        model, trained = registry.in_force(chosen, store), RunFolder(Path(chosen.folder))
        predictions = predict_newest(
            model,
            open_library(model, trained.library, engine=engine),
            store,
            pool=Pool.read(trained.pool) if model.frozen.recipe.pool else None,
            as_of=datetime.fromisoformat(as_of),
            count=bars,
            engine=engine,
        )
    except (ModelRefused, NoBars) as error:
        if isinstance(error, ModelRefused):
            note_model(chosen, error)
        return {**series, "paused": str(error)}
    note_model(chosen, None)
    folder = RunFolder.of("signals", run, chosen.pair)
    keep(predictions, folder.predictions)
    hot.keep("metrics", chosen.pair, chosen.timeframe, predictions, version=content)
    return {
        **series,
        "paused": None,
        "predictions": str(folder.path),
        "model": str(trained.path),
        "newest": predictions["timestamp"][-1].isoformat(),
        "bars": len(predictions),
        "engine": f"{choose_engine(engine).name} on a model of {model.frozen.engine}",
    }


@step("publish", version=1)
def publish_signals(predicted: dict[str, Any], *, run_id: str) -> dict[str, Any]:
    """Ask the strategy and publish its signals, each once.

    Parameters
    ----------
    predicted : dict
        What `predict` returned.
    run_id : str
        The flow run.

    Returns
    -------
    dict
        `new`, `present` (published before), `mode`, `rows` (the signals, for people).
    """
    model = document.read(RunFolder(Path(predicted["model"])).model, Model)
    predictions = pl.read_parquet(RunFolder(Path(predicted["predictions"])).predictions)
    signals = strategy(model.frozen.recipe.strategy)(predictions)
    published = publish.publish(signals, predictions, model, run_id=run_id)
    shown = signals.select(
        pl.col("timestamp").dt.to_string("iso"), "side", "confidence", "lower", "break_even"
    )
    return {**published.to_dict(), "rows": shown.to_dicts()}


@step("heartbeat", version=1)
def tell_alive(detail: dict[str, Any]) -> None:
    """Say that a live cycle was finished: without a word of it nothing is entered after a while.

    Parameters
    ----------
    detail : dict
        What it did.
    """
    heartbeat.beat(heartbeat.SIGNALS, WallClock(), detail)
