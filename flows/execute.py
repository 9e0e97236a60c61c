"""Execution: fresh signals become fills on the paper broker, under the account's lease."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from pydantic import Field

from flows.parameters import flow_of
from infra.market.timeframes import Timeframe, bar_length
from tasks.execute import trade
from tasks.parameters import Account, Parameters


class ExecuteRequest(Parameters):
    """Whose positions, and by which clock."""

    account: Account = Field(
        "paper", description="Whose positions; all accounts are on the paper broker."
    )
    as_of: datetime | None = Field(
        None, description="Replay: the clock's last time. Left out: the wall clock."
    )
    timeframe: Timeframe = Field("H1", description="Replay: the step of the clock.")
    bars: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1, description="Replay: how many bar closes up to `as_of` the clock runs through."
    )
    units: Annotated[float, Field(gt=0, le=1e9)] = Field(
        10_000.0, description="Size of every order."
    )


@flow_of(ExecuteRequest, run_name="execute {account}")
def execute(request: ExecuteRequest) -> dict[str, Any]:
    """Close what is due and enter every fresh signal of the account; each at most once.

    Returns state ("done" or "held": another executor acts), entered, left, refused.
    """
    account, timeframe = request.account, request.timeframe
    logger = get_run_logger()
    now = request.as_of or datetime.now(UTC)
    steps = request.bars if request.as_of else 1
    clock = [(now - n * bar_length(timeframe)).isoformat() for n in reversed(range(steps))]
    done = trade(account, holder=str(flow_run.get_id()), clock=clock, units=request.units)
    held = done.pop("held")
    if held is not None:
        logger.warning("%s", held)
    for row in done["left"]:
        if row.get("unknown"):
            logger.warning("the profit of bar %s is not booked: %s", row["bar"], row["unknown"])
    rows = [{"what": what, **row} for what, listed in done.items() for row in listed]
    counts = {what: len(listed) for what, listed in done.items()}
    create_table_artifact(
        key="execution",
        table=rows or [{"what": "nothing to do"}],
        description=f"{account}: {counts}",
    )
    logger.info("%s: %s", account, counts)
    return {"state": "done" if held is None else "held", **counts}
