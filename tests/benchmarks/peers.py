"""Speed of pgpq and ADBC beside our COPY, after a check that all move the same bits.

Two years of minute bars with their quotes go into PostgreSQL and out again, each way in turn on the
same server. "Ours, one loop" is our reading with messages fetched by `get_copy_data`. CPU is this
process's, not the server's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from importlib.util import find_spec
from itertools import cycle, islice
from math import inf, nan
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import polars as pl
import psycopg
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.waiting import Wait
from sqlalchemy import text

from infra.bars import PRICES, QUOTES
from infra.postgres import database as db
from infra.postgres.copy import Message, decode, encode
from infra.servers import postgres
from tests.benchmarks.database import ROWS, driver, minute_bars
from tests.benchmarks.kernels import print_hardware
from tests.servers import temporary_home

RUNS = 5
LIVE = 5_000
CALLS = 20
PIECE = 1 << 16
TABLES = ("bare", "bars")
ALL = "SELECT * FROM {} ORDER BY timestamp"
NEWEST = (
    f"SELECT timestamp, {', '.join((*PRICES, 'volume', *QUOTES))} FROM bars "
    "WHERE pair = 'EUR_USD' AND timeframe = 'M1' AND timestamp >= '{}' ORDER BY timestamp"
)
PACKAGES = {
    "pgpq": ("pgpq", "pyarrow"),
    "ADBC": ("adbc_driver_postgresql",),
    "Polars, ADBC": ("adbc_driver_postgresql",),
}
SCHEMA = minute_bars(1).schema
ODD = (None, nan, inf, 5e-324, -0.0, 1.1, -inf)
Way = Callable[[], Any]


def main() -> list[dict[str, Any]]:
    print_hardware()
    with temporary_home("benchmark") as home:
        os.environ["SEP_HOME"] = str(home)
        os.environ["SEP_DATABASE_URL"] = os.environ.get("SEP_TEST_DATABASE_URL", "")
        if not os.environ["SEP_DATABASE_URL"]:
            postgres.start(home)
        db.migrate()
        try:
            make_bare()
            frame = minute_bars(ROWS)
            check(odd_bars(1_000))
            check(frame)
            return measure(frame)
        finally:
            leave()


def check(frame: pl.DataFrame) -> None:
    """Whatever wrote the rows, each reader gives back the frame's, bit for bit."""
    for table in TABLES:
        for writer, write in WRITERS.items():
            empty(table)
            if missing(writer) is None:
                write(frame, table)
                check_readers(frame, table, writer)


def check_readers(frame: pl.DataFrame, table: str, writer: str) -> None:
    for reader, read in READERS.items():
        if missing(reader) is None and not same(read(ALL.format(table)), frame):
            raise SystemExit(f"{table}: {writer}, {reader}: not what went in")


def measure(frame: pl.DataFrame) -> list[dict[str, Any]]:
    encoders: dict[str, Way] = {
        "ours": lambda: sum(map(len, encode(frame))),
        "pgpq": lambda: sum(map(len, encode_pgpq(frame))),
    }
    figures = compare("encode", ROWS, encoders)
    for table in TABLES:
        ways: dict[str, Way] = {
            name: partial(write, frame, table) for name, write in WRITERS.items()
        }
        figures += compare(f"into {table}", ROWS, ways, partial(empty, table))
    newest = NEWEST.format(frame["timestamp"][-LIVE])
    empty("bars")
    by_ours(frame, "bars")
    if not same(out_by_ours(newest), frame[-LIVE:, 2:]):
        raise SystemExit("newest: not what went in")
    for what, rows, query in (("all read", ROWS, ALL.format("bars")), ("newest", LIVE, newest)):
        ways = {name: partial(read, query) for name, read in READERS.items()}
        figures += compare(what, rows, ways)
    return figures


def compare(
    what: str, rows: int, ways: dict[str, Way], prepare: Way | None = None
) -> list[dict[str, Any]]:
    """Median of some runs, the ways in turn, each time another one first."""
    print(f"\n{what:<16}{'rows/s':>12}{'ratio':>8}{'ms':>9}{'CPU ms':>9}{load():>11}")
    there = [name for name in ways if missing(name) is None]
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in there}
    for run in range(RUNS):
        for name in islice(cycle(there), run, run + len(there)):
            taken[name].append(timed(ways[name], prepare, CALLS if rows == LIVE else 1))
    figures = []
    for name in ways:
        if (lacking := missing(name)) is not None:
            print(f"  {name:<14}{lacking}")
            continue
        wall, ours, busy = (
            median(run[i] for run in taken[way]) for way, i in ((name, 0), ("ours", 0), (name, 1))
        )
        times = f"{wall * 1e3:>9.1f}{busy * 1e3:>9.1f}"
        print(f"  {name:<14}{rows / wall:>12,.0f}{ours / wall:>7.2f}x{times}")
        figure = {"rows_a_second": rows / wall, "ratio": ours / wall, "cpu_seconds": busy}
        figures.append({"rows": what, "way": name, **figure})
    return figures


def timed(way: Way, prepare: Way | None, calls: int) -> tuple[float, float]:
    """Seconds of a call, and of this process's CPU."""
    if prepare is not None:
        prepare()
    begin, begun = perf_counter(), process_time()
    for _ in range(calls):
        way()
    spent = process_time() - begun
    return (perf_counter() - begin) / calls, spent / calls


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def by_ours(frame: pl.DataFrame, table: str) -> None:
    send(encode(frame), table)


