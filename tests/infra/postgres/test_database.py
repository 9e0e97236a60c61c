"""Frames into PostgreSQL and out again, migrations, and what the tables refuse."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from infra.postgres import database as db
from infra.postgres.models import Bar, Base, Model, Signal
from infra.postgres.trading import Equity

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def equity_frame(values: list[tuple[str, datetime, float, float]]) -> pl.DataFrame:
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "account": pl.String,
        "timestamp": pl.Datetime("us", "UTC"),
        "balance": pl.Float64,
        "equity": pl.Float64,
    }
    return pl.DataFrame(values, schema=schema, orient="row")


def model(model_id: str = "m1") -> Model:
    return Model(
        model_id=model_id,
        pair="EUR_USD",
        timeframe="H1",
        strategy="default",
        parameters={"horizon": 8},
        data_hash="d",
        code_version="c",
        trained_from=NOW,
        trained_until=NOW,
        path="p",
        metrics={},
    )


def signal(**changes: object) -> Signal:
    values: dict[str, object] = {
        "strategy": "default",
        "pair": "EUR_USD",
        "timeframe": "H1",
        "bar_ts": NOW,
        "side": "long",
        "action": "BUY",
        "confidence": 0.6,
        "horizon": 8,
        "valid_until": NOW,
        "mode": "shadow",
        "model_id": "m1",
    }
    return Signal(**{**values, **changes})


OLD_MODEL = (
    "INSERT INTO model (model_id, pair, timeframe, strategy, parameters, data_hash, code_version, "
    "trained_from, trained_until, path, metrics) "
    "VALUES ('m', 'EUR_USD', 'H1', 's', '{}', 'd', 'c', now(), now(), 'p', '{}')"
)
OLD_SIGNAL = (
    "INSERT INTO signal (strategy, pair, timeframe, bar_ts, side, action, horizon, valid_until, "
    "mode, model_id) VALUES ('s', 'EUR_USD', 'H1', :bar, 'long', 'BUY', 8, now(), 'live', 'm')"
)


def publish(*rows: Base) -> None:
    with db.session() as session:
        for row in rows:
            session.add(row)
            session.flush()


def test_models_and_migrations_agree(database: str) -> None:
    with db.engine().connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_migration_can_be_taken_back_and_made_again(database: str) -> None:
    with db.engine().begin() as connection:
        command.downgrade(db.migrations(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    db.migrate()
    with db.engine().connect() as connection:
        assert set(Base.metadata.tables) < set(inspect(connection).get_table_names())


OLD_ROWS = (
    "INSERT INTO intent (signal_id, kind, account, pair, side, units, state, token) VALUES "
    "(1, 'entry', 'paper', 'EUR_USD', 'long', 100.5, 'filled', 1), "
    "(1, 'exit', 'paper', 'EUR_USD', 'short', 100.5, 'filled', 1), "
    "(2, 'entry', 'paper', 'EUR_USD', 'long', 100, 'claimed', 1), "
    "(3, 'entry', 'paper', 'EUR_USD', 'long', 100, 'refused', 1)",
    "INSERT INTO fill (intent_id, account, transaction, pair, side, units, price) VALUES "
    "(1, 'paper', 'a', 'EUR_USD', 'long', 100.5, 1.1), "
    "(2, 'paper', 'b', 'EUR_USD', 'short', 100.5, 1.2)",
    "INSERT INTO position (account, strategy, pair, timeframe, signal_id, side, units, "
    "entry_price, opened_at, profit, closed_at) VALUES "
    "('paper', 's', 'EUR_USD', 'H1', 1, 'long', 100.5, 1.1, now(), 10.05, now()), "
    "('paper', 's', 'EUR_USD', 'H1', 2, 'long', 100.5, 1.1, now(), NULL, NULL)",
    "INSERT INTO equity (account, timestamp, balance, equity) VALUES ('paper', now(), 1, 1)",
)
"""What an account of 0.1.0 may hold."""


def test_orders_of_an_older_journal_are_kept(database: str) -> None:
    with db.engine().begin() as connection:
        command.downgrade(db.migrations(connection), "0006")
        connection.execute(text(OLD_MODEL))
        for bar in (1, 2, 3):
            connection.execute(text(OLD_SIGNAL), {"bar": NOW + timedelta(hours=bar)})
        for statement in OLD_ROWS:
            connection.execute(text(statement))
        before = connection.execute(text("SELECT units, profit FROM position ORDER BY id")).all()
    db.migrate()
    with db.engine().begin() as connection:
        states = connection.scalars(text("SELECT state FROM intent ORDER BY id")).all()
        after = connection.execute(text("SELECT units, profit FROM position ORDER BY id")).all()
        still = connection.scalar(text("SELECT count(*) FROM position WHERE closed_at IS NULL"))
        fills = connection.execute(text("SELECT trade, kind FROM fill ORDER BY id")).all()
    assert states == ["FILLED", "FILLED", "DROPPED", "DENIED"]
    assert [tuple(map(_float, row)) for row in after] == [tuple(row) for row in before]
    assert still == 0
    assert [tuple(row) for row in fills] == [("old-1", "entry"), ("old-1", "exit")]


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def test_two_migrations_at_once_make_one(database: str) -> None:
    with db.engine().begin() as connection:
        command.downgrade(db.migrations(connection), "base")
    failures: list[BaseException] = []

    def migrate() -> None:
        try:
            db.migrate()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_without_a_server_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    monkeypatch.delenv("SEP_DATABASE_URL", raising=False)
    with pytest.raises(db.DatabaseError, match="sep up"):
        db.engine()


def test_address_of_ones_own_database_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_DATABASE_URL", "postgresql://me:secret@db.example/trading")
    assert db.url().render_as_string() == "postgresql+psycopg://me:***@db.example/trading"


times = st.integers(0, 4_000_000_000_000_000).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
rows = st.tuples(
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    times,
    st.floats(allow_subnormal=False),
    st.floats(),
)


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(rows, max_size=20, unique_by=lambda row: row[:2]))
def test_frame_comes_back_bit_for_bit(
    database: str, values: list[tuple[str, datetime, float, float]]
) -> None:
    frame = equity_frame(values).sort("account", "timestamp")
    with db.engine().connect() as connection:
        assert db.copy_frame(frame, Equity, connection=connection) == frame.height
        back = db.read_frame(
            "SELECT account, timestamp, balance, equity FROM equity", connection=connection
        )
    assert back.sort("account", "timestamp").equals(frame)
    assert back.schema == frame.schema


def test_second_copy_changes_nothing(database: str) -> None:
    frame = equity_frame([("a", NOW, 1.0, 2.0), ("b", NOW, float("nan"), 2.0)])
    assert [db.copy_frame(frame, Equity) for _ in range(2)] == [2, 0]


def test_changed_row_is_updated_or_left_alone(database: str) -> None:
    db.copy_frame(equity_frame([("a", NOW, 1.0, 1.0)]), Equity)
    newer = equity_frame([("a", NOW, 2.0, 2.0)])
    assert db.copy_frame(newer, Equity, update=False) == 0
    assert db.copy_frame(newer, Equity) == 1
    assert db.read_frame("SELECT balance FROM equity")["balance"].to_list() == [2.0]


def test_copy_takes_part_in_the_transaction(database: str) -> None:
    with db.engine().connect() as connection, connection.begin() as transaction:
        db.copy_frame(equity_frame([("a", NOW, 1.0, 1.0)]), Equity, connection=connection)
        transaction.rollback()
    assert db.read_frame("SELECT * FROM equity").is_empty()


def test_query_parameters_types_and_nulls(database: str) -> None:
    back = db.read_frame(
        "SELECT %s::text AS name, true AS yes, NULL::bool AS unknown, 3::int AS n, "
        "'2026-01-05 13:00+01'::timestamptz AS at, '{\"a\": 1}'::jsonb AS raw",
        ["it's 100 %"],
    )
    assert back.row(0) == ("it's 100 %", True, None, 3, NOW, '{"a": 1}')


def test_columns_of_one_name_are_refused(database: str) -> None:
    with pytest.raises(ValueError, match="use AS"):
        db.read_frame("SELECT 1 AS n, 2 AS n")


def test_impossible_bar_is_refused(database: str) -> None:
    bar = {"pair": "EUR_USD", "timeframe": "H1", "timestamp": NOW}
    with pytest.raises(IntegrityError, match="ck_bars_low"):
        publish(Bar(**bar, open=1.0, high=1.2, low=1.1, close=1.15))


def test_signal_exists_once(database: str) -> None:
    publish(model(), signal())
    with pytest.raises(IntegrityError, match="uq_signal"):
        publish(signal(side="short", action="SELL"))


@pytest.mark.parametrize("change", ["UPDATE signal SET mode = 'live'", "DELETE FROM signal"])
def test_published_signal_is_never_changed(database: str, change: str) -> None:
    publish(model(), signal())
    with pytest.raises(DBAPIError, match="never changed"), Session(db.engine()) as session:
        session.execute(text(change))


def test_intent_is_claimed_by_one_executor(database: str) -> None:
    publish(model(), signal())
    claim = text(
        "INSERT INTO intent (signal_id, kind, account, client_id, pair, side, token) "
        "VALUES (1, 'entry', 'paper', 'c', 'EUR_USD', 'long', 1) "
        "ON CONFLICT DO NOTHING RETURNING id"
    )
    with db.session() as session:
        assert [session.execute(claim).scalar() for _ in range(2)] == [1, None]


def test_an_engine_that_is_forgotten_is_closed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = []
    for number in range(6):
        monkeypatch.setenv("SEP_DATABASE_URL", f"{database}?application_name=test-{number}")
        engines.append(db.engine())
        with engines[-1].connect() as connection:
            connection.execute(text("SELECT 1"))
    assert [engine.pool.checkedin() for engine in engines][:2] == [0, 0]  # type: ignore[attr-defined]
    assert engines[-1].pool.checkedin() == 1  # type: ignore[attr-defined]
