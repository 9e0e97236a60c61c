"""Frames through binary COPY: every value of every type, and the ways into a table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from infra.postgres import copy as pgcopy
from infra.postgres import database as db
from infra.postgres.models import Bar, IngestCursor
from infra.postgres.trading import Equity

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
SCHEMA: dict[str, pl.DataType] = {
    **{name: dtype for dtype, (name, _) in pgcopy.WIRE.items()},
    "text": pl.String(),
}
FIRST_DAY = -2_440_588  # 4714-11-24 BC, in days since 1970
FIRST_TIME, LAST_TIME = FIRST_DAY * 86_400_000_000, 2**63 - 1 - 946_684_800_000_000


def integers(bits: int) -> st.SearchStrategy[int]:
    edges = [-(2 ** (bits - 1)), -1, 0, 2 ** (bits - 1) - 1]
    return st.sampled_from(edges) | st.integers(edges[0], edges[-1])


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int2": integers(16),
    "int4": integers(32),
    "int8": integers(64),
    "float4": st.floats(width=32),
    "float8": st.floats(),
    "date": st.sampled_from([FIRST_DAY, 0, 2_145_042_905]) | st.integers(FIRST_DAY, 2_145_042_905),
    "timestamptz": st.sampled_from([FIRST_TIME, -1, 0, LAST_TIME])
    | st.integers(FIRST_TIME, LAST_TIME),
    "text": st.text(st.characters(exclude_characters="\0", codec="utf-8")),
}
RECORDS = st.lists(st.tuples(*(st.none() | values for values in VALUES.values())), max_size=9)


def records_frame(records: list[tuple[Any, ...]]) -> pl.DataFrame:
    physical = SCHEMA | {
        "date": pl.Int32(),
        "timestamptz": pl.Int64(),
    }
    return pl.DataFrame(records, schema=physical, orient="row").cast(SCHEMA)  # type: ignore[arg-type]


def copy_in(connection: Connection, frame: pl.DataFrame, table: str) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        for piece in pgcopy.encode(frame):
            copy.write(piece)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    columns = ", ".join(f'"{name}" {name}' for name in SCHEMA)
    with db.engine().connect() as opened:
        opened.execute(text(f"CREATE TEMP TABLE everything ({columns})"))
        yield opened


PROPERTY = hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@PROPERTY
@given(records=RECORDS)
def test_every_value_comes_back(connection: Connection, records: list[tuple[Any, ...]]) -> None:
    frame = records_frame(records)
    connection.execute(text("TRUNCATE everything"))
    copy_in(connection, frame, "everything")
    back = db.read_frame("SELECT * FROM everything", connection=connection)
    assert back.schema == frame.schema
    assert back.equals(frame)


@pytest.mark.parametrize("rows", [1, 65_535, 65_536, 65_537, 131_072])
def test_every_size_comes_back(
    connection: Connection, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = pl.int_range(rows, eager=True)
    frame = pl.select(
        bool=n % 3 == 0,
        int2=(n % 1000).cast(pl.Int16),
        int4=n.cast(pl.Int32),
        int8=n,
        float4=n.cast(pl.Float32),
        float8=n / 7,
        date=n.cast(pl.Int32).cast(pl.Date),
        timestamptz=(n * 60_000_000).cast(pgcopy.TIME),
        text=pl.when(n % 5 > 0).then(n.cast(pl.String)),
    )
    copy_in(connection, frame, "everything")
    assert db.read_frame("TABLE everything", connection=connection).equals(frame)


def test_postgresql_reads_the_values_themselves(connection: Connection) -> None:
    """Both ends of our own could be wrong alike."""
    frame = records_frame([(True, -2, 3, -4, 0.5, 1 / 3, -1, -1, "é\n\\N"), (None,) * 9])
    copy_in(connection, frame, "everything")
    rows = [tuple(row) for row in connection.execute(text("TABLE everything"))]
    day = (NOW.replace(year=1969, month=12, day=31)).date()
    moment = datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)
    assert rows == [(True, -2, 3, -4, 0.5, 1 / 3, day, moment, "é\n\\N"), (None,) * 9]


@pytest.mark.parametrize(
    ("name", "value"),
    [("date", FIRST_DAY - 1), ("date", 2_145_042_906), ("timestamptz", FIRST_TIME - 1)],
)
def test_time_outside_of_postgresql_is_refused(name: str, value: int) -> None:
    frame = pl.DataFrame({name: [value]}).cast(pl.Int32 if name == "date" else pl.Int64)
    with pytest.raises(ValueError, match=f"'{name}'.*filter it out"):
        list(pgcopy.encode(frame.cast(SCHEMA[name])))


@pytest.mark.parametrize("value", ["'infinity'::timestamptz", "'-infinity'::date"])
def test_infinite_time_is_refused(connection: Connection, value: str) -> None:
    with pytest.raises(ValueError, match=r"'at'.*cast it to text"):
        db.read_frame(f"SELECT {value} AS at", connection=connection)


def test_latest_time_of_postgresql_is_refused(connection: Connection) -> None:
    with pytest.raises(ValueError, match=r"'at'.*cast it to text"):
        db.read_frame("SELECT '294276-12-31'::timestamptz AS at", connection=connection)


def test_messages_that_are_no_rows_are_refused() -> None:
    whole = b"".join(pgcopy.encode(pl.DataFrame({"n": [1, 2]})))
    with pytest.raises(ValueError, match="proxy"):
        pgcopy.decode([whole], {"n": pl.Int64()})


def bars(n: int, start: datetime = NOW) -> pl.DataFrame:
    price = 1.1 + pl.int_range(n, eager=True) * 1e-5
    times = pl.datetime_range(
        start, start + timedelta(minutes=n - 1), "1m", time_unit="us", eager=True
    )
    return pl.select(
        pair=pl.lit("EUR_USD"),
        timeframe=pl.lit("M1"),
        timestamp=times,
        open=price,
        high=price + 1e-4,
        low=price - 1e-4,
        close=price,
        volume=pl.lit(None, pl.Float64),
    )


def stored() -> pl.DataFrame:
    return db.read_frame("SELECT * FROM bars ORDER BY pair, timeframe, timestamp")


def test_new_bars_and_bars_that_overlap_come_to_the_same(database: str) -> None:
    whole = bars(300)
    assert db.copy_frame(whole, Bar) == 300
    straight = stored()
    with db.engine().begin() as opened:
        opened.execute(text("DELETE FROM bars"))
    assert db.copy_frame(whole[100:200], Bar) == 100
    assert db.copy_frame(whole, Bar) == 200
    assert stored().equals(straight)
    assert straight.select(whole.columns).equals(whole)


def test_only_changed_rows_are_counted(database: str) -> None:
    frame = bars(50)
    db.copy_frame(frame, Bar)
    changed = frame.with_columns(volume=pl.when(pl.int_range(pl.len()) < 7).then(3.0))
    assert db.copy_frame(changed, Bar) == 7
    assert db.copy_frame(changed, Bar) == 0
    assert stored().select(frame.columns).equals(changed)


def test_row_twice_in_a_frame_is_kept_once_or_refused(database: str) -> None:
    twice = pl.concat([bars(1), bars(1)])
    assert db.copy_frame(twice, Bar, update=False) == 1
    with pytest.raises(psycopg.errors.CardinalityViolation):
        db.copy_frame(twice.with_columns(volume=1.0), Bar)


def test_row_that_comes_between_is_met(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look that finds a span empty may be too early."""
    db.copy_frame(bars(5), Bar)
    monkeypatch.setattr(db, "_is_new", lambda *_: True)
    with db.engine().begin() as opened:
        assert db.copy_frame(bars(9), Bar, connection=opened) == 4
    assert stored().height == 9


