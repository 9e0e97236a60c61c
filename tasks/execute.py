"""The steps of execution: fresh signals to orders under the account's lease, and the statement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from infra.clock import Clock, VirtualClock, WallClock
from infra.settings import settings
from tasks.reports.statement_report import as_markdown, keep, path_of
from tasks.steps import step
from tasks.trading import equity, execution, heartbeat
from tasks.trading.brokers import shadow_of
from tasks.trading.lease import LeaseHeld
from tasks.trading.preview import preview
from tasks.trading.report import Report
from tasks.trading.rounds import executor_of, leased
from tasks.trading.shadow import compare
from tasks.trading.statement import day_of, statement

PATIENCE: Final = 5.0
"""Seconds that a round of exits under way is waited for."""


@step("trade", version=2)
def trade(account: str, *, holder: str, times: list[str] | None) -> dict[str, Any]:
    """Run a cycle of the executor now, or one at each time of a replay.

    Doing it again does nothing twice: the journal decides, not Prefect. Each beginning takes the
    lease with a new token, which fences off what is left of an earlier one. A replay goes on where
    its account stands: no clock there runs backwards.

    Parameters
    ----------
    account : str
    holder : str
        Who holds the lease: an attempt of a run.
    times : list of str or None
        ISO times of a replay; None: the present, by the wall clock.

    Returns
    -------
    dict
        `held` (why nothing was done, or None) and the rows of a `Report`.
    """
    report = Report()
    try:
        for clock in _to_come(account, _clocks(times), report):
            executor = executor_of(settings(), account, clock)
            with leased(account, holder, patience=PATIENCE) as lease:
                report.add(execution.cycle(executor, lease))
    except LeaseHeld as error:
        return {"held": str(error), **report.to_dict()}
    if times is None:
        heartbeat.beat(heartbeat.EXECUTOR, WallClock(), {"account": account, "by": "execute"})
    return {"held": None, **report.to_dict()}


@step("dry run", version=1)
def look(account: str, *, time: str | None) -> dict[str, Any]:
    """Say what a cycle would do, and do nothing.

    Parameters
    ----------
    account : str
    time : str or None
        ISO time of a replay; None: the present.
    """
    (clock,) = _clocks(None if time is None else [time])
    return {"held": None, **preview(executor_of(settings(), account, clock)).to_dict()}


@step("statement", version=1)
def state_day(account: str, *, now: str) -> str | None:
    """Make the statement of the day that ended last, once; return it as Markdown.

    Parameters
    ----------
    account : str
    now : str
        ISO time.

    Returns
    -------
    str or None
        None if it is there already, or nothing is known of that day.
    """
    day = day_of(datetime.fromisoformat(now)) - timedelta(days=1)
    if path_of(account, str(day)).exists():
        return None
    told = statement(account, day)
    if told.empty:
        return None
    both = compare(account, told.start, told.end) if shadow_of(settings(), account) else None
    _, picture = keep(told, both)
    return as_markdown(told, both, picture.read_bytes())


def _to_come(account: str, clocks: list[Clock], report: Report) -> list[Clock]:
    last = equity.latest(account)
    behind = [
        each
        for each in clocks
        if isinstance(each, VirtualClock) and last is not None and each.now() <= last
    ]
    if behind:
        report.finding(f"{account} stands at {last}: {len(behind)} times up to it are left out")
    return [each for each in clocks if each not in behind]


def _clocks(times: list[str] | None) -> list[Clock]:
    if times is None:
        return [WallClock()]
    return [VirtualClock(datetime.fromisoformat(time).astimezone(UTC)) for time in times]
