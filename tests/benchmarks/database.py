"""Speed of PostgreSQL in rows a second, after a check that what went in comes out.

Two years of minute bars with their quotes go into an empty table, into one that has them all, and
out again; beside them the way by CSV and a temporary table.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
import psycopg
from sqlalchemy import text

from infra.bars import PRICES
from infra.postgres import database as db
from infra.postgres.models import Bar
from infra.servers import postgres
from tests.benchmarks.kernels import print_hardware, walk
from tests.servers import temporary_home

ROWS = 726_000
RUNS = 2


def main() -> list[dict[str, Any]]:
    print_hardware()
    with temporary_home("benchmark") as home:
        os.environ["SEP_HOME"] = str(home)
        os.environ["SEP_DATABASE_URL"] = os.environ.get("SEP_TEST_DATABASE_URL", "")
        if not os.environ["SEP_DATABASE_URL"]:
            postgres.start(home)
        db.migrate()
        frame = minute_bars(ROWS)
        check(frame)
        return measure(frame)


def minute_bars(n: int) -> pl.DataFrame:
    close, start = walk(n), datetime(2024, 1, 1, tzinfo=UTC)
    opened = np.concatenate([close[:1], close[:-1]])
    times = pl.datetime_range(
        start, start + timedelta(minutes=n - 1), "1m", time_unit="us", eager=True
    )
    bars = pl.DataFrame({"timestamp": times, "open": opened, "close": close}).select(
        pl.lit("EUR_USD").alias("pair"),
        pl.lit("M1").alias("timeframe"),
        "timestamp",
        "open",
        (pl.max_horizontal("open", "close") + 1e-4).alias("high"),
        (pl.min_horizontal("open", "close") - 1e-4).alias("low"),
        "close",
        pl.Series("volume", np.random.default_rng(3).integers(1, 500, n).astype(float)),
    )
    quotes = (
        (pl.col(price) + half).alias(f"{side}_{price}")
        for side, half in (("bid", -5e-5), ("ask", 5e-5))
        for price in PRICES
    )
    return bars.with_columns(quotes)


def check(frame: pl.DataFrame) -> None:
    """By CSV and by binary COPY the same rows are there, and come out as they went in."""
    for write in (by_csv, by_copy):
        empty()
        write(frame)
        for read in (out_by_csv, out_by_copy):
            if not read().equals(frame):
                raise SystemExit(f"{write.__name__}, {read.__name__}: not what went in")


def measure(frame: pl.DataFrame) -> list[dict[str, Any]]:
    changed = frame.with_columns(pl.col("volume") + 1)
    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[], Any]]] = {
        "new": (empty, lambda: by_csv(frame), lambda: by_copy(frame)),
        "new, no quotes": (
            empty,
            lambda: by_csv(frame[:, :8]),
            lambda: by_copy(frame[:, :8]),
        ),
        "all there": (lambda: hold(frame), lambda: by_csv(frame), lambda: by_copy(frame)),
        "all changed": (lambda: hold(frame), lambda: by_csv(changed), lambda: by_copy(changed)),
        "read": (lambda: hold(frame), out_by_csv, out_by_copy),
    }
    print(f"{'rows':<16}{'CSV rows/s':>12}{'rows/s':>12}{'ratio':>8}")
    return [report(name, *way) for name, way in ways.items()]


def report(
    name: str, prepare: Callable[[], Any], old: Callable[[], Any], new: Callable[[], Any]
) -> dict[str, Any]:
    """The fastest of some runs, one way after the other."""
    taken: dict[str, list[float]] = {"old": [], "new": []}
    for _ in range(RUNS):
        for way, call in (("old", old), ("new", new)):
            prepare()
            begin = perf_counter()
            call()
            taken[way].append(perf_counter() - begin)
    before, now = ROWS / min(taken["old"]), ROWS / min(taken["new"])
    print(f"{name:<16}{before:>12,.0f}{now:>12,.0f}{now / before:>7.1f}x")
    return {"rows": name, "by_csv": before, "rows_a_second": now, "ratio": now / before}


def empty() -> None:
    with db.engine().begin() as connection:
        connection.execute(text("TRUNCATE bars"))


def hold(frame: pl.DataFrame) -> None:
    empty()
    by_copy(frame)


def by_copy(frame: pl.DataFrame) -> None:
    db.copy_frame(frame, Bar)


def by_csv(frame: pl.DataFrame) -> None:
    names = ", ".join(frame.columns)
    values = ", ".join(frame.columns[3:])
    old, new = (
        ", ".join(f"{row}.{name}" for name in frame.columns[3:]) for row in ("b", "excluded")
    )
    with db.engine().begin() as connection, driver(connection).cursor() as cursor:
        cursor.execute(
            f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} FROM bars LIMIT 0"
        )
        with cursor.copy("COPY incoming FROM STDIN (FORMAT csv)") as copy:
            for part in frame.iter_slices(100_000):
                copy.write(part.write_csv(include_header=False))
        cursor.execute(
            f"INSERT INTO bars AS b ({names}) SELECT {names} FROM incoming "
            f"ON CONFLICT (pair, timeframe, timestamp) DO UPDATE SET ({values}) = ROW({new}) "
            f"WHERE ({old}) IS DISTINCT FROM ({new})"
        )


def out_by_copy() -> pl.DataFrame:
    return db.read_frame("SELECT * FROM bars ORDER BY timestamp")


def out_by_csv() -> pl.DataFrame:
    with db.engine().connect() as connection, driver(connection).cursor() as cursor:
        query = "COPY (SELECT * FROM bars ORDER BY timestamp) TO STDOUT (FORMAT csv, HEADER)"
        with cursor.copy(query) as copy:
            data = b"".join(copy)
    zoned = pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%#z", time_unit="us")
    return pl.read_csv(BytesIO(data)).with_columns(zoned, pl.col("volume").cast(pl.Float64))


def driver(connection: Any) -> psycopg.Connection[Any]:
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found
