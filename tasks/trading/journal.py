"""The order journal: an intent is written down before anything is sent, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from infra.brokers.paper import Execution, Exit
from infra.postgres.database import session
from infra.postgres.models import Equity, Fill, Intent, IntentEvent, Position, Signal
from tasks.trading.lease import Held

START_BALANCE = 100_000.0
"""Of the account's currency."""


@dataclass(frozen=True)
class Journal:
    """The journal of one account, written under its lease."""

    account: str
    lease: Held

    def claim(self, signal: Signal, units: float) -> int | None:
        """Write the one entry intent a signal can have; None if it is there already.

        Parameters
        ----------
        signal : Signal
        units : float
            Of the base currency.
        """
        claim = (
            insert(Intent)
            .values(
                signal_id=signal.id,
                kind="entry",
                account=self.account,
                pair=signal.pair,
                side=signal.side,
                units=units,
                token=self.lease.token,
            )
            .on_conflict_do_nothing()
            .returning(Intent.id)
        )
        with session() as opened:
            self.lease.fence(opened)
            intent_id = opened.scalar(claim)
            if intent_id is not None:
                self._event(opened, intent_id, "claimed", {})
        return intent_id

    def unsettled(self) -> list[tuple[int, Signal]]:
        """Entries that were claimed and then neither filled nor refused: a run died there."""
        claimed = (
            select(Intent.id, Signal)
            .join(Signal, Signal.id == Intent.signal_id)
            .where(Intent.account == self.account, Intent.kind == "entry")
            .where(Intent.state == "claimed")
            .order_by(Intent.id)
        )
        with session() as opened:
            rows = [(intent_id, signal) for intent_id, signal in opened.execute(claimed)]
            opened.expunge_all()
        return rows

    def refused(self, intent_id: int, reason: str) -> None:
        """Write that an order was not filled and never will be.

        Parameters
        ----------
        intent_id : int
        reason : str
            For people.
        """
        with session() as opened:
            self.lease.fence(opened)
            self._event(opened, intent_id, "refused", {"reason": reason})

    def entered(self, intent_id: int, signal: Signal, units: float, at: Execution) -> None:
        """Write fill and position of an entry, in one transaction.

        Parameters
        ----------
        intent_id : int
        signal : Signal
        units : float
            Of the base currency.
        at : Execution
            Price and time of the fill.
        """
        sign = 1.0 if signal.side == "long" else -1.0
        stop, target = signal.stop_distance, signal.target_distance
        position = Position(
            account=self.account,
            strategy=signal.strategy,
            pair=signal.pair,
            timeframe=signal.timeframe,
            signal_id=signal.id,
            side=signal.side,
            units=units,
            entry_price=at.price,
            stop_price=None if stop is None else at.price - sign * stop,
            target_price=None if target is None else at.price + sign * target,
            opened_at=at.at,
        )
        with session() as opened:
            self.lease.fence(opened)
            opened.add(position)
            self._fill(opened, intent_id, position, signal.side, at)
            self._event(opened, intent_id, "filled", {"price": at.price})

    def left(
        self, position: Position, ended: Exit, rate: float | None, why: str | None = None
    ) -> float | None:
        """Write intent, fill and end of a position, in one transaction; return its profit.

        Parameters
        ----------
        position : Position
            The open one.
        ended : Exit
            How and at what price it ended.
        rate : float or None
            What a unit of the quote currency is worth in the account's; None: nobody knows, and
            no profit is booked.
        why : str, optional
            Why nobody does.
        """
        back = "short" if position.side == "long" else "long"
        quoted = _quoted(position, ended.price)
        profit = None if rate is None else quoted * rate
        detail = {"reason": ended.reason, "quoted": quoted, "rate": rate}
        detail |= {} if why is None else {"why": why}
        at = Execution(f"paper-{self.account}-{position.signal_id}-exit", ended.price, ended.at)
        intent = Intent(
            signal_id=position.signal_id,
            kind="exit",
            account=self.account,
            pair=position.pair,
            side=back,
            units=position.units,
            token=self.lease.token,
        )
        with session() as opened:
            self.lease.fence(opened)
            opened.add(intent)
            opened.flush()
            self._fill(opened, intent.id, position, back, at)
            self._event(opened, intent.id, "filled", detail)
            opened.execute(
                update(Position)
                .where(Position.id == position.id)
                .values(
                    exit_price=ended.price,
                    exit_reason=ended.reason,
                    profit=profit,
                    closed_at=ended.at,
                )
            )
        return profit

    def unbooked(self) -> list[Position]:
        """Closed positions whose profit was not known in the account's currency."""
        closed = select(Position).where(
            Position.account == self.account,
            Position.closed_at.is_not(None),
            Position.profit.is_(None),
        )
        with session() as opened:
            positions = list(opened.scalars(closed.order_by(Position.id)))
            opened.expunge_all()
        return positions

    def book(self, position: Position, rate: float) -> None:
        """Write the profit of a closed position now that its rate is known.

        Parameters
        ----------
        position : Position
            One of `unbooked`.
        rate : float
            What a unit of the quote currency was worth in the account's when it ended.
        """
        assert position.exit_price is not None
        quoted = _quoted(position, position.exit_price)
        with session() as opened:
            self.lease.fence(opened)
            opened.execute(
                update(Position).where(Position.id == position.id).values(profit=quoted * rate)
            )

    def latest(self) -> datetime:
        """Return the time of the account's last entry or exit."""
        moments = func.greatest(Position.opened_at, Position.closed_at)
        last = select(func.max(moments)).where(Position.account == self.account)
        with session() as opened:
            return opened.scalar(last) or datetime.min.replace(tzinfo=UTC)

    def balance(self, now: datetime) -> float:
        """Write the balance at `now`, of closed trades whose profit is known, and return it."""
        closed = select(func.coalesce(func.sum(Position.profit), 0.0)).where(
            Position.account == self.account
        )
        with session() as opened:
            balance = START_BALANCE + float(opened.scalar(closed) or 0.0)
            figures = {"balance": balance, "equity": balance}
            row = insert(Equity).values(account=self.account, timestamp=now, **figures)
            opened.execute(
                row.on_conflict_do_update(index_elements=["account", "timestamp"], set_=figures)
            )
        return balance

    def _fill(
        self, opened: Session, intent_id: int, position: Position, side: str, at: Execution
    ) -> None:
        opened.add(
            Fill(
                intent_id=intent_id,
                account=self.account,
                transaction=at.transaction,
                pair=position.pair,
                side=side,
                units=position.units,
                price=at.price,
                filled_at=at.at,
            )
        )

    def _event(self, opened: Session, intent_id: int, event: str, detail: dict[str, Any]) -> None:
        token = self.lease.token
        opened.add(IntentEvent(intent_id=intent_id, event=event, detail=detail, token=token))
        opened.execute(update(Intent).where(Intent.id == intent_id).values(state=event))


def _quoted(position: Position, price: float) -> float:
    """Return the profit at a price, in the pair's quote currency."""
    sign = 1.0 if position.side == "long" else -1.0
    return sign * (price - position.entry_price) * position.units
