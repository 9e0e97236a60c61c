"""The live cycle: newest bars, nearest past paths, confidence, strategy, published signals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from pydantic import Field

from flows.parameters import flow_of
from infra.market.timeframes import Timeframe, bar_length
from infra.settings import EngineChoice, settings
from tasks.parameters import Pair, Parameters, StrategyName
from tasks.signals import find_champions, predict, publish_signals, tell_alive


class SignalsRequest(Parameters):
    """Which pairs, up to when."""

    timeframe: Timeframe = Field("H1", description="Length of a bar.")
    pairs: Annotated[list[Pair], Field(min_length=1, max_length=200)] | None = Field(
        None,
        description="Which pairs; left out: all that are enabled and have a model in force.",
    )
    strategy: StrategyName | None = Field(
        None,
        description="Only models of this strategy, as its text stands now: a .sep file or a name. "
        "Left out: of all that are in force.",
    )
    as_of: datetime | None = Field(
        None, description="Replay: take this for the present time. Left out: the wall clock."
    )
    bars: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1, description="How many of the newest bars: more than one catches up, or replays."
    )
    engine: EngineChoice | None = Field(
        None, description="auto, cpu or gpu; left out: what SEP_ENGINE says, auto as a rule."
    )


@flow_of(SignalsRequest, run_name="signals {timeframe}")
def signals(request: SignalsRequest) -> dict[str, Any]:
    """Publish the signals of the newest complete bars of all pairs, each once.

    A pair whose model does not fit the bars or the code that are here is paused, one whose newest
    bar is too old is stale; neither keeps the others from being published.
    """
    now = request.as_of or datetime.now(UTC)
    done = [
        _cycle(model_id, request, now)
        for model_id in find_champions(request.timeframe, request.pairs, request.strategy)
    ]
    _show(request, done)
    counts = {name: sum(each[name] for each in done) for name in ("new", "present")}
    if request.as_of is None:
        tell_alive({"timeframe": request.timeframe, "pairs": len(done), **counts})
    return {**counts, "pairs": [{k: v for k, v in each.items() if k != "rows"} for each in done]}


def _cycle(model_id: str, request: SignalsRequest, now: datetime) -> dict[str, Any]:
    """Take one pair from its newest bar to its published signals."""
    run, nothing = str(flow_run.get_id()), {"new": 0, "present": 0, "rows": []}
    predicted = predict(
        run,
        model_id=model_id,
        as_of=now.isoformat(),
        bars=request.bars,
        engine=request.engine or settings().engine,
    )
    key = {"pair": predicted["pair"], "timeframe": predicted["timeframe"]}
    if predicted["paused"] is not None:
        get_run_logger().warning("%(pair)s %(timeframe)s is paused", key)
        get_run_logger().warning("%s", predicted["paused"])
        return {**key, "state": "paused", "reason": predicted["paused"], **nothing}
    newest = predicted["newest"]
    if datetime.fromisoformat(newest) + 2 * bar_length(request.timeframe) <= now:
        reason = f"the newest bar began at {newest}: ingest newer bars, or pass as_of to replay"
        get_run_logger().warning("%s is stale, nothing is published: %s", key["pair"], reason)
        return {**key, "state": "stale", "reason": reason, "newest": newest, **nothing}
    return {**key, "state": "published", "newest": newest, **publish_signals(predicted, run_id=run)}


def _show(request: SignalsRequest, done: list[dict[str, Any]]) -> None:
    """Leave a row for each signal in the Prefect UI, and one for each pair without any."""
    rows: list[dict[str, Any]] = []
    for each in done:
        why = each.get("reason") or "the strategy sees none"
        rows += [{"pair": each["pair"], **row} for row in each["rows"]] or [
            {"pair": each["pair"], "signals": f"none: {why}"}
        ]
        facts = {name: each.get(name) for name in ("state", "new", "present", "mode", "newest")}
        get_run_logger().info("%s %s: %s", each["pair"], each["timeframe"], facts)
    new = sum(each["new"] for each in done)
    create_table_artifact(
        key="signals",
        table=rows,
        description=f"{request.timeframe}: {new} new signals of {len(done)} pairs",
    )
