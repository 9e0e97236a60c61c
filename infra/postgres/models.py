"""Tables of the shared database (SQLAlchemy 2)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints and indexes, the same in models and migrations."""


class Base(DeclarativeBase):
    """Base of all tables: times carry their zone, floats are doubles, dicts are JSONB."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        Decimal: Numeric,
        float: Double,
        int: BigInteger,
        str: Text,
    }


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


def _identity() -> Mapped[int]:
    return mapped_column(Identity(), primary_key=True)


class _Values:
    """What a bar says."""

    open: Mapped[float]
    high: Mapped[float]
    low: Mapped[float]
    close: Mapped[float]
    volume: Mapped[float | None]
    bid_open: Mapped[float | None]
    bid_high: Mapped[float | None]
    bid_low: Mapped[float | None]
    bid_close: Mapped[float | None]
    ask_open: Mapped[float | None]
    ask_high: Mapped[float | None]
    ask_low: Mapped[float | None]
    ask_close: Mapped[float | None]


class Bar(_Values, Base):
    """Recent bars of every pair and timeframe; the bulk store has all of them."""

    __tablename__ = "bars"
    __table_args__ = (
        CheckConstraint("low > 0 AND low <= least(open, close)", name="low"),
        CheckConstraint("high >= greatest(open, close)", name="high"),
        CheckConstraint("volume >= 0", name="volume"),
    )

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)


class BarArrival(Base):
    """What a store step of a run added and revised, against the store before the run."""

    __tablename__ = "bar_arrival"

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    arrived_at: Mapped[datetime]
    first: Mapped[datetime | None]
    last: Mapped[datetime | None]
    added: Mapped[int]
    revised: Mapped[int]


class BarSpan(Base):
    """Bars that came at one moment, with no other between them then."""

    __tablename__ = "bar_span"

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    arrived_at: Mapped[datetime] = mapped_column(primary_key=True)
    first: Mapped[datetime] = mapped_column(primary_key=True)
    last: Mapped[datetime]
    run_id: Mapped[str | None]


class BarRevision(_Values, Base):
    """A row of the store that another took the place of, that of the run `run_id`."""

    __tablename__ = "bar_revision"
    __table_args__ = (Index(None, "pair", "timeframe", "timestamp"),)

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    replaced_at: Mapped[datetime] = mapped_column(primary_key=True)
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)
    arrived_at: Mapped[datetime | None]
    arrived_by: Mapped[str | None]
    run_id: Mapped[str | None]


class BarRemoval(Base):
    """Bars that were taken out of the store; their rows are in a file under `removed/`."""

    __tablename__ = "bar_removal"
    __table_args__ = (UniqueConstraint("file"),)

    id: Mapped[int] = _identity()
    pair: Mapped[str]
    timeframe: Mapped[str]
    first: Mapped[datetime]
    last: Mapped[datetime]
    run_id: Mapped[str | None]
    removed_at: Mapped[datetime]
    rows: Mapped[int]
    put_back: Mapped[int]
    who: Mapped[str]
    what: Mapped[str]
    file: Mapped[str]
    undone_at: Mapped[datetime | None]


class Metric(Base):
    """Metrics of a bar's last step (docs/mathematics.md, "Damping"); null without events."""

    __tablename__ = "metrics"

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)
    entropy: Mapped[float | None]
    coherence: Mapped[float | None]
    stability: Mapped[float | None]
    damped_value: Mapped[float | None]
    decay: Mapped[float | None]
    steps: Mapped[int | None]
    run_id: Mapped[str | None]


