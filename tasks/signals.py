"""The steps of the live cycle: newest bars to published signals."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from infra.clock import WallClock
from infra.stores import hot
from infra.stores.catalog import NoSeries
from kernels.device import choose_engine
from tasks import document
from tasks.folder import RunFolder, bar_store, keep
from tasks.live import publish
from tasks.live.cycle import newest_signals
from tasks.live.newest import NoBars
from tasks.live.trained import is_of, trained
from tasks.research import registry
from tasks.research.model import Model
from tasks.research.registry import ModelRefused
from tasks.rules import texts
from tasks.rules.setup import Setup
from tasks.steps import step
from tasks.strategy import commands
from tasks.trading import heartbeat
from tasks.upkeep.health import note_model
from tasks.upkeep.standing import speaks_live


@step("champions", version=2)
def find_champions(
    timeframe: str, pairs: list[str] | None, strategy: str | None = None
) -> list[str]:
    """Find the models in force of the enabled pairs of a timeframe.

    Parameters
    ----------
    timeframe : str
    pairs : list of str, optional
        Of these alone; left out: of all.
    strategy : str, optional
        Name or file; left out: of all that are in force.

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
    if strategy is not None:
        chosen = [each for each in chosen if is_of(each, strategy)]
    missing = set(pairs or ()) - {each.pair for each in chosen}
    if missing or not chosen:
        whose = f" by {strategy}" if strategy else ""
        train = commands.train(strategy or texts.DEFAULT, min(missing, default="PAIR"), timeframe)
        raise registry.NoModel(
            f"no model of {', '.join(sorted(missing)) or 'any pair'}{whose} is in force for "
            f"{timeframe}: {train} makes one, `sep model list` shows what there is, "
            "`sep model promote` puts one in force"
        )
    return [each.model_id for each in chosen]


@step("predict", version=3)
def predict(run: str, *, model_id: str, as_of: str, bars: int, engine: str) -> dict[str, Any]:
    """Predict the newest complete bars and ask the strategy of them; keep both as Parquet.

    What is predicted is at hand in Valkey, too.

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
    moment = datetime.fromisoformat(as_of)
    try:
        content = store.content_hash(chosen.pair, chosen.timeframe)
        setup, rules = trained(chosen, store, engine)
        told, found = newest_signals(setup, rules, store, as_of=moment, count=bars, engine=engine)
    except (ModelRefused, NoBars, NoSeries) as error:
        if isinstance(error, ModelRefused):
            note_model(chosen, error)
        return {**series, "paused": str(error)}
    note_model(chosen, None)
    folder = RunFolder.of("signals", run, chosen.pair, chosen.strategy)
    keep(told, folder.predictions)
    keep(found, folder.signals)
    hot.keep("metrics", chosen.pair, chosen.timeframe, told, version=content)
    trained_by = rules[setup.first].model.frozen.engine
    return {
        **series,
        "paused": None,
        "predictions": str(folder.path),
        "model": chosen.folder,
        "newest": told["timestamp"][-1].isoformat(),
        "bars": len(told),
        "engine": f"{choose_engine(engine).name} on a model of {trained_by}",
    }


@step("publish", version=2)
def publish_signals(predicted: dict[str, Any], *, run_id: str) -> dict[str, Any]:
    """Publish the strategy's signals, each once; of a model that is no champion, in the shadow.

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
    run = RunFolder(Path(predicted["model"]))
    setup = Setup.read(run)
    models = {rule: document.read(mine.model, Model) for rule, mine in setup.folders(run)}
    signals = pl.read_parquet(RunFolder(Path(predicted["predictions"])).signals)
    shadow = not speaks_live(models[setup.first].model_id)
    published = publish.publish(signals, models, run_id=run_id, shadow=shadow)
    names = ("signal", "side", "action", "confidence", "lower", "break_even")
    shown = signals.select(pl.col("timestamp").dt.to_string("iso"), *names)
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
