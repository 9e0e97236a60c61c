"""Where the paper broker keeps its desk: in memory, or in PostgreSQL, each change whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import RLock
from typing import Final, Protocol, TypeAlias

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from infra.brokers.broker import BrokerError, Transaction
from infra.brokers.desk import Desk
from infra.brokers.holdings import packed, unpacked
from infra.postgres.database import engine
from infra.postgres.trading import PaperAccount, PaperTransaction

New: TypeAlias = Callable[[], Desk]

_PATIENCE: Final = text("SET LOCAL lock_timeout = '10s'")
"""Who holds a desk for longer hangs: the others say so, and do not wait with it."""
_KEEP: Final = text("""
WITH kept AS (
    UPDATE paper_account SET state = CAST(:state AS jsonb), updated_at = :at
    WHERE account = :account
)
INSERT INTO paper_transaction (account, id, body)
SELECT :account, CAST(line ->> 'id' AS bigint), line
FROM jsonb_array_elements(CAST(:lines AS jsonb)) AS line
""")
_OFTEN: Final = timedelta(hours=1)
"""A desk to which nothing happens is written so often: what was walked is walked again."""


class Keeping(Protocol):
    """Keeps a desk, and lets one at a time have it."""

    def desk(self, new: New) -> AbstractContextManager[Desk]:
        """Have the desk alone; what was done to it is kept if the block ends well.

        Parameters
        ----------
        new : callable
            Makes it where there is none.
        """
        ...

    def since(self, number: int) -> list[Transaction]:
        """Return the lines of its log after a number."""
        ...


@dataclass
class Memory:
    """Keeps a desk while the process lives.

    Attributes
    ----------
    log : bool
        Whether with its log: replays that read each reply do without.
    """

    log: bool = True
    _desk: Desk | None = None
    _alone: RLock = field(default_factory=RLock, repr=False)

    @contextmanager
    def desk(self, new: New) -> Iterator[Desk]:
        """See `Keeping`."""
        with self._alone:
            if self._desk is None:
                self._desk = new()
            if not self.log:
                self._desk.book.log.clear()
            yield self._desk

    def since(self, number: int) -> list[Transaction]:
        """See `Keeping`."""
        with self._alone:
            return [] if self._desk is None else list(self._desk.book.since(number))


@dataclass(frozen=True)
class Database:
    """Keeps a desk in the shared database: its row is locked, state and log are written at once.

    Attributes
    ----------
    account : str
    """

    account: str

    @contextmanager
    def desk(self, new: New) -> Iterator[Desk]:
        """See `Keeping`."""
        with engine().begin() as connection:
            connection.execute(_PATIENCE)
            desk = self._locked(connection) or self._made(connection, new)
            last, walked = desk.book.last, desk.walked
            yield desk
            if desk.book.last != last or desk.walked - walked >= _OFTEN:
                self._keep(connection, desk)

    def since(self, number: int) -> list[Transaction]:
        """See `Keeping`.

        Raises
        ------
        BrokerError
            If lines are missing.
        """
        lines = (
            select(PaperTransaction.body)
            .where(PaperTransaction.account == self.account, PaperTransaction.id > number)
            .order_by(PaperTransaction.id)
        )
        with engine().connect() as connection:
            told = [unpacked(body) for body in connection.scalars(lines)]
        if [line.id for line in told] != [*range(number + 1, number + 1 + len(told))]:
            raise BrokerError(f"the log of {self.account} has a hole after {number}")
        return told

    def _locked(self, connection: Connection) -> Desk | None:
        mine = select(PaperAccount.state).where(PaperAccount.account == self.account)
        state = connection.scalar(mine.with_for_update())
        return None if not state else Desk.from_dict(state)

    def _made(self, connection: Connection, new: New) -> Desk:
        """Make the account, unless another process just did so."""
        row = upsert(PaperAccount).values(account=self.account, state={})
        connection.execute(row.on_conflict_do_nothing())
        if (desk := self._locked(connection)) is None:
            desk = new()
            self._keep(connection, desk)
        return desk

    def _keep(self, connection: Connection, desk: Desk) -> None:
        told = {
            "account": self.account,
            "state": json.dumps(desk.to_dict()),
            "at": desk.walked,
            "lines": json.dumps(packed(desk.book.log)),
        }
        connection.execute(_KEEP, told)
        desk.book.log.clear()
