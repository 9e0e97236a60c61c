"""Who may act for an account: a lease in PostgreSQL with a fencing token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from infra.clock import Clock, VirtualClock, WallClock
from infra.errors import SepError
from infra.postgres.database import session
from infra.postgres.trading import Lease

LENGTH: Final = timedelta(seconds=75)
"""One that a killed process leaves taken ends in time for exits within two minutes."""

_FREE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When a lease that was given back ended: long ago, however clocks are set."""


class LeaseHeld(SepError, RuntimeError):
    """Another executor acts under this name; it is safe to do nothing."""


class LeaseLost(SepError, RuntimeError):
    """The lease passed to another executor in the middle of a step; this one stops."""


@dataclass
class Held:
    """A lease in hand.

    Attributes
    ----------
    name, holder : str
    token : int
        Grows with every taking, by whomever: an earlier attempt of the same run is fenced off.
    clock : Clock
    until : float
        On the clock's monotonic time: from then on another may have it.
    """

    name: str
    holder: str
    token: int
    clock: Clock
    until: float

    def fence(self, opened: Session) -> None:
        """Lock the lease for this transaction, if it is still ours, and lengthen it.

        Raises
        ------
        LeaseLost
            If it was taken since.
        """
        began = self.clock.monotonic()
        mine = (Lease.name == self.name) & (Lease.token == self.token)
        longer = update(Lease).where(mine).values(expires_at=_now(self.clock) + LENGTH)
        if opened.scalar(longer.returning(Lease.token)) is None:
            raise LeaseLost(f"the lease {self.name!r} passed to another executor")
        self.until = began + LENGTH.total_seconds()

    def remaining(self) -> float:
        """Return for how many seconds it is surely ours."""
        return self.until - self.clock.monotonic()

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        mine = (Lease.name == self.name) & (Lease.token == self.token)
        with session() as opened:
            opened.execute(update(Lease).where(mine).values(expires_at=_FREE))


def acquire(name: str, holder: str, clock: Clock | None = None) -> Held:
    """Take a lease for `LENGTH`, with a new token.

    Parameters
    ----------
    name : str
        What is leased: an account.
    holder : str
        Who takes it: an attempt of a run.
    clock : Clock, optional
        One that is set tells the time; by any other the database's own does, which all machines
        share.

    Raises
    ------
    LeaseHeld
        If another holder's lease has not run out.
    """
    clock = clock or WallClock()
    began, now = clock.monotonic(), _now(clock)
    wanted = insert(Lease).values(name=name, holder=holder, expires_at=now + LENGTH)
    taken = wanted.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": wanted.excluded.holder,
            "expires_at": wanted.excluded.expires_at,
            "token": Lease.token + 1,
        },
        where=or_(Lease.holder == wanted.excluded.holder, Lease.expires_at <= now),
    ).returning(Lease.token)
    with session() as opened:
        token = opened.scalar(taken)
    if token is None:
        raise LeaseHeld(f"{_holder(name)} holds the lease {name!r}; nothing to do")
    return Held(name, holder, token, clock, began + LENGTH.total_seconds())


def _holder(name: str) -> str:
    with session() as opened:
        return opened.scalar(select(Lease.holder).where(Lease.name == name)) or "another executor"


def _now(clock: Clock) -> ColumnElement[Any]:
    return literal(clock.shared()) if isinstance(clock, VirtualClock) else func.clock_timestamp()
