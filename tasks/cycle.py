"""The steps of the live cycle: newest bars to published signals, fresh signals to fills."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from infra import hot
from infra.brokers.paper import PaperBroker
from tasks import execution, publish
from tasks.folder import RunFolder, bar_store
from tasks.instruments import default_slippage, default_spread
from tasks.journal import Journal
from tasks.lease import LeaseHeld, acquire
from tasks.live import predict_newest
from tasks.model import Model
from tasks.steps import step
from tasks.stored import open_library
from tasks.strategy import strategy


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
    trained = RunFolder(Path(publish.newest_model(pair, timeframe, model_id)))
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


@task(name="trade", cache_policy=NO_CACHE, persist_result=True, result_serializer="json")
def trade(
    account: str, *, holder: str, clock: list[str], units: float, pair: str
) -> dict[str, Any]:
    """Run the executor at each time of the clock, under the account's lease.

    Doing it again does nothing twice: the journal decides, not Prefect.

    Parameters
    ----------
    account : str
    holder : str
        Who holds the lease: the run.
    clock : list of str
        ISO times: the wall clock's one, or the closes of replayed bars.
    units : float
    pair : str
        Whose usual costs count where bars carry no bid and ask.

    Returns
    -------
    dict
        `held` (why nothing was done, or None) and the rows `entered`, `left`, `refused`.
    """
    broker = PaperBroker(bar_store(), default_spread(pair), default_slippage(pair))
    name = f"execute:{account}"
    done = execution.Done()
    try:
        for now in map(datetime.fromisoformat, clock):
            journal = Journal(account, acquire(name, holder))
            done.add(execution.step(execution.Executor(broker, journal, units), now))
    except LeaseHeld as error:
        return {"held": str(error), **done.to_dict()}
    journal.lease.release()
    return {"held": None, **done.to_dict()}
