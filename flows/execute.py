"""Execution: fresh signals become orders, each at most once, under the account's lease."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run
from pydantic import Field

from flows.parameters import flow_of
from infra.market.timeframes import Timeframe, bar_length
from infra.settings import settings
from tasks.execute import look, state_day, trade
from tasks.parameters import Account, Parameters
from tasks.trading.brokers import REPLAY, account_of, require_paper, shadow_of


class ExecuteRequest(Parameters):
    """Whose positions, and by which clock."""

    account: Account | None = Field(
        None,
        description="Whose positions. Left out: the account that the settings mean; for a replay "
        "one on paper that is its own.",
    )
    as_of: datetime | None = Field(
        None, description="Replay on paper: the clock's last time. Left out: the wall clock."
    )
    timeframe: Timeframe = Field("H1", description="Replay: the step of the clock.")
    bars: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1, description="Replay: how many bar closes up to `as_of` the clock runs through."
    )
    dry_run: bool = Field(False, description="Say what would be done, and do nothing.")


@flow_of(ExecuteRequest, run_name="execute")
def execute(request: ExecuteRequest) -> dict[str, Any]:
    """Reconcile, close what is due, enter what is fresh; each order at most once.

    Returns state ("done", "held": another executor acts, or "dry run"), account, and how many
    entered, left, refused, findings.
    """
    account, times = _whose(request), _times(request)
    if request.dry_run:
        done = look(account, time=times[-1] if times else None)
        return _tell(account, "dry run", done)
    done = trade(account, holder=_attempt(), times=times)
    told = _tell(account, "done" if done["held"] is None else "held", done)
    if times is None:
        _follow_up(account)
    return told


def _whose(request: ExecuteRequest) -> str:
    if request.as_of is None:
        return request.account or account_of(settings())
    name = f"{REPLAY}-{request.as_of:%Y%m%dT%H%M}-{request.timeframe}-{request.bars}"
    require_paper(settings(), request.account or name)
    return request.account or name


def _times(request: ExecuteRequest) -> list[str] | None:
    if request.as_of is None:
        return None
    length, last = bar_length(request.timeframe), request.as_of
    return [(last - n * length).isoformat() for n in reversed(range(request.bars))]


def _attempt() -> str:
    """Return a name that an earlier attempt of this run, or what is left of it, has not."""
    return f"execute {flow_run.get_id()}/{flow_run.get_run_count()}"


def _follow_up(account: str) -> None:
    """Trade the shadow on paper, make the day's statement; neither may fail the run."""
    shadow = shadow_of(settings(), account)
    logger = get_run_logger()
    if shadow is not None:
        try:
            _tell(shadow, "done", trade(shadow, holder=_attempt(), times=None))
        except Exception as error:
            logger.warning("%s did not trade: %s", shadow, error)
    try:
        text = state_day(account, now=datetime.now(UTC).isoformat())
    except Exception as error:
        logger.warning("no statement of %s: %s", account, error)
        return
    if text is not None:
        create_markdown_artifact(key="statement", markdown=text)


def _tell(account: str, state: str, done: dict[str, Any]) -> dict[str, Any]:
    """Leave a row for each thing that was done or found, in the log and the UI."""
    logger = get_run_logger()
    if done["held"] is not None:
        logger.warning("%s", done["held"])
    for sentence in done["findings"]:
        logger.warning("%s: %s", account, sentence)
    rows = [{"what": what, **row} for what in ("left", "entered", "refused") for row in done[what]]
    rows += [{"what": "found", "reason": sentence} for sentence in done["findings"]]
    counts = {what: len(done[what]) for what in ("entered", "left", "refused", "findings")}
    create_table_artifact(
        key="execution" if ":" not in account else "execution-shadow",
        table=rows or [{"what": "nothing to do"}],
        description=f"{account}, {state}: {counts}",
    )
    logger.info("%s, %s: %s", account, state, counts)
    return {"state": state, "account": account, **counts}
