"""A round of an account: its lease taken, the work done, the lease given back whatever happened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import gethostname
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from infra.clock import Clock, VirtualClock
from infra.errors import SepError
from infra.settings import Settings
from tasks.trading import heartbeat
from tasks.trading.brokers import account_of, broker_of, shadow_of
from tasks.trading.lease import Held, LeaseHeld, acquire

if TYPE_CHECKING:
    from tasks.trading.execution import Executor
    from tasks.trading.report import Report


def holder(what: str) -> str:
    """Return a name for one attempt at something: no other attempt has it."""
    return f"{what} {gethostname()}:{os.getpid()} {uuid4().hex[:8]}"


@contextmanager
def leased(account: str, name: str, *, patience: float = 0.0) -> Iterator[Held]:
    """Hold the lease of an account, by the database's clock: replays share it with the present.

    Parameters
    ----------
    account : str
    name : str
        Of the holder, see `holder`.
    patience : float
        Seconds that another's short round is waited for.

    Raises
    ------
    LeaseHeld
        If another executor acts.
    """
    held = _acquired(f"execute:{account}", name, patience)
    try:
        yield held
    finally:
        with suppress(SepError, SQLAlchemyError):  # it ends by itself, and hides no other error
            held.release()


def _acquired(lease: str, name: str, patience: float) -> Held:
    asking = Retrying(
        retry=retry_if_exception_type(LeaseHeld),
        stop=stop_after_delay(patience),
        wait=wait_fixed(0.25),
        reraise=True,
    )
    return asking(acquire, lease, name)


def executor_of(settings: Settings, account: str, clock: Clock) -> Executor:
    """Return the executor of an account, as the settings describe it.

    In a replay, whose clock is set, nobody waits for the signal side. Limits that cannot be read
    bar entries alone.

    Parameters
    ----------
    settings : Settings
    account : str
    clock : Clock
    """
    from tasks.trading.execution import Executor
    from tasks.trading.risk.limits import Limits, LimitsError

    broker, limits, unfit = broker_of(settings, account, clock), Limits(), None
    try:
        limits = Limits.load(settings.home)
    except LimitsError as error:
        unfit = str(error)
    minutes = 0.0 if isinstance(clock, VirtualClock) else settings.dead_man_minutes
    return Executor(account, broker, clock, limits, limits.sizing, minutes, unfit)


def exits(executor: Executor, what: str) -> Report:
    """Make one round of reconciliation, stop checks and exits, and say that the executor lives.

    Parameters
    ----------
    executor : Executor
    what : str
        Who makes it.

    Raises
    ------
    LeaseHeld
        If another executor acts.
    """
    from tasks.trading import execution

    with leased(executor.account, holder(what)) as lease:
        report = execution.exit_cycle(executor, lease)
    heartbeat.beat(heartbeat.EXECUTOR, executor.clock, {"account": executor.account, "by": what})
    return report


def accounts(settings: Settings) -> list[str]:
    """Return the accounts that are looked after: the settings' own, and its shadow on paper."""
    account = account_of(settings)
    return [each for each in (account, shadow_of(settings, account)) if each is not None]
