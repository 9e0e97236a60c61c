"""Tables of what came of published signals, and of models taken out of force (SQLAlchemy 2)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from infra.postgres.models import Base


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class SignalOutcome(Base):
    """What became of a published signal under its own exit rule, traded or not.

    ``resolved`` and ``void`` (nothing could be entered) are for good; ``missing`` (its bars) and
    ``refused`` (its model's record) say why it is not known yet. `gain` is net and `gross` at mid
    prices, both as a share of the entry price.
    """

    __tablename__ = "signal_outcome"
    __table_args__ = (
        CheckConstraint("state IN ('resolved', 'void', 'missing', 'refused')", name="state"),
        CheckConstraint(
            "(state = 'resolved') = (won IS NOT NULL AND gain IS NOT NULL AND exit_at IS NOT NULL)",
            name="known",
        ),
    )

    signal_id: Mapped[int] = mapped_column(
        ForeignKey("signal.id"), primary_key=True, autoincrement=False
    )
    state: Mapped[str]
    reason: Mapped[str | None]
    won: Mapped[bool | None]
    gain: Mapped[float | None]
    gross: Mapped[float | None]
    entry_price: Mapped[float | None]
    exit_price: Mapped[float | None]
    entry_at: Mapped[datetime | None]
    exit_at: Mapped[datetime | None]
    exit_reason: Mapped[str | None]
    resolved_at: Mapped[datetime] = _now()


class Demotion(Base):
    """A model's time in force that ended, or goes on in the shadow; `since` is when it began.

    Rows are never changed.
    """

    __tablename__ = "demotion"
    __table_args__ = (CheckConstraint("kind IN ('demoted', 'retired')", name="kind"),)

    model_id: Mapped[str] = mapped_column(ForeignKey("model.model_id"), primary_key=True)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    who: Mapped[str]
    why: Mapped[str]
    figures: Mapped[dict[str, Any]]
    at: Mapped[datetime] = _now()
