"""The order journal of a broker that may leave one in doubt; decimals for money and prices."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATES: Final = (
    "PREPARED", "DENIED", "EXPIRED", "SENT", "FILLED", "CANCELLED", "REJECTED", "UNKNOWN",
    "DROPPED",
)  # fmt: skip
DECIMALS: Final = {
    "intent": ("units", "stop_price", "target_price"),
    "fill": ("units", "price", "cost"),
    "position": (
        "units", "entry_price", "stop_price", "target_price", "exit_price", "profit",
    ),
}  # fmt: skip
GUARD: Final = """
CREATE FUNCTION guard_intent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> NEW.state AND NOT (
        (OLD.state = 'PREPARED' AND NEW.state IN ('DENIED', 'EXPIRED', 'SENT'))
        OR (OLD.state = 'SENT' AND NEW.state IN ('FILLED', 'CANCELLED', 'REJECTED', 'UNKNOWN'))
        OR (OLD.state = 'UNKNOWN'
            AND NEW.state IN ('FILLED', 'CANCELLED', 'REJECTED', 'DROPPED'))
    ) THEN
        RAISE EXCEPTION 'intent % cannot go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Make the change; what was open on paper is closed, for the paper broker keeps a book now."""
    for name in ("expected", "doubt", "margin"):
        op.add_column("signal", sa.Column(name, sa.Double(), nullable=True))
    _decimals(sa.Numeric(), sa.Double())
    _intent()
    _position()
    _fill()
    op.add_column("equity", sa.Column("margin_used", sa.Double(), nullable=True))
    op.add_column("equity", sa.Column("open_trades", sa.BigInteger(), nullable=True))
    _tables()
    op.execute(GUARD)
    op.execute(
        "CREATE TRIGGER guard_intent BEFORE UPDATE ON intent "
        "FOR EACH ROW EXECUTE FUNCTION guard_intent()"
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON control "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    """Take it back; orders that the older tables cannot hold make it fail."""
    op.execute("DROP TRIGGER guard_intent ON intent")
    op.execute("DROP FUNCTION guard_intent()")
    for table in ("paper_transaction", "paper_account", "heartbeat", "control", "venue"):
        op.drop_table(table)
    op.drop_column("equity", "open_trades")
    op.drop_column("equity", "margin_used")
    _fill_back()
    _position_back()
    _intent_back()
    _decimals(sa.Double(), sa.Numeric())
    for name in ("margin", "doubt", "expected"):
        op.drop_column("signal", name)


def _decimals(new: Any, old: Any) -> None:
    for table, names in DECIMALS.items():
        for name in names:
            op.alter_column(table, name, type_=new, existing_type=old)


def _intent() -> None:
    op.drop_constraint(op.f("uq_intent_signal_id_kind"), "intent")
    op.alter_column("intent", "signal_id", nullable=True)
    for name, kind in (
        ("client_id", sa.Text()),
        ("quoted", sa.Numeric()),
        ("bound", sa.Numeric()),
        ("trade", sa.Text()),
        ("reason", sa.Text()),
        ("note", sa.Text()),
        ("checkpoint", sa.BigInteger()),
        ("sent_at", sa.DateTime(timezone=True)),
    ):
        op.add_column("intent", sa.Column(name, kind, nullable=True))
    op.execute(
        "UPDATE intent SET client_id = 'old-' || id, "
        "trade = CASE WHEN kind = 'exit' THEN 'old-' || signal_id END, "
        "state = CASE state WHEN 'filled' THEN 'FILLED' WHEN 'refused' THEN 'DENIED' "
        "ELSE 'DROPPED' END"
    )
    op.alter_column("intent", "client_id", nullable=False)
    op.alter_column("intent", "state", server_default=sa.text("'PREPARED'"))
    op.create_unique_constraint(op.f("uq_intent_client_id"), "intent", ["client_id"])
    op.create_check_constraint(op.f("ck_intent_state"), "intent", f"state IN {STATES}")
    op.create_check_constraint(
        op.f("ck_intent_trade"), "intent", "(kind = 'exit') = (trade IS NOT NULL)"
    )
    op.create_index(op.f("ix_intent_signal_id"), "intent", ["signal_id"])
    op.create_index(
        "uq_intent_entry",
        "intent",
        ["account", "signal_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'entry'"),
    )


def _intent_back() -> None:
    op.drop_index("uq_intent_entry", "intent")
    op.drop_index(op.f("ix_intent_signal_id"), "intent")
    for name in ("ck_intent_trade", "ck_intent_state", "uq_intent_client_id"):
        op.drop_constraint(op.f(name), "intent")
    op.alter_column("intent", "state", server_default=sa.text("'claimed'"))
    for name in ("sent_at", "checkpoint", "note", "reason", "trade", "bound", "quoted"):
        op.drop_column("intent", name)
    op.drop_column("intent", "client_id")
    op.alter_column("intent", "signal_id", nullable=False)
    op.create_unique_constraint(op.f("uq_intent_signal_id_kind"), "intent", ["signal_id", "kind"])


def _position() -> None:
    op.add_column("position", sa.Column("trade", sa.Text(), nullable=True))
    op.add_column(
        "position",
        sa.Column("orphan", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "position",
        sa.Column("financing", sa.Numeric(), server_default=sa.text("0"), nullable=False),
    )
    op.execute(
        "UPDATE position SET trade = 'old-' || signal_id, "
        "exit_reason = CASE WHEN closed_at IS NULL THEN 'the paper broker began a new book' "
        "ELSE exit_reason END, closed_at = coalesce(closed_at, now())"
    )
    op.alter_column("position", "trade", nullable=False)
    op.create_unique_constraint(op.f("uq_position_account_trade"), "position", ["account", "trade"])
    _open_index("closed_at IS NULL AND NOT orphan")


def _position_back() -> None:
    op.drop_constraint(op.f("uq_position_account_trade"), "position")
    _open_index("closed_at IS NULL")
    for name in ("financing", "orphan", "trade"):
        op.drop_column("position", name)


def _open_index(where: str) -> None:
    op.drop_index("uq_position_open", "position")
    op.create_index(
        "uq_position_open",
        "position",
        ["account", "pair", "timeframe", "strategy"],
        unique=True,
        postgresql_where=sa.text(where),
    )


def _fill() -> None:
    op.execute("ALTER TABLE fill DISABLE TRIGGER USER")
    op.alter_column("fill", "intent_id", nullable=True)
    op.alter_column("fill", "filled_at", server_default=None)
    op.drop_column("fill", "bar_ts")
    for name, kind in (
        ("trade", sa.Text()),
        ("kind", sa.Text()),
        ("quoted", sa.Numeric()),
        ("profit", sa.Numeric()),
    ):
        op.add_column("fill", sa.Column(name, kind, nullable=True))
    for name in ("financing", "commission"):
        op.add_column(
            "fill", sa.Column(name, sa.Numeric(), server_default=sa.text("0"), nullable=False)
        )
    op.execute(
        "UPDATE fill SET kind = intent.kind, trade = 'old-' || intent.signal_id "
        "FROM intent WHERE intent.id = fill.intent_id"
    )
    op.alter_column("fill", "trade", nullable=False)
    op.alter_column("fill", "kind", nullable=False)
    op.drop_constraint(op.f("uq_fill_account_transaction"), "fill")
    op.create_unique_constraint(
        op.f("uq_fill_account_transaction_trade"), "fill", ["account", "transaction", "trade"]
    )
    op.create_check_constraint(op.f("ck_fill_kind"), "fill", "kind IN ('entry', 'exit')")
    op.create_check_constraint(op.f("ck_fill_side"), "fill", "side IN ('long', 'short')")
    op.execute("ALTER TABLE fill ENABLE TRIGGER USER")


def _fill_back() -> None:
    for name in ("ck_fill_side", "ck_fill_kind", "uq_fill_account_transaction_trade"):
        op.drop_constraint(op.f(name), "fill")
    op.create_unique_constraint(
        op.f("uq_fill_account_transaction"), "fill", ["account", "transaction"]
    )
    for name in ("commission", "financing", "profit", "quoted", "kind", "trade"):
        op.drop_column("fill", name)
    op.add_column("fill", sa.Column("bar_ts", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("fill", "filled_at", server_default=sa.text("now()"))
    op.alter_column("fill", "intent_id", nullable=False)


def _tables() -> None:
    op.create_table(
        "venue",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("broker", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("last_transaction", sa.BigInteger(), nullable=False),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mismatch", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_venue")),
    )
    op.create_table(
        "control",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), server_default=sa.text("'*'"), nullable=False),
        sa.Column("scope", sa.Text(), server_default=sa.text("'*'"), nullable=False),
        sa.Column("on", sa.Boolean(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detail", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("name IN ('halt', 'reduce', 'arm')", name=op.f("ck_control_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_control")),
    )
    op.create_index("ix_control_newest", "control", ["name", "account", "scope", "id"])
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("detail", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "paper_account",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("state", JSONB(), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_paper_account")),
    )
    op.create_table(
        "paper_transaction",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("account", "id", name=op.f("pk_paper_transaction")),
    )