def test_impossible_row_leaves_nothing(database: str) -> None:
    bad = bars(9).with_columns(low=pl.when(pl.int_range(pl.len()) < 8).then("low"))
    with pytest.raises(psycopg.errors.NotNullViolation):
        db.copy_frame(bad, Bar)
    assert stored().is_empty()


def test_postgresql_reads_other_types_from_text(database: str) -> None:
    cursor = pl.DataFrame(
        {
            "pair": ["EUR_USD"],
            "timeframe": ["H1"],
            "source": ["csv"],
            "last_timestamp": ["2026-01-05T13:00:00.25+01:00"],
            "rows": pl.Series([3], dtype=pl.UInt8),
            "quarantined": ["4"],
            "content_hash": ["h"],
        }
    )
    assert db.copy_frame(cursor, IngestCursor) == 1
    back = db.read_frame("SELECT last_timestamp, rows, quarantined FROM ingest_cursor")
    assert back.row(0) == (NOW + timedelta(milliseconds=250), 3, 4)


@pytest.mark.parametrize("unit", ["ms", "ns"])
def test_times_of_other_units_and_zones(database: str, unit: Any) -> None:
    times = pl.Series([NOW]).dt.convert_time_zone("America/New_York").dt.cast_time_unit(unit)
    frame = pl.DataFrame({"account": ["a"], "timestamp": times, "balance": [1], "equity": [2.5]})
    assert db.copy_frame(frame, Equity) == 1
    assert db.read_frame("TABLE equity").row(0) == ("a", NOW, 1.0, 2.5, None, None)


def test_fraction_is_no_integer(database: str) -> None:
    cursor = {"pair": "p", "timeframe": "H1", "source": "s", "content_hash": "h", "quarantined": 0}
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        db.copy_frame(pl.DataFrame({**cursor, "rows": 1.5}), IngestCursor)


def test_empty_result_has_its_types(database: str) -> None:
    back = db.read_frame("TABLE bars")
    assert back.is_empty()
    assert back.schema["timestamp"] == pgcopy.TIME
    assert back.schema["open"] == pl.Float64


def test_rows_keep_the_order_of_the_query(database: str) -> None:
    back = db.read_frame("SELECT n, n::numeric AS exact FROM generate_series(1, 999) n ORDER BY -n")
    assert back["n"].to_list() == list(range(999, 0, -1))
    assert back["exact"][0] == "999"
