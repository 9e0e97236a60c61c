"""Only the owner arms live trading: who sends orders cannot allow itself to."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

GUARD: Final = """
CREATE FUNCTION guard_arming() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.name = 'arm' AND NEW.on AND NOT pg_has_role(
        current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER'
    ) THEN
        RAISE EXCEPTION 'only the owner of the database arms live trading, and this is %',
            current_user USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Make the change."""
    op.execute(GUARD)
    op.execute(
        "CREATE TRIGGER guard_arming BEFORE INSERT ON control "
        "FOR EACH ROW EXECUTE FUNCTION guard_arming()"
    )


def downgrade() -> None:
    """Take it back."""
    op.execute("DROP TRIGGER guard_arming ON control")
    op.execute("DROP FUNCTION guard_arming()")
