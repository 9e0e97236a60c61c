"""Execution: fresh signals become fills on the paper broker, under the account's lease."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from pydantic import Field

from infra.market.timeframes import bar_length
from tasks.execute import trade


@flow(name="execute", log_prints=False, persist_result=True, result_serializer="json")
def execute(
    account: str = "paper",
    pair: str = "PLANTED",
    timeframe: str = "H1",
    as_of: datetime | None = None,
    bars: Annotated[int, Field(ge=1, le=10_000)] = 1,
    units: Annotated[float, Field(gt=0)] = 10_000.0,
) -> dict[str, Any]:
    """Close what is due and enter what is fresh; each signal at most once.

    Parameters
    ----------
    account
        Whose positions; all accounts are on the paper broker.
    pair, timeframe
        Whose usual costs count, and the step of a replay's clock.
    as_of
        Replay: the clock's last time. Left out: the wall clock.
    bars
        Replay: how many bar closes up to `as_of` the clock runs through.
    units
        Size of every order.

    Returns
    -------
    dict
        state ("done" or "held": another executor acts), entered, left, refused.
    """
    logger = get_run_logger()
    now = as_of or datetime.now(UTC)
    steps = bars if as_of else 1
    clock = [(now - n * bar_length(timeframe)).isoformat() for n in reversed(range(steps))]
    done = trade(account, holder=str(flow_run.get_id()), clock=clock, units=units, pair=pair)
    held = done.pop("held")
    if held is not None:
        logger.warning("%s", held)
    rows = [{"what": what, **row} for what, listed in done.items() for row in listed]
    counts = {what: len(listed) for what, listed in done.items()}
    create_table_artifact(
        key="execution",
        table=rows or [{"what": "nothing to do"}],
        description=f"{account}: {counts}",
    )
    logger.info("%s: %s", account, counts)
    return {"state": "done" if held is None else "held", **counts}