class Quarantine(Base):
    """Rows of a source that are not bars, each with the reason: nothing is dropped."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("pair", "timeframe", "source", "source_row", "digest"),)

    id: Mapped[int] = _identity()
    pair: Mapped[str]
    timeframe: Mapped[str]
    source: Mapped[str]
    source_row: Mapped[int]
    reason: Mapped[str] = mapped_column(index=True)
    raw: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(Computed("md5(raw::text)", persisted=True))
    run_id: Mapped[str | None]
    created_at: Mapped[datetime] = _now()


class IngestCursor(Base):
    """How far a source has been read."""

    __tablename__ = "ingest_cursor"

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    last_timestamp: Mapped[datetime | None]
    rows: Mapped[int]
    quarantined: Mapped[int]
    content_hash: Mapped[str]
    run_id: Mapped[str | None]
    updated_at: Mapped[datetime] = _now()


class Pair(Base):
    """Pairs and timeframes that are traded or watched, with their limits."""

    __tablename__ = "pairs"

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    limits: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))


class Model(Base):
    """A trained model: what it was made from, where its files are, how it did."""

    __tablename__ = "model"
    model_id: Mapped[str] = mapped_column(primary_key=True)
    pair: Mapped[str]
    timeframe: Mapped[str]
    strategy: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    data_hash: Mapped[str]
    code_version: Mapped[str]
    trained_from: Mapped[datetime]
    trained_until: Mapped[datetime]
    path: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _now()


class Champion(Base):
    """The model in force of a pair, timeframe and strategy: who said so, and since when."""

    __tablename__ = "champion"

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    strategy: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.model_id"))
    who: Mapped[str]
    since: Mapped[datetime] = _now()
    shadow: Mapped[bool] = mapped_column(server_default=text("false"))
    why: Mapped[str] = mapped_column(server_default="")


class Trial(Base):
    """What a run tried on a span of bars: one row a run and kind, never taken back."""

    __tablename__ = "trial"
    __table_args__ = (
        UniqueConstraint("run_id", "kind"),
        CheckConstraint("sets >= 1 AND effective BETWEEN 1 AND sets", name="sets"),
        Index(None, "pair", "timeframe"),
    )

    id: Mapped[int] = _identity()
    pair: Mapped[str]
    timeframe: Mapped[str]
    first: Mapped[datetime]
    last: Mapped[datetime]
    run_id: Mapped[str]
    kind: Mapped[str]
    strategy: Mapped[str]
    sets: Mapped[int]
    effective: Mapped[float]
    deviation: Mapped[float | None]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _now()


class Holdout(Base):
    """All bars of a series from `first` on, locked when `last` was the newest of them."""

    __tablename__ = "holdout"
    __table_args__ = (CheckConstraint("first <= last", name="span"),)

    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    first: Mapped[datetime] = mapped_column(primary_key=True)
    last: Mapped[datetime]
    run_id: Mapped[str]
    locked_at: Mapped[datetime] = _now()


class HoldoutOpening(Base):
    """Who looked at a holdout, by which model, up to which bar, and when."""

    __tablename__ = "holdout_opening"
    __table_args__ = (
        UniqueConstraint("pair", "timeframe", "first", "model_id"),
        ForeignKeyConstraint(
            ["pair", "timeframe", "first"],
            ["holdout.pair", "holdout.timeframe", "holdout.first"],
            name="fk_holdout_opening_holdout",
        ),
    )

    id: Mapped[int] = _identity()
    pair: Mapped[str]
    timeframe: Mapped[str]
    first: Mapped[datetime]
    last: Mapped[datetime]
    model_id: Mapped[str]
    who: Mapped[str]
    opened_at: Mapped[datetime] = _now()


class Signal(Base):
    """A published signal: one for each key, never changed afterwards."""

    __tablename__ = "signal"
    __table_args__ = (
        UniqueConstraint("strategy", "pair", "timeframe", "bar_ts"),
        CheckConstraint("side IN ('long', 'short')", name="side"),
        CheckConstraint("action IN ('BUY', 'SELL', 'CLOSE')", name="action"),
        CheckConstraint("mode IN ('shadow', 'live')", name="mode"),
        Index(None, "model_id", "bar_ts"),
    )

    id: Mapped[int] = _identity()
    strategy: Mapped[str]
    pair: Mapped[str]
    timeframe: Mapped[str]
    bar_ts: Mapped[datetime]
    side: Mapped[str]
    action: Mapped[str]
    confidence: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    break_even: Mapped[float | None]
    expected: Mapped[float | None]
    doubt: Mapped[float | None]
    margin: Mapped[float | None]
    entropy: Mapped[float | None]
    coherence: Mapped[float | None]
    stability: Mapped[float | None]
    damped_value: Mapped[float | None]
    stop_distance: Mapped[float | None]
    target_distance: Mapped[float | None]
    horizon: Mapped[int]
    size: Mapped[float | None]
    valid_until: Mapped[datetime] = mapped_column(index=True)
    mode: Mapped[str]
    model_id: Mapped[str] = mapped_column(ForeignKey("model.model_id"))
    run_id: Mapped[str | None]
    published_at: Mapped[datetime] = _now()


class BarWant(Base):
    """Bars that a machine lacks, by the hash of all of them; whoever has them offers the files."""

    __tablename__ = "bar_want"

    hash: Mapped[str] = mapped_column(primary_key=True)
    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    refused: Mapped[str | None]
    asked_at: Mapped[datetime] = _now()


class BarFile(Base):
    """A year of bars on its way to another machine; `hash` is that of all years together."""

    __tablename__ = "bar_file"

    hash: Mapped[str] = mapped_column(primary_key=True)
    pair: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    year: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    content: Mapped[bytes]
    offered_at: Mapped[datetime] = _now()


class ModelFile(Base):
    """A file of a model that was trained on another machine: one of `files`, by its path."""

    __tablename__ = "model_file"

    model_id: Mapped[str] = mapped_column(ForeignKey("model.model_id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    files: Mapped[int]
    sha256: Mapped[str]
    content: Mapped[bytes]
