"""What came into the store when, what it replaced, and what was taken out again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PRICES = ("open", "high", "low", "close")
UNKNOWN = ("volume", *(f"{side}_{price}" for side in ("bid", "ask") for price in PRICES))
TABLES = ("bar_arrival", "bar_span", "bar_revision", "bar_removal")
EDGES = ["pair", "timeframe", "timestamp"]


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "bar_arrival",
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last", sa.DateTime(timezone=True), nullable=True),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("revised", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pair", "timeframe", "run_id", "part", name=op.f("pk_bar_arrival")),
    )
    op.create_table(
        "bar_span",
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            "pair", "timeframe", "arrived_at", "first", name=op.f("pk_bar_span")
        ),
    )
    op.create_table(
        "bar_revision",
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in PRICES),
        *(sa.Column(name, sa.Double(), nullable=True) for name in UNKNOWN),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("arrived_by", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            "pair", "timeframe", "replaced_at", "timestamp", name=op.f("pk_bar_revision")
        ),
    )
    op.create_index(op.f("ix_bar_revision_pair_timeframe_timestamp"), "bar_revision", EDGES)
    op.create_table(
        "bar_removal",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("first", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("put_back", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bar_removal")),
        sa.UniqueConstraint("file", name=op.f("uq_bar_removal_file")),
    )


def downgrade() -> None:
    """Take it back."""
    for table in reversed(TABLES):
        op.drop_table(table)