def by_pgpq(frame: pl.DataFrame, table: str) -> None:
    send(encode_pgpq(frame), table)


def by_adbc(frame: pl.DataFrame, table: str) -> None:
    with adbc().cursor() as cursor:
        cursor.adbc_ingest(table, frame, mode="append")
    adbc().commit()


def send(pieces: Iterator[Any], table: str) -> None:
    query = f"COPY {table} FROM STDIN (FORMAT binary)".encode()
    with (
        db.engine().begin() as connection,
        driver(connection).cursor() as cursor,
        cursor.copy(query) as copy,
    ):
        for piece in pieces:
            copy.write(piece)


def encode_pgpq(frame: pl.DataFrame) -> Iterator[bytes]:
    from pgpq import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        ArrowToPostgresBinaryEncoder,
    )

    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    encoder = ArrowToPostgresBinaryEncoder(table.schema)
    yield encoder.write_header()
    for batch in table.to_batches(max_chunksize=PIECE):
        yield encoder.write_batch(batch)
    yield encoder.finish()


def out_by_ours(query: str) -> pl.DataFrame:
    return db.read_frame(query)


def out_by_one_loop(query: str) -> pl.DataFrame:
    """One wait for many messages; psycopg's iterator has one, and two generators, for each."""
    return out_by(query, lambda connection, copy: messages(connection))


def out_by(query: str, fetch: Callable[[psycopg.Connection[Any], Any], Any]) -> pl.DataFrame:
    with db.engine().connect() as connection, driver(connection).cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({query}) AS probe LIMIT 0".encode())
        schema = {column.name: SCHEMA[column.name] for column in cursor.description or []}
        with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()) as copy:
            return decode(fetch(driver(connection), copy), schema)


def messages(connection: psycopg.Connection[Any]) -> Iterator[Message]:
    while connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
        yield from connection.wait(some_messages(connection.pgconn))


def some_messages(pgconn: Any) -> PQGen[list[Message]]:
    found: list[Message] = []
    while len(found) < PIECE:
        size, data = pgconn.get_copy_data(1)
        if size > 0:
            found.append(bytes(data))
        elif size == 0:
            yield Wait.R
            pgconn.consume_input()
        else:
            while (result := pgconn.get_result()) is not None:
                if result.status != ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(result)
            break
    return found


def out_by_adbc(query: str) -> pl.DataFrame:
    with adbc().cursor() as cursor:
        cursor.execute(query)
        frame = pl.DataFrame(cursor.fetch_arrow())
    adbc().rollback()
    return frame


def out_by_polars(query: str) -> pl.DataFrame:
    return pl.read_database_uri(query, address(), engine="adbc")


WRITERS: dict[str, Callable[[pl.DataFrame, str], None]] = {
    "ours": by_ours,
    "pgpq": by_pgpq,
    "ADBC": by_adbc,
}
READERS: dict[str, Callable[[str], pl.DataFrame]] = {
    "ours": out_by_ours,
    "ours, one loop": out_by_one_loop,
    "ADBC": out_by_adbc,
    "Polars, ADBC": out_by_polars,
}


def missing(way: str) -> str | None:
    lacking = [name for name in PACKAGES.get(way, ()) if find_spec(name) is None]
    names = " ".join(lacking).replace("_", "-")
    return f"not installed: pip install {names}" if lacking else None


@cache
def adbc() -> Any:
    """A connection of its own, kept open as those of our pool are."""
    from adbc_driver_postgresql import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        dbapi,
    )

    return dbapi.connect(address())


def leave() -> None:
    if adbc.cache_info().currsize:
        adbc().close()
        adbc.cache_clear()


def address() -> str:
    return db.url().set(drivername="postgresql").render_as_string(hide_password=False)


def make_bare() -> None:
    """A table of the same columns without keys and checks."""
    with db.engine().begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS bare (LIKE bars)"))


def empty(table: str) -> None:
    with db.engine().begin() as connection:
        connection.execute(text(f"TRUNCATE {table}"))


def same(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    """Types, nulls and bits are the same: -0.0 is not 0.0."""
    return left.schema == right.schema and all(
        one.is_null().equals(other.is_null()) and bits(one).equals(bits(other))
        for one, other in zip(left, right, strict=True)
    )


def bits(column: pl.Series) -> pl.Series:
    present = column.drop_nulls()
    if column.dtype != pl.Float64:
        return present
    return pl.Series(column.name, present.to_numpy().view(np.int64))


def odd_bars(n: int) -> pl.DataFrame:
    """Bars with nulls, no finite numbers, microseconds, the first and last year, other letters."""
    row = pl.int_range(pl.len())
    times = pl.col("timestamp") + pl.duration(microseconds=row)
    first = pl.lit(datetime(1, 1, 1, tzinfo=UTC))
    last = pl.lit(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    positive = [value for value in ODD if value is None or not value < 0]
    return minute_bars(n).with_columns(
        pl.when(row % 2 == 0).then("pair").otherwise(pl.lit("EUR/€ 💶")).alias("pair"),
        pl.when(row == 0)
        .then(first)
        .when(row == n - 1)
        .then(last)
        .otherwise(times)
        .alias("timestamp"),
        pl.Series("volume", list(islice(cycle(positive), n))),
        *(pl.Series(name, list(islice(cycle(ODD), i, i + n))) for i, name in enumerate(QUOTES)),
    )
