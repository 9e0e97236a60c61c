"""Metrics, bars of longer timeframes, and hypertables where TimescaleDB is there.

The views give the same rows in both forms. TimescaleDB keeps them up by itself: what is older than
its last refresh follows within five minutes. Days end at 17:00 in New York, as in FX.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SERIES = {"bars": "pair, timeframe", "metrics": "pair, timeframe", "equity": "account"}
VIEWS = {"M5": "5 minutes", "M15": "15 minutes", "H1": "1 hour", "D1": None}
ZONE, EVENING = "'America/New_York'", "interval '7 hours'"
CHUNK, COMPRESS, KEEP = "90 days", "90 days", "25 years"  # replays write bars of years ago
SIDES = ("", "bid_", "ask_")
AGGREGATE = """
CREATE MATERIALIZED VIEW {view} WITH (
    timescaledb.continuous, timescaledb.materialized_only = false
) AS
SELECT pair, '{timeframe}'::text AS timeframe, {bucket} AS "timestamp", {columns}
FROM bars WHERE timeframe = 'M1'
GROUP BY pair, 3
WITH NO DATA
"""
REFRESH = """
SELECT add_continuous_aggregate_policy(
    '{view}', start_offset => NULL, end_offset => interval '2 days',
    schedule_interval => interval '5 minutes'
)
"""
VIEW = """
CREATE VIEW {view} AS
SELECT span.pair, '{timeframe}'::text AS timeframe, span."timestamp", {columns}
FROM (
    SELECT pair, {bucket} AS "timestamp", {extremes}, sum(volume) AS volume,
        min("timestamp") AS start, max("timestamp") AS "end"
    FROM bars WHERE timeframe = 'M1'
    GROUP BY 1, 2
) AS span
JOIN bars AS early ON (early.pair, early.timeframe, early."timestamp") = (span.pair, 'M1', start)
JOIN bars AS late ON (late.pair, late.timeframe, late."timestamp") = (span.pair, 'M1', "end")
"""
MOVE = "INSERT INTO plain SELECT * FROM {table}"


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "metrics",
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entropy", sa.Double(), nullable=True),
        sa.Column("coherence", sa.Double(), nullable=True),
        sa.Column("stability", sa.Double(), nullable=True),
        sa.Column("damped_value", sa.Double(), nullable=True),
        sa.Column("decay", sa.Double(), nullable=True),
        sa.Column("steps", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("pair", "timeframe", "timestamp", name=op.f("pk_metrics")),
    )
    timescale = _timescale()
    if timescale:
        for table, segment in SERIES.items():
            _become_hypertable(table, segment)
    for name, width in VIEWS.items():
        (_aggregate if timescale else _view)(name, width)


def downgrade() -> None:
    """Take it back; rows of bars and equity stay."""
    hypertables = _hypertables()
    if hypertables:  # a refresh that runs just now would lock what is dropped
        op.execute("SELECT _timescaledb_functions.stop_background_workers()")
    for name in VIEWS:
        _drop_view(f"bars_{name.lower()}", materialized=bool(hypertables))
    op.drop_table("metrics")
    for table in hypertables - {"metrics"}:
        _become_plain(table)
    if hypertables:
        op.execute("SELECT _timescaledb_functions.start_background_workers()")


def _timescale() -> bool:
    """Say whether TimescaleDB with all its features is there, after creating the extension."""
    bind = op.get_bind()
    available = "SELECT FROM pg_available_extensions WHERE name = 'timescaledb'"
    loaded = "SELECT current_setting('timescaledb.disable_load', true)"
    if not bind.execute(sa.text(available)).rowcount or bind.scalar(sa.text(loaded)) is None:
        return False
    try:
        with bind.begin_nested():
            bind.execute(sa.text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":  # insufficient_privilege
            raise
        return False
    licence = "SELECT current_setting('timescaledb.license', true)"
    return bool(bind.scalar(sa.text(licence)) == "timescale")


def _become_hypertable(table: str, segment: str) -> None:
    op.execute(
        f"SELECT create_hypertable('{table}', by_range('timestamp', interval '{CHUNK}'), "
        "create_default_indexes => false, migrate_data => true)"
    )
    op.execute(
        f"ALTER TABLE {table} SET (timescaledb.compress, "
        f"timescaledb.compress_segmentby = '{segment}', "
        "timescaledb.compress_orderby = '\"timestamp\"')"
    )
    op.execute(f"SELECT add_compression_policy('{table}', interval '{COMPRESS}')")
    op.execute(f"SELECT add_retention_policy('{table}', interval '{KEEP}')")


def _become_plain(table: str) -> None:
    op.execute(f"CREATE TABLE plain (LIKE {table} INCLUDING ALL)")
    op.execute(MOVE.format(table=table))
    op.execute(f"DROP TABLE {table}")
    op.execute(f"ALTER TABLE plain RENAME TO {table}")
    op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT plain_pkey TO pk_{table}")


def _aggregate(name: str, width: str | None) -> None:
    view, day = f"bars_{name.lower()}", f', {ZONE}, "offset" => -{EVENING}'
    bucket = f"time_bucket('{width or '1 day'}', \"timestamp\"{'' if width else day})"
    sides = (
        f'first({side}open, "timestamp") AS {side}open, {_extremes(side)}, '
        f'last({side}close, "timestamp") AS {side}close'
        for side in SIDES
    )
    columns = _columns(sides, "sum(volume) AS volume")
    op.execute(AGGREGATE.format(view=view, timeframe=name, bucket=bucket, columns=columns))
    op.execute(REFRESH.format(view=view))


def _view(name: str, width: str | None) -> None:
    day = f"date_trunc('day', \"timestamp\" AT TIME ZONE {ZONE} + {EVENING}) - {EVENING}"
    bucket = (
        f"date_bin('{width}', \"timestamp\", timestamptz '2000-01-03 00:00+00')"
        if width
        else f"({day}) AT TIME ZONE {ZONE}"
    )
    sides = (
        f"early.{side}open, span.{side}high, span.{side}low, late.{side}close" for side in SIDES
    )
    columns, extremes = _columns(sides, "span.volume"), ", ".join(map(_extremes, SIDES))
    view = f"bars_{name.lower()}"
    op.execute(
        VIEW.format(view=view, timeframe=name, bucket=bucket, columns=columns, extremes=extremes)
    )


def _drop_view(view: str, *, materialized: bool) -> None:
    op.execute(f"DROP {'MATERIALIZED ' if materialized else ''}VIEW {view}")


def _extremes(side: str) -> str:
    return f"max({side}high) AS {side}high, min({side}low) AS {side}low"


def _columns(sides: Iterable[str], volume: str) -> str:
    """Prices, volume, quotes: in the order of the bars."""
    prices, *quotes = sides
    return ", ".join([prices, volume, *quotes])


def _hypertables() -> set[str]:
    bind = op.get_bind()
    there = bind.scalar(sa.text("SELECT to_regclass('_timescaledb_catalog.hypertable')"))
    if there is None:
        return set()
    query = "SELECT hypertable_name FROM timescaledb_information.hypertables"
    return set(bind.scalars(sa.text(query))) & set(SERIES)
