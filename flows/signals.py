"""The live cycle: newest bars, nearest past paths, confidence, strategy, published signals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from pydantic import Field

from infra.market.timeframes import bar_length
from infra.settings import settings
from tasks.signals import predict, publish_signals


@flow(name="signals", log_prints=False, persist_result=True, result_serializer="json")
def signals(
    pair: str = "EUR_USD",
    timeframe: str = "H1",
    model_id: str | None = None,
    as_of: datetime | None = None,
    bars: Annotated[int, Field(ge=1, le=10_000)] = 1,
    engine: Literal["auto", "cpu", "gpu"] | None = None,
) -> dict[str, Any]:
    """Publish the signals of the newest complete bars, each once.

    Parameters
    ----------
    pair, timeframe
        What to look at; a model of it must be there (`backtest` makes one).
    model_id
        Which model; left out: the newest.
    as_of
        Replay: take this for the present time. Left out: the wall clock.
    bars
        How many of the newest bars: more than one catches up, or replays a stretch.
    engine
        auto, cpu or gpu; left out: what SEP_ENGINE says, auto as a rule.

    Returns
    -------
    dict
        state ("published" or "stale"), new, present, mode, newest bar.
    """
    logger, engine = get_run_logger(), engine or settings().engine
    now = as_of or datetime.now(UTC)
    run = str(flow_run.get_id())
    predicted = predict(
        run,
        pair=pair,
        timeframe=timeframe,
        model_id=model_id,
        as_of=now.isoformat(),
        bars=bars,
        engine=engine,
    )
    newest = datetime.fromisoformat(predicted["newest"])
    if newest + 2 * bar_length(timeframe) <= now:
        logger.warning(
            "stale: the newest bar of %s %s began at %s; nothing is published. Ingest newer bars, "
            "or pass as_of to replay.",
            pair,
            timeframe,
            newest,
        )
        return {"state": "stale", "new": 0, "present": 0, "newest": predicted["newest"]}
    published = publish_signals(predicted, run_id=run)
    rows = published.pop("rows")
    create_table_artifact(
        key="signals",
        table=rows or [{"signals": "none: no lower bound cleared its break-even"}],
        description=f"{pair} {timeframe}: {published['new']} new {published['mode']} signals",
    )
    logger.info("%s %s: %s", pair, timeframe, published)
    return {"state": "published", **published, "newest": predicted["newest"]}
