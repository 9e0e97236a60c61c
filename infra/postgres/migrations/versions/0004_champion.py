"""Which model is in force: a pointer for each pair, timeframe and strategy, and no status."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATUSES = "status IN ('candidate', 'champion', 'retired')"


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "champion",
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column(
            "since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.model_id"], name=op.f("fk_champion_model_id")
        ),
        sa.PrimaryKeyConstraint("pair", "timeframe", "strategy", name=op.f("pk_champion")),
    )
    op.drop_constraint(op.f("ck_model_status"), "model", type_="check")
    op.drop_column("model", "status")


def downgrade() -> None:
    """Take it back."""
    column = sa.Column("status", sa.Text(), server_default=sa.text("'candidate'"), nullable=False)
    op.add_column("model", column)
    op.create_check_constraint(op.f("ck_model_status"), "model", STATUSES)
    op.drop_table("champion")
