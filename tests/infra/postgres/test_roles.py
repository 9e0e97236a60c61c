"""What the two roles may do works, and what they may not is refused: tried as each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import polars as pl
import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from infra.postgres import database as db
from infra.postgres import outcomes, trading
from infra.postgres.models import Bar, Base, Metric
from infra.postgres.roles import GRANTS, ROLES, VIEWS, create_roles
from tests.infra.databases import drop_roles, releases

__all__ = ["releases"]

PASSWORDS = {"research": "r'1", "executor": "e\\2"}
MODEL = (
    "INSERT INTO model (model_id, pair, timeframe, strategy, parameters, data_hash, code_version, "
    "trained_from, trained_until, path, metrics) "
    "VALUES ('m', 'EUR_USD', 'H1', 's', '{}', 'd', 'c', now(), now(), 'p', '{}')"
)
SIGNAL = (
    "INSERT INTO signal (strategy, pair, timeframe, bar_ts, side, action, horizon, valid_until, "
    "mode, model_id) VALUES ('s', 'EUR_USD', 'H1', now(), 'long', 'BUY', 8, now(), 'live', 'm')"
)
INTENT = (
    "INSERT INTO intent (signal_id, kind, account, client_id, pair, side, token) "
    "VALUES (1, 'entry', 'paper', 'c', 'EUR_USD', 'long', 1) ON CONFLICT DO NOTHING RETURNING id"
)
EVENT = "INSERT INTO intent_event (intent_id, event, token) VALUES (1, 'claimed', 1)"
FILL = (
    "INSERT INTO fill (intent_id, account, transaction, trade, kind, pair, side, units, price, "
    "filled_at) VALUES (1, 'paper', '5', '5', 'entry', 'EUR_USD', 'long', 1, 1.1, now())"
)
POSITION = (
    "INSERT INTO position (account, strategy, pair, timeframe, signal_id, trade, side, units, "
    "entry_price, opened_at) "
    "VALUES ('paper', 's', 'EUR_USD', 'H1', 1, '5', 'long', 1, 1.1, now())"
)
EQUITY = (
    "INSERT INTO equity VALUES ('paper', now(), 1, 1) "
    "ON CONFLICT (account, timestamp) DO UPDATE SET equity = 2"
)
LEASE = (
    "INSERT INTO lease (name, holder, expires_at) VALUES ('paper', 'me', now()) "
    "ON CONFLICT (name) DO UPDATE SET token = lease.token + 1 RETURNING token"
)
BAR = (
    "INSERT INTO bars (pair, timeframe, timestamp, open, high, low, close) "
    "VALUES ('EUR_USD', 'H1', now(), 1, 1, 1, 1)"
)
WRITES = {
    "bars": BAR,
    "bar_arrival": "INSERT INTO bar_arrival VALUES "
    "('p', 'H1', 'r', 'first', 's', now(), now(), now(), 1, 0)",
    "bar_span": "INSERT INTO bar_span VALUES ('p', 'H1', now(), now(), now(), 'r')",
    "bar_revision": "INSERT INTO bar_revision (pair, timeframe, replaced_at, timestamp, open, "
    "high, low, close) VALUES ('p', 'H1', now(), now(), 1, 1, 1, 1)",
    "bar_removal": "INSERT INTO bar_removal (pair, timeframe, first, last, removed_at, rows, "
    "put_back, who, what, file) VALUES ('p', 'H1', now(), now(), now(), 1, 0, 'me', 'x', 'f')",
    "bar_want": "INSERT INTO bar_want VALUES ('h', 'p', 'H1')",
    "bar_file": "INSERT INTO bar_file VALUES ('h', 'p', 'H1', '2026', 's', 'b')",
    "metrics": "INSERT INTO metrics (pair, timeframe, timestamp) VALUES ('p', 'H1', now())",
    "quarantine": "INSERT INTO quarantine (pair, timeframe, source, source_row, reason, raw) "
    "VALUES ('p', 'H1', 's', 1, 'r', '{}')",
    "ingest_cursor": "INSERT INTO ingest_cursor (pair, timeframe, source, rows, quarantined, "
    "content_hash) VALUES ('p', 'H1', 's', 1, 0, 'h')",
    "pairs": "INSERT INTO pairs VALUES ('EUR_USD', 'H1')",
    "model": MODEL,
    "model_file": "INSERT INTO model_file VALUES ('m', 'model.json', 1, 's', 'b')",
    "champion": "INSERT INTO champion VALUES ('EUR_USD', 'H1', 's', 'm', 'me')",
    "trial": "INSERT INTO trial (pair, timeframe, first, last, run_id, kind, strategy, sets, "
    "effective, details) VALUES ('EUR_USD', 'H1', now(), now(), 'r', 'k', 's', 2, 1.5, '{}')",
    "holdout": "INSERT INTO holdout VALUES ('EUR_USD', 'H1', '2026-01-01', now(), 'r')",
    "holdout_opening": "INSERT INTO holdout_opening (pair, timeframe, first, last, model_id, who) "
    "VALUES ('EUR_USD', 'H1', '2026-01-01', now(), 'm', 'me')",
    "signal": SIGNAL,
    "signal_outcome": "INSERT INTO signal_outcome (signal_id, state) VALUES (1, 'void')",
    "demotion": "INSERT INTO demotion VALUES ('m', now(), 'demoted', 'me', 'x', '{}')",
    "lease": LEASE,
    "intent": INTENT,
    "intent_event": EVENT,
    "fill": FILL,
    "position": POSITION,
    "equity": EQUITY,
    "venue": "INSERT INTO venue VALUES ('paper', 'b', 'USD', 1, now())",
    "control": "INSERT INTO control (name, \"on\", who, why) VALUES ('halt', true, 'me', 'x')",
    "heartbeat": "INSERT INTO heartbeat VALUES ('signals', now())",
    "paper_account": "INSERT INTO paper_account VALUES ('paper', '{}')",
    "paper_transaction": "INSERT INTO paper_transaction VALUES ('paper', 1, '{}')",
}
UPDATES = {
    "bars": "volume = 1",
    "bar_arrival": "added = 2",
    "bar_span": "run_id = 'q'",
    "bar_revision": "volume = 1",
    "bar_removal": "undone_at = now()",
    "bar_want": "refused = 'x'",
    "bar_file": "year = '2025'",
    "metrics": "entropy = 1",
    "quarantine": "reason = ''",
    "ingest_cursor": "rows = 2",
    "pairs": "enabled = false",
    "model": "path = 'q'",
    "model_file": "files = 2",
    "champion": "who = 'you'",
    "trial": "sets = 3",
    "holdout": "run_id = 'q'",
    "holdout_opening": "who = 'you'",
    "signal": "mode = 'shadow'",
    "signal_outcome": "reason = 'x'",
    "demotion": "why = ''",
    "lease": "token = 9",
    "intent": "state = 'SENT'",
    "intent_event": "event = ''",
    "fill": "price = 2",
    "position": "profit = 0",
    "equity": "equity = 3",
    "venue": "mismatch = 'x'",
    "control": "why = ''",
    "heartbeat": "at = now()",
    "paper_account": "updated_at = now()",
    "paper_transaction": "body = '[]'",
}


@pytest.fixture
def prepared(anywhere: str) -> Iterator[str]:
    """A migrated database with both roles, left in the cluster as they were found."""
    db.migrate()
    for _ in range(2):  # the second time changes nothing
        with db.engine().begin() as connection:
            create_roles(connection, PASSWORDS)
    yield anywhere
    drop_roles()


@contextmanager
def acting(address: str, role: str) -> Iterator[Engine]:
    """An engine that has logged in as the role."""
    url = make_url(address).set(
        drivername="postgresql+psycopg", username=role, password=PASSWORDS[role]
    )
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def attempt(engine: Engine, statement: str) -> bool:
    """Whether a statement is allowed; any other failure is one. Nothing of it stays."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        try:
            driver.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True


