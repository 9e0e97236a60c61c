"""Tables of the trading room: what was decided, sent, filled and switched (SQLAlchemy 2).

The executor writes them; money and prices are decimals, never floats.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from infra.postgres.models import Base

STATES = (
    "PREPARED", "DENIED", "EXPIRED", "SENT", "FILLED", "CANCELLED", "REJECTED", "UNKNOWN",
    "DROPPED",
)  # fmt: skip
"""Of an intent."""

_SIDE = "side IN ('long', 'short')"


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


def _identity() -> Mapped[int]:
    return mapped_column(Identity(), primary_key=True)


class Lease(Base):
    """Who may act under a name, until when; `token` grows with every taking."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    token: Mapped[int] = mapped_column(server_default=text("1"))
    expires_at: Mapped[datetime]


class Intent(Base):
    """An order as it was decided: at most one entry for a signal and account.

    `side` is the order's own: long buys. An exit names the `trade` that it closes and may be one
    of several tries. `quoted` is the price that was seen when it was decided, `checkpoint` the
    broker's last transaction before it was sent, `note` says why it ended as it did.
    """

    __tablename__ = "intent"
    __table_args__ = (
        Index(
            "uq_intent_entry",
            "account",
            "signal_id",
            unique=True,
            postgresql_where=text("kind = 'entry'"),
        ),
        UniqueConstraint("client_id"),
        CheckConstraint("kind IN ('entry', 'exit')", name="kind"),
        CheckConstraint(_SIDE, name="side"),
        CheckConstraint(f"state IN {STATES}", name="state"),
        CheckConstraint("(kind = 'exit') = (trade IS NOT NULL)", name="trade"),
    )

    id: Mapped[int] = _identity()
    account: Mapped[str]
    kind: Mapped[str]
    signal_id: Mapped[int | None] = mapped_column(ForeignKey("signal.id"), index=True)
    client_id: Mapped[str]
    pair: Mapped[str]
    side: Mapped[str]
    units: Mapped[Decimal | None]
    quoted: Mapped[Decimal | None]
    bound: Mapped[Decimal | None]
    stop_price: Mapped[Decimal | None]
    target_price: Mapped[Decimal | None]
    trade: Mapped[str | None]
    reason: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default=text("'PREPARED'"), index=True)
    note: Mapped[str | None]
    checkpoint: Mapped[int | None]
    token: Mapped[int]
    created_at: Mapped[datetime] = _now()
    sent_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = _now()


class IntentEvent(Base):
    """The order journal: what happened to an intent, in order, never changed."""

    __tablename__ = "intent_event"

    id: Mapped[int] = _identity()
    intent_id: Mapped[int] = mapped_column(ForeignKey("intent.id"), index=True)
    event: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    token: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Position(Base):
    """A trade of ours from its entry to its exit, by the broker's own number for it.

    `orphan` says that its order had been dropped when the fill came: it is closed at once.
    `profit` and `financing` are in the account's currency.
    """

    __tablename__ = "position"
    __table_args__ = (
        Index(
            "uq_position_open",
            "account",
            "pair",
            "timeframe",
            "strategy",
            unique=True,
            postgresql_where=text("closed_at IS NULL AND NOT orphan"),
        ),
        UniqueConstraint("account", "trade"),
        CheckConstraint(_SIDE, name="side"),
    )

    id: Mapped[int] = _identity()
    account: Mapped[str]
    strategy: Mapped[str]
    pair: Mapped[str]
    timeframe: Mapped[str]
    signal_id: Mapped[int] = mapped_column(ForeignKey("signal.id"), index=True)
    trade: Mapped[str]
    side: Mapped[str]
    units: Mapped[Decimal]
    entry_price: Mapped[Decimal]
    stop_price: Mapped[Decimal | None]
    target_price: Mapped[Decimal | None]
    opened_at: Mapped[datetime]
    orphan: Mapped[bool] = mapped_column(server_default=text("false"))
    exit_price: Mapped[Decimal | None]
    exit_reason: Mapped[str | None]
    profit: Mapped[Decimal | None]
    financing: Mapped[Decimal] = mapped_column(server_default=text("0"))
    closed_at: Mapped[datetime | None]


class Fill(Base):
    """An execution as the broker reports it; `transaction` is the broker's own number.

    A stop or target that the broker filled has no intent. `cost` is half the spread, in the
    account's currency, where the broker tells it.
    """

    __tablename__ = "fill"
    __table_args__ = (
        UniqueConstraint("account", "transaction", "trade"),
        CheckConstraint("kind IN ('entry', 'exit')", name="kind"),
        CheckConstraint(_SIDE, name="side"),
    )

    id: Mapped[int] = _identity()
    intent_id: Mapped[int | None] = mapped_column(ForeignKey("intent.id"), index=True)
    account: Mapped[str]
    transaction: Mapped[str]
    trade: Mapped[str]
    kind: Mapped[str]
    pair: Mapped[str]
    side: Mapped[str]
    units: Mapped[Decimal]
    price: Mapped[Decimal]
    quoted: Mapped[Decimal | None]
    profit: Mapped[Decimal | None]
    financing: Mapped[Decimal] = mapped_column(server_default=text("0"))
    commission: Mapped[Decimal] = mapped_column(server_default=text("0"))
    cost: Mapped[Decimal] = mapped_column(server_default=text("0"))
    filled_at: Mapped[datetime]


class Venue(Base):
    """What is known of an account at its broker: how far its transaction log has been read.

    `mismatch` says in which way journal and broker disagree; null if they agree.
    """

    __tablename__ = "venue"

    account: Mapped[str] = mapped_column(primary_key=True)
    broker: Mapped[str]
    currency: Mapped[str]
    last_transaction: Mapped[int]
    reconciled_at: Mapped[datetime]
    mismatch: Mapped[str | None]


class Equity(Base):
    """Balance and equity (open trades included) of an account over time."""

    __tablename__ = "equity"

    account: Mapped[str] = mapped_column(primary_key=True)
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)
    balance: Mapped[float]
    equity: Mapped[float]
    margin_used: Mapped[float | None]
    open_trades: Mapped[int | None]


class Control(Base):
    """Switches, by who, why and until when; the newest row of a name, account and scope counts.

    Names: ``halt`` (no new entries), ``reduce`` (only what makes positions smaller), ``arm`` (live
    trading allowed). `account` and `scope` (a pair) are ``*`` for all. Rows are never changed.
    """

    __tablename__ = "control"
    __table_args__ = (
        Index("ix_control_newest", "name", "account", "scope", "id"),
        CheckConstraint("name IN ('halt', 'reduce', 'arm')", name="name"),
    )

    id: Mapped[int] = _identity()
    name: Mapped[str]
    account: Mapped[str] = mapped_column(server_default=text("'*'"))
    scope: Mapped[str] = mapped_column(server_default=text("'*'"))
    on: Mapped[bool]
    who: Mapped[str]
    why: Mapped[str]
    until: Mapped[datetime | None]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Heartbeat(Base):
    """Who lives: the signal side and the executor tell, the other side looks."""

    __tablename__ = "heartbeat"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))


class PaperAccount(Base):
    """The paper broker's own book: what a venue would keep on its side."""

    __tablename__ = "paper_account"

    account: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = _now()


class PaperTransaction(Base):
    """The paper broker's transaction log."""

    __tablename__ = "paper_transaction"

    account: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[dict[str, Any]]
