"""Bars that are on their way to another machine, and the models that come back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KEY = ("hash", "pair", "timeframe")


def upgrade() -> None:
    """Make the change."""
    now = sa.text("now()")
    time = sa.DateTime(timezone=True)
    op.create_table(
        "bar_want",
        *(sa.Column(name, sa.Text(), nullable=False) for name in KEY),
        sa.Column("refused", sa.Text()),
        sa.Column("asked_at", time, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_bar_want")),
    )
    op.create_table(
        "bar_file",
        *(sa.Column(name, sa.Text(), nullable=False) for name in (*KEY, "year", "sha256")),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("offered_at", time, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint(*KEY, "year", name=op.f("pk_bar_file")),
    )
    op.create_table(
        "model_file",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("model_id", "name")),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.model_id"], name=op.f("fk_model_file_model_id")
        ),
        sa.PrimaryKeyConstraint("model_id", "name", name=op.f("pk_model_file")),
    )
    for table in ("bar_file", "model_file"):  # Parquet does not shrink
        op.execute(f"ALTER TABLE {table} ALTER COLUMN content SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Take it back."""
    for table in ("model_file", "bar_file", "bar_want"):
        op.drop_table(table)
