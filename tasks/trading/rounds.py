"""A round of an account: its lease taken, the work done, the lease given back whatever happened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import gethostname
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from infra.clock import Clock, VirtualClock
from infra.errors import SepError
from infra.settings import Settings
from tasks.trading import heartbeat
from tasks.trading.brokers import account_of, broker_of, shadow_of
from tasks.trading.lease import Held, acquire

if TYPE_CHECKING:
    from tasks.trading.execution import Executor
    from tasks.trading.report import Report


def holder(what: str) -> str:
    """Return a name for one attempt at something: no other attempt has it."""
    return f"{what} {gethostname()}:{os.getpid()} {uuid4().hex[:8]}"


@contextmanager
def leased(account: str, name: str) -> Iterator[Held]:
    """Hold the lease of an account, by the database's clock: replays share it with the present.

    Parameters
    ----------
    account : str
    name : str
        Of the holder, see `holder`.

    Raises
    ------
    LeaseHeld
        If another executor acts.
    """
    held = acquire(f"execute:{account}", name)
    try:
        yield held
    finally:
        with suppress(SepError, SQLAlchemyError):  # it ends by itself, and hides no other error
            held.release()


def executor_of(settings: Settings, account: str, clock: Clock) -> Executor:
    """Return the executor of an account, as the settings describe it.

    In a replay, whose clock is set, nobody waits for the signal side.

    Parameters
    ----------
    settings : Settings
    account : str
    clock : Clock
    """
    from tasks.trading.execution import Executor
    from tasks.trading.risk.limits import Limits

    limits, broker = Limits.load(settings.home), broker_of(settings, account, clock)
    minutes = 0.0 if isinstance(clock, VirtualClock) else settings.dead_man_minutes
    return Executor(account, broker, clock, limits, limits.sizing, dead_man=minutes)


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
