"""The share of equity that a signal asks for, of strategies that say one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column("signal", sa.Column("size", sa.Float))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("signal", "size")
