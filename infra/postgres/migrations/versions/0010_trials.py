"""What was tried on which bars, what is kept locked, and models that speak without trading."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column("champion", _column("shadow", sa.Boolean(), sa.text("false")))
    op.add_column("champion", _column("why", sa.Text(), ""))
    # nobody had asked a gate: a model that was put in force before speaks in shadow
    op.execute("UPDATE champion SET shadow = true, why = 'put in force before there was a gate'")
    op.create_table(
        "trial",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        *(_column(name) for name in ("pair", "timeframe")),
        *(_column(name, _time()) for name in ("first", "last")),
        *(_column(name) for name in ("run_id", "kind", "strategy")),
        _column("sets", sa.BigInteger()),
        _column("effective", sa.Double()),
        sa.Column("deviation", sa.Double()),
        _column("details", JSONB()),
        _column("created_at", _time(), sa.text("now()")),
        sa.CheckConstraint(
            "sets >= 1 AND effective BETWEEN 1 AND sets", name=op.f("ck_trial_sets")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trial")),
        sa.UniqueConstraint("run_id", "kind", name=op.f("uq_trial_run_id_kind")),
    )
    op.create_index(op.f("ix_trial_pair_timeframe"), "trial", ["pair", "timeframe"])
    op.create_table(
        "holdout",
        *(_column(name) for name in ("pair", "timeframe")),
        *(_column(name, _time()) for name in ("first", "last")),
        _column("run_id"),
        _column("locked_at", _time(), sa.text("now()")),
        sa.CheckConstraint("first <= last", name=op.f("ck_holdout_span")),
        sa.PrimaryKeyConstraint("pair", "timeframe", "first", name=op.f("pk_holdout")),
    )
    _create_opening()


def _create_opening() -> None:
    key = ["pair", "timeframe", "first"]
    op.create_table(
        "holdout_opening",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        *(_column(name) for name in ("pair", "timeframe")),
        *(_column(name, _time()) for name in ("first", "last")),
        *(_column(name) for name in ("model_id", "who")),
        _column("opened_at", _time(), sa.text("now()")),
        sa.ForeignKeyConstraint(
            key, [f"holdout.{name}" for name in key], name=op.f("fk_holdout_opening_holdout")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holdout_opening")),
        sa.UniqueConstraint(
            *key, "model_id", name=op.f("uq_holdout_opening_pair_timeframe_first_model_id")
        ),
    )


def _time() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _column(name: str, kind: object = None, default: object = None) -> sa.Column[object]:
    return sa.Column(name, kind or sa.Text(), server_default=default, nullable=False)  # type: ignore[arg-type]


def downgrade() -> None:
    """Take it back."""
    op.drop_table("holdout_opening")
    op.drop_table("holdout")
    op.drop_table("trial")
    op.drop_column("champion", "why")
    op.drop_column("champion", "shadow")