def tries(table: str) -> dict[str, str]:
    """A statement for each privilege; a view has but one."""
    read = {"SELECT": f"SELECT * FROM {table} LIMIT 1"}
    if table in VIEWS:
        return read
    return read | {
        "INSERT": WRITES[table].split(" ON CONFLICT")[0] + " ON CONFLICT DO NOTHING",
        "UPDATE": f"UPDATE {table} SET {UPDATES[table]}",
        "DELETE": f"DELETE FROM {table}",
        "TRUNCATE": f"TRUNCATE {table}",
    }


def fill_tables() -> None:
    """A row in every table, written by the owner."""
    with db.engine().begin() as connection:
        for statement in WRITES.values():
            connection.execute(text(statement))


def test_every_table_is_decided_on() -> None:
    own = {trading.Intent.__tablename__, outcomes.Demotion.__tablename__}
    assert own < set(Base.metadata.tables)
    assert set(Base.metadata.tables) == set(GRANTS) - set(VIEWS)
    assert set(WRITES) == set(UPDATES) == set(Base.metadata.tables)


def test_each_role_does_its_own_and_nothing_else(prepared: str) -> None:
    """Every privilege on every table, tried; the matrix of what went through is the grants'."""
    fill_tables()
    for position, role in enumerate(ROLES):
        with acting(prepared, role) as engine:
            for table, granted in GRANTS.items():
                for privilege, statement in tries(table).items():
                    allowed = attempt(engine, statement)
                    assert allowed == (privilege in granted[position]), (role, statement)


