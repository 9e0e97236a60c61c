"""Signs of life: who works says so, and who depends on it looks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from infra.clock import Clock
from infra.postgres.database import first, session
from infra.postgres.trading import Heartbeat

SIGNALS: Final = "signals"
EXECUTOR: Final = "executor"


def beat(name: str, clock: Clock, detail: dict[str, Any] | None = None) -> None:
    """Say that something lives.

    Parameters
    ----------
    name : str
        What: `SIGNALS`, `EXECUTOR`.
    clock : Clock
    detail : dict, optional
        What JSON can hold.
    """
    said = {"at": clock.now(), "detail": detail or {}}
    row = insert(Heartbeat).values(name=name, **said)
    with session() as opened:
        opened.execute(row.on_conflict_do_update(index_elements=["name"], set_=said))


def age(name: str, now: datetime) -> timedelta | None:
    """Return how long ago something gave its last sign of life; None if it never did.

    Parameters
    ----------
    name : str
    now : datetime
        With a zone.
    """
    at = first(select(Heartbeat.at).where(Heartbeat.name == name))
    return None if at is None else now - at


def silence(minutes: float, now: datetime) -> str | None:
    """Say that the signal side has been silent for too long; None if it lives.

    A sign of life from further ahead than the limit is none: the clocks disagree.

    Parameters
    ----------
    minutes : float
        For how many it may be silent; zero: nobody looks.
    now : datetime
        With a zone.
    """
    if minutes <= 0:
        return None
    past = age(SIGNALS, now)
    if past is None:
        return "the signal side has never given a sign of life"
    silent = past / timedelta(minutes=1)
    if abs(silent) <= minutes:
        return None
    if silent < 0:
        return f"the signal side's clock is {-silent:.0f} minutes ahead"
    return f"the signal side has been silent for {silent:.0f} minutes"
