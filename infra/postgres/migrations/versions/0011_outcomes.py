"""What became of published signals, and which models were taken out of force for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KNOWN = "(state = 'resolved') = (won IS NOT NULL AND gain IS NOT NULL AND exit_at IS NOT NULL)"


def upgrade() -> None:
    """Make the change."""
    time = sa.DateTime(timezone=True)
    now = sa.text("now()")
    op.create_table(
        "signal_outcome",
        sa.Column("signal_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("won", sa.Boolean()),
        *(sa.Column(name, sa.Double()) for name in ("gain", "gross", "entry_price", "exit_price")),
        *(sa.Column(name, time) for name in ("entry_at", "exit_at")),
        sa.Column("exit_reason", sa.Text()),
        sa.Column("resolved_at", time, server_default=now, nullable=False),
        sa.CheckConstraint(
            "state IN ('resolved', 'void', 'missing', 'refused')",
            name=op.f("ck_signal_outcome_state"),
        ),
        sa.CheckConstraint(KNOWN, name=op.f("ck_signal_outcome_known")),
        sa.ForeignKeyConstraint(
            ["signal_id"], ["signal.id"], name=op.f("fk_signal_outcome_signal_id")
        ),
        sa.PrimaryKeyConstraint("signal_id", name=op.f("pk_signal_outcome")),
    )
    op.create_table(
        "demotion",
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("since", time, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("figures", JSONB(), nullable=False),
        sa.Column("at", time, server_default=now, nullable=False),
        sa.CheckConstraint("kind IN ('demoted', 'retired')", name=op.f("ck_demotion_kind")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.model_id"], name=op.f("fk_demotion_model_id")
        ),
        sa.PrimaryKeyConstraint("model_id", "since", "kind", name=op.f("pk_demotion")),
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON demotion "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.create_index(op.f("ix_signal_model_id_bar_ts"), "signal", ["model_id", "bar_ts"])


def downgrade() -> None:
    """Take it back."""
    op.drop_index(op.f("ix_signal_model_id_bar_ts"), "signal")
    op.drop_table("demotion")
    op.drop_table("signal_outcome")
