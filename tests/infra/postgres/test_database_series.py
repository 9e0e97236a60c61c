"""Series in PostgreSQL: the same rows with TimescaleDB and without, and what it adds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from infra.bars import PRICES, QUOTES
from infra.postgres import database as db
from infra.postgres.models import Bar, Base
from infra.postgres.trading import Equity
from tests.infra.databases import anywhere, timescale

__all__ = ["anywhere"]

WIDTHS = {"M5": 5, "M15": 15, "H1": 60}
NEW_YORK = ZoneInfo("America/New_York")
COLUMNS = ["pair", "timeframe", "timestamp", *PRICES, "volume", *QUOTES]


def minute_bars(days: int, start: datetime) -> pl.DataFrame:
    """Two pairs with gaps, of which one has quotes half of the time."""
    random, n = np.random.default_rng(5), days * 1440
    times = pl.datetime_range(
        start, start + timedelta(minutes=n - 1), "1m", time_unit="us", eager=True
    )
    walk = 1.1 + np.cumsum(random.normal(0, 1e-4, (2, n)), axis=1)
    bars = [
        pl.select(
            pair=pl.lit(pair),
            timeframe=pl.lit("M1"),
            timestamp=times,
            open=close - random.normal(0, 1e-4, n),
            high=close + 0.01,
            low=close - 0.01,
            close=close,
            volume=pl.Series(random.integers(1, 99, n)).cast(pl.Float64),
        ).filter(pl.Series(random.random(n) < 0.7))
        for pair, close in zip(("EUR_USD", "USD_JPY"), walk, strict=True)
    ]
    quoted = (pl.col("pair") == "EUR_USD") & (pl.col("volume") > 49)
    return pl.concat(bars).with_columns(
        pl.when(quoted).then(pl.col(name.partition("_")[2]) + 1e-5).alias(name) for name in QUOTES
    )


def bar_start(moment: datetime, timeframe: str) -> datetime:
    """The specification, one bar at a time."""
    if timeframe == "D1":
        local = moment.astimezone(NEW_YORK)
        day = local.date() if local.hour >= 17 else local.date() - timedelta(days=1)
        return datetime(day.year, day.month, day.day, 17, tzinfo=NEW_YORK).astimezone(UTC)
    seconds = WIDTHS[timeframe] * 60
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def naive_bars(bars: pl.DataFrame, timeframe: str) -> dict[tuple[str, datetime], dict[str, Any]]:
    found: dict[tuple[str, datetime], dict[str, Any]] = {}
    for bar in bars.sort("timestamp").iter_rows(named=True):
        key = (bar["pair"], bar_start(bar["timestamp"], timeframe))
        if key not in found:
            found[key] = {**bar, "timeframe": timeframe, "timestamp": key[1]}
            continue
        whole = found[key]
        for side in ("", "bid_", "ask_"):
            whole[f"{side}close"] = bar[f"{side}close"]
            for name, choose in (("high", max), ("low", min)):
                known = [
                    row[f"{side}{name}"] for row in (whole, bar) if row[f"{side}{name}"] is not None
                ]
                whole[f"{side}{name}"] = choose(known, default=None)
        whole["volume"] += bar["volume"]
    return found


def read_bars(timeframe: str) -> pl.DataFrame:
    query = f'SELECT * FROM bars_{timeframe.lower()} ORDER BY pair, "timestamp"'
    return db.read_frame(query)


def refresh() -> None:
    """What TimescaleDB does every five minutes, now."""
    if not timescale():
        return
    with db.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        jobs = "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs"
        connection.execute(
            text(f"{jobs} WHERE proc_schema LIKE '\\_timescaledb%' AND job_id > 999")
        )
        for name in (*WIDTHS, "D1"):
            call = text(f"CALL refresh_continuous_aggregate('bars_{name.lower()}', NULL, NULL)")
            while True:
                try:
                    connection.execute(call)
                    break
                except DBAPIError as error:
                    if "concurrent refresh" not in str(error):
                        raise


@pytest.mark.parametrize(
    "start", [datetime(2025, 3, 6, tzinfo=UTC), datetime(2025, 10, 31, 7, tzinfo=UTC)]
)
def test_bars_of_longer_timeframes(anywhere: str, start: datetime) -> None:
    """Over the nights on which New York changes its clocks; before a refresh and after it."""
    db.migrate()
    bars = minute_bars(5, start)
    other = bars.with_columns(timeframe=pl.lit("M30"), high=pl.lit(9.0))
    db.copy_frame(pl.concat([bars, other]), Bar)
    for again in (False, True):
        for timeframe in (*WIDTHS, "D1"):
            found = read_bars(timeframe)
            assert found.columns == COLUMNS
            expected = naive_bars(bars, timeframe)
            assert found.rows(named=True) == [expected[key] for key in sorted(expected)]
        if not again:
            refresh()


def test_late_and_corrected_bars_are_seen(anywhere: str) -> None:
    db.migrate()
    bars = minute_bars(2, datetime(2025, 3, 6, tzinfo=UTC))
    db.copy_frame(bars[::2], Bar)
    refresh()
    db.copy_frame(bars.with_columns(volume=pl.col("volume") + 1), Bar)
    refresh()
    expected = naive_bars(bars.with_columns(volume=pl.col("volume") + 1), "H1")
    assert read_bars("H1").rows(named=True) == [expected[key] for key in sorted(expected)]


def test_migrations_go_down_and_up_and_keep_the_rows(anywhere: str) -> None:
    db.migrate()
    bars = minute_bars(1, datetime(2025, 3, 6, tzinfo=UTC))
    equity = pl.DataFrame(
        {"account": ["a"], "timestamp": [bars["timestamp"][0]], "balance": [1.0], "equity": [2.0]}
    )
    db.copy_frame(bars, Bar)
    db.copy_frame(equity, Equity)
    for revision in ("0001", "head", "0001", "base", "head"):
        with db.engine().begin() as connection:
            change = command.upgrade if revision == "head" else command.downgrade
            change(db.migrations(connection), revision)
            if revision == "base":
                assert inspect(connection).get_table_names() == ["alembic_version"]
                assert inspect(connection).get_view_names() == []
                continue
        if revision == "0001":
            assert db.read_frame("TABLE equity").equals(equity)
            kept = db.read_frame('SELECT * FROM bars ORDER BY pair, "timestamp"')
            assert kept.select(bars.columns).equals(bars)


def test_models_and_migrations_agree(anywhere: str) -> None:
    db.migrate()
    with db.engine().connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_hypertables_have_their_policies(anywhere: str) -> None:
    db.migrate()
    if not timescale():
        pytest.skip("TimescaleDB is not in this server")
    jobs = db.read_frame(
        "SELECT hypertable_name, proc_name FROM timescaledb_information.jobs WHERE job_id > 999"
    )
    kinds = {name: set(rows["proc_name"]) for (name,), rows in jobs.group_by("hypertable_name")}
    for table in ("bars", "metrics", "equity"):
        assert kinds[table] == {"policy_compression", "policy_retention"}
    assert sum("policy_refresh_continuous_aggregate" in found for found in kinds.values()) == 4


def test_compressed_bars_are_read_and_written_alike(anywhere: str) -> None:
    db.migrate()
    bars = minute_bars(3, datetime(2020, 1, 1, tzinfo=UTC))
    db.copy_frame(bars, Bar)
    if timescale():
        with db.engine().begin() as connection:
            connection.execute(text("SELECT compress_chunk(c, true) FROM show_chunks('bars') c"))
            limit = "timescaledb.max_tuples_decompressed_per_dml_transaction = 10"
            name = connection.engine.url.database
            connection.execute(text(f"ALTER DATABASE {name} SET {limit}"))
        db.engine().dispose()
    assert db.copy_frame(bars, Bar) == 0
    changed = bars.with_columns(volume=pl.col("volume") + (pl.col("volume") > 50).cast(pl.Float64))
    assert db.copy_frame(changed, Bar) == (bars["volume"] > 50).sum()
    back = db.read_frame('SELECT * FROM bars ORDER BY pair, "timestamp"')
    assert back.select(bars.columns).equals(changed)
    with db.engine().begin() as connection:
        early = text('DELETE FROM bars WHERE pair = :p AND "timestamp" < :t')
        connection.execute(early, {"p": "EUR_USD", "t": datetime(2020, 1, 2, tzinfo=UTC)})
    left = changed.filter((pl.col("pair") != "EUR_USD") | (pl.col("timestamp").dt.day() > 1))
    assert db.read_frame("SELECT count(*) AS n FROM bars")["n"][0] == left.height
