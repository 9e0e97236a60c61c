"""A position does not say when it is due: its signal's horizon does, and nobody read the column."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.drop_column("position", "exit_due")


def downgrade() -> None:
    """Take it back."""
    op.add_column("position", sa.Column("exit_due", sa.DateTime(timezone=True), nullable=True))
