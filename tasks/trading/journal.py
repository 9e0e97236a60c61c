"""The order journal: an intent is written down before anything is sent, and what came of it.

```
PREPARED -> DENIED | EXPIRED | SENT
SENT     -> FILLED | CANCELLED | REJECTED | UNKNOWN
UNKNOWN  -> FILLED | CANCELLED | REJECTED | DROPPED
```
Every change is a transaction of its own under the account's lease; the database refuses any other
way through the states, and events are never changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from infra.clock import Clock
from infra.postgres.database import every, first, reading, session
from infra.postgres.models import Signal
from infra.postgres.trading import Intent, IntentEvent, Position
from tasks.trading.lease import Held

OPEN_STATES: Final = ("PREPARED", "SENT", "UNKNOWN")
"""Of intents that have not ended."""
PREFIX: Final = "sep-"
"""Of the names of our orders: a trade whose order has it is ours."""
_FROM: Final[Mapping[str, tuple[str, ...]]] = {
    "DENIED": ("PREPARED",),
    "EXPIRED": ("PREPARED",),
    "SENT": ("PREPARED",),
    "UNKNOWN": ("SENT",),
    "FILLED": ("SENT", "UNKNOWN"),
    "CANCELLED": ("SENT", "UNKNOWN"),
    "REJECTED": ("SENT", "UNKNOWN"),
    "DROPPED": ("UNKNOWN",),
}


@dataclass(frozen=True)
class Journal:
    """The journal of one account, written under its lease."""

    account: str
    lease: Held
    clock: Clock

    def claim(self, signal: Signal, detail: Mapping[str, Any], **order: Any) -> Intent | None:
        """Write the one entry intent that a signal can have on this account.

        Parameters
        ----------
        signal : Signal
        detail : mapping
            What was thought, for the record: size, rules, prices. Plain values.
        **order
            `units`, `quoted`, `bound`, `stop_price`, `target_price`, decimals.

        Returns
        -------
        Intent or None
            None if it is there already.
        """
        return self._prepare({**self._entry(signal), **order}, detail)

    def deny(self, signal: Signal, reason: str, detail: Mapping[str, Any]) -> bool:
        """Write that a signal is not traded, at once; False if it has an intent already.

        Parameters
        ----------
        signal : Signal
        reason : str
        detail : mapping
            What was thought, for the record. Plain values.
        """
        with session() as opened:
            self.lease.fence(opened)
            intent = self._written(opened, self._entry(signal), detail)
            if intent is not None:
                self.move_in(opened, intent.id, "DENIED", reason)
        return intent is not None

    def leave(
        self, position: Position, reason: str, quoted: Decimal, detail: Mapping[str, Any]
    ) -> Intent:
        """Write the intent to close a position; one of several tries.

        Parameters
        ----------
        position : Position
        reason : str
            Why: ``time``, ``opposite``, ``late``, ...
        quoted : Decimal
            The price that was seen.
        detail : mapping
            For the record. Plain values.
        """
        tries = select(func.count()).select_from(Intent)
        tries = tries.where(Intent.account == self.account, Intent.trade == position.trade)
        number = first(tries) or 0
        intent = self._prepare(
            {
                "account": self.account,
                "kind": "exit",
                "signal_id": position.signal_id,
                "client_id": f"{PREFIX}{self.account}-x{position.trade}-{number}",
                "pair": position.pair,
                "side": "short" if position.side == "long" else "long",
                "units": position.units,
                "trade": position.trade,
                "quoted": quoted,
                "reason": reason,
            },
            detail,
        )
        assert intent is not None  # the lease lets one write at a time
        return intent

    def move(self, intent: Intent, state: str, note: str = "", **values: Any) -> None:
        """Bring an intent into its next state, in a transaction of its own.

        Parameters
        ----------
        intent : Intent
            Its `state` is changed, too.
        state : str
        note : str
            Why, for people.
        **values
            Columns to write with it: `checkpoint`, `sent_at`.
        """
        with session() as opened:
            self.lease.fence(opened)
            self.move_in(opened, intent.id, state, note, **values)
        intent.state = state

    def move_in(
        self, opened: Session, intent_id: int, state: str, note: str = "", **values: Any
    ) -> None:
        """Bring an intent into its next state, in a transaction under way that is fenced.

        Parameters
        ----------
        opened : sqlalchemy.orm.Session
        intent_id : int
        state, note : str
        **values
            Columns to write with it.

        Raises
        ------
        AssertionError
            If no way leads there.
        """
        changed = (
            update(Intent)
            .where(Intent.id == intent_id, Intent.state.in_(_FROM[state]))
            .values(state=state, note=note or None, token=self.lease.token)
            .values(updated_at=self.clock.now(), **values)
            .returning(Intent.id)
        )
        if opened.scalar(changed) is None:
            raise AssertionError(f"intent {intent_id} cannot become {state}")
        shown = {name: str(value) for name, value in values.items()}
        self.event(opened, intent_id, state, {**({"note": note} if note else {}), **shown})

    def note(self, intent_id: int, event: str, **detail: Any) -> None:
        """Write an event that changes no state.

        Parameters
        ----------
        intent_id : int
        event : str
        **detail
            Plain values.
        """
        with session() as opened:
            self.lease.fence(opened)
            self.event(opened, intent_id, event, detail)

    def event(self, opened: Session, intent_id: int, event: str, detail: Mapping[str, Any]) -> None:
        """Write an event in a transaction under way that is fenced.

        Parameters
        ----------
        opened : sqlalchemy.orm.Session
        intent_id : int
        event : str
        detail : mapping
            Plain values.
        """
        opened.add(
            IntentEvent(
                intent_id=intent_id,
                event=event,
                detail=dict(detail),
                token=self.lease.token,
                at=self.clock.now(),
            )
        )

    def unfinished(self) -> list[Intent]:
        """Return intents that have not ended, oldest first."""
        return self._intents(
            select(Intent).where(Intent.state.in_(OPEN_STATES)).order_by(Intent.id)
        )

    def fenced(self) -> set[str]:
        """Return pairs of which nobody knows whether an entry was filled."""
        unsure = select(Intent).where(Intent.state.in_(("SENT", "UNKNOWN")))
        return {intent.pair for intent in self._intents(unsure.where(Intent.kind == "entry"))}

    def positions(self) -> list[tuple[Position, Signal]]:
        """Return open positions with their signals, oldest first."""
        held = (
            select(Position, Signal)
            .join(Signal, Signal.id == Position.signal_id)
            .where(Position.account == self.account, Position.closed_at.is_(None))
            .order_by(Position.id)
        )
        with reading() as opened:
            return [(position, signal) for position, signal in opened.execute(held)]

    def scans(self, intent: Intent) -> int:
        """Return how often the broker's log was read in vain for an intent in doubt."""
        counted = select(func.count()).select_from(IntentEvent)
        counted = counted.where(IntentEvent.intent_id == intent.id, IntentEvent.event == "scan")
        return first(counted) or 0

    def unknown(self, names: Collection[str | None]) -> list[str]:
        """Return which names of orders look like ours and are in no intent of this account."""
        ours = {name for name in names if is_ours(name)}
        mine = select(Intent.client_id).where(
            Intent.account == self.account, Intent.client_id.in_(ours)
        )
        known = set(every(mine)) if ours else set()
        return sorted(str(name) for name in ours - known)

    def signal(self, intent: Intent) -> Signal:
        """Return the signal of an intent."""
        with reading() as opened:
            return opened.get_one(Signal, intent.signal_id)

    def _intents(self, query: Select[tuple[Intent]]) -> list[Intent]:
        return every(query.where(Intent.account == self.account))

    def _entry(self, signal: Signal) -> dict[str, Any]:
        return {
            "account": self.account,
            "kind": "entry",
            "signal_id": signal.id,
            "client_id": entry_name(self.account, signal),
            "pair": signal.pair,
            "side": signal.side,
        }

    def _prepare(self, values: Mapping[str, Any], detail: Mapping[str, Any]) -> Intent | None:
        with session() as opened:
            self.lease.fence(opened)
            intent = self._written(opened, values, detail)
            if intent is not None:
                opened.expunge(intent)
        return intent

    def _written(
        self, opened: Session, values: Mapping[str, Any], detail: Mapping[str, Any]
    ) -> Intent | None:
        now = self.clock.now()
        written = (
            insert(Intent)
            .values(**values, token=self.lease.token, created_at=now, updated_at=now)
            .on_conflict_do_nothing()
            .returning(Intent)
        )
        intent = opened.scalar(written)
        if intent is not None:
            self.event(opened, intent.id, "PREPARED", detail)
            opened.flush()
        return intent


def is_ours(client_id: str | None) -> bool:
    """Say whether an order's name is one that we give.

    Parameters
    ----------
    client_id : str or None
        None: it has none.
    """
    return (client_id or "").startswith(PREFIX)


def entry_name(account: str, signal: Signal) -> str:
    """Return the name of a signal's entry order on an account: the same whoever asks.

    Parameters
    ----------
    account : str
    signal : Signal
    """
    key = (account, signal.strategy, signal.pair, signal.timeframe, _stamp(signal.bar_ts))
    digest = hashlib.sha256("|".join(key).encode()).hexdigest()[:16]
    return f"{PREFIX}{digest}-{signal.id}"


def _stamp(moment: datetime) -> str:
    return str(int(moment.timestamp()))
