"""Who may act for an account: a lease in PostgreSQL with a fencing token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from infra.errors import SepError
from infra.postgres.database import session
from infra.postgres.trading import Lease

LENGTH = timedelta(minutes=2)


class LeaseHeld(SepError, RuntimeError):
    """Another executor acts under this name; it is safe to do nothing."""


class LeaseLost(SepError, RuntimeError):
    """The lease passed to another executor in the middle of a step; this one stops."""


@dataclass(frozen=True)
class Held:
    """A lease in hand; `token` grows with every change of holder."""

    name: str
    holder: str
    token: int

    def fence(self, opened: Session) -> None:
        """Lock the lease for this transaction, if it is still ours.

        Raises
        ------
        LeaseLost
            If another holder has taken it since.
        """
        present = select(Lease.token).where(Lease.name == self.name).with_for_update()
        if opened.scalar(present) != self.token:
            raise LeaseLost(f"the lease {self.name!r} passed to another executor")

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        mine = (Lease.name == self.name) & (Lease.token == self.token)
        with session() as opened:
            opened.execute(update(Lease).where(mine).values(expires_at=func.now()))


def acquire(name: str, holder: str) -> Held:
    """Take or renew a lease for two minutes.

    Parameters
    ----------
    name : str
        What is leased: an account.
    holder : str
        Who takes it.

    Raises
    ------
    LeaseHeld
        If another holder's lease has not run out.
    """
    wanted = insert(Lease).values(name=name, holder=holder, expires_at=func.now() + LENGTH)
    ours = Lease.holder == wanted.excluded.holder
    taken = wanted.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": wanted.excluded.holder,
            "expires_at": wanted.excluded.expires_at,
            "token": Lease.token + case((ours, 0), else_=1),
        },
        where=or_(ours, Lease.expires_at <= func.now()),
    ).returning(Lease.token)
    with session() as opened:
        token = opened.scalar(taken)
    if token is None:
        raise LeaseHeld(f"another executor holds the lease {name!r}; nothing to do")
    return Held(name, holder, token)