def test_executor_works_from_signal_to_equity(prepared: str) -> None:
    with acting(prepared, "research") as engine, engine.begin() as connection:
        connection.execute(text(MODEL))
        connection.execute(text(SIGNAL))
    with acting(prepared, "executor") as engine, engine.begin() as connection:
        assert connection.execute(text(LEASE)).scalar() == 1
        connection.execute(text("SELECT token FROM lease WHERE name = 'paper' FOR UPDATE"))
        assert connection.execute(text(INTENT)).scalar() == 1
        assert connection.execute(text(INTENT)).scalar() is None
        for statement in (EVENT, FILL, POSITION, EQUITY):
            connection.execute(text(statement))
        connection.execute(text("UPDATE intent SET state = 'SENT' WHERE id = 1"))
        connection.execute(text("UPDATE position SET closed_at = now()"))


def test_research_copies_and_reads_frames(prepared: str) -> None:
    moment = datetime(2026, 1, 5, tzinfo=UTC)
    key = {"pair": ["EUR_USD"], "timeframe": ["M1"], "timestamp": [moment]}
    bars = pl.DataFrame({**key, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0})
    with acting(prepared, "research") as engine, engine.begin() as connection:
        for frame in (bars, bars, bars.with_columns(volume=1.0)):
            db.copy_frame(frame, Bar, connection=connection)
        db.copy_frame(pl.DataFrame({**key, "steps": 3}), Metric, connection=connection)
        back = db.read_frame("SELECT volume FROM bars_h1", connection=connection)
    assert back["volume"].to_list() == [1.0]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE intent SET units = 9",
        "UPDATE intent SET signal_id = 2",
        "ALTER TABLE signal DISABLE TRIGGER ALL",
        "DROP TABLE signal",
        "CREATE TABLE mine (n int)",
        "SET session_replication_role = replica",
        "CREATE ROLE another",
        "SET ROLE postgres",
        "SELECT setval('intent_id_seq', 1)",
        "SELECT * FROM pg_authid",
        "COPY bars TO '/tmp/bars.csv'",
        "INSERT INTO control (name, \"on\", who, why) VALUES ('arm', true, 'me', 'x')",
    ],
)
def test_neither_role_goes_beyond_its_tables(prepared: str, role: str, statement: str) -> None:
    with acting(prepared, role) as engine:
        assert not attempt(engine, statement)


def test_later_table_is_closed_to_both(prepared: str) -> None:
    with db.engine().begin() as connection:
        connection.execute(text("CREATE TABLE later (n int GENERATED ALWAYS AS IDENTITY)"))
    for role in ROLES:
        with acting(prepared, role) as engine:
            assert not attempt(engine, "SELECT * FROM later")
            assert not attempt(engine, "INSERT INTO later DEFAULT VALUES")


def test_what_was_granted_by_hand_is_taken_back(prepared: str) -> None:
    with db.engine().begin() as connection:
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO research"))
        connection.execute(text("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO executor"))
        create_roles(connection)
    with acting(prepared, "research") as engine:
        assert not attempt(engine, INTENT)
        assert attempt(engine, "SELECT * FROM bars")


@pytest.mark.parametrize("passwords", [{"postgres": "p"}, {"research": ""}])
def test_wrong_passwords_are_refused(database: str, passwords: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="passwords"), db.engine().begin() as connection:
        create_roles(connection, passwords)
