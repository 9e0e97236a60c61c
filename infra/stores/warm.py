"""The newest bars of the bulk store in PostgreSQL: put there, cut off, read back, compressed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl
from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from infra.bars import PRICES, QUOTES
from infra.errors import SepError
from infra.postgres import database
from infra.postgres.models import Bar, IngestCursor
from infra.settings import settings
from infra.stores.bulk import BarStore

SOURCE: Final = "store"
"""Under which `ingest_cursor` tells of what content the rows of `bars` are."""

NOTHING: Final = hashlib.sha256().hexdigest()
"""Content hash of a store without bars of a pair and timeframe."""

_DENIED: Final = "42501"  # insufficient_privilege
_VERSION: Final = """
SELECT (SELECT min("timestamp") FROM bars WHERE pair = :pair AND timeframe = :timeframe) AS first,
    content_hash FROM ingest_cursor
WHERE pair = :pair AND timeframe = :timeframe AND source = :source
"""
_FIRST: Final = """
SELECT min("timestamp") AS first, coalesce(bool_or(bid_open IS NOT NULL), false) AS quotes
FROM bars WHERE pair = :pair AND timeframe = :timeframe
"""
_DUE: Final = """
SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks AS chunks
JOIN timescaledb_information.jobs AS jobs USING (hypertable_schema, hypertable_name)
WHERE proc_name = 'policy_compression' AND NOT is_compressed
    AND range_end < now() - CAST(config ->> 'compress_after' AS interval)
"""


class TierError(SepError, RuntimeError):
    """Bars are in no tier of this machine; the message says where they are."""


@dataclass(frozen=True)
class Moved:
    """Rows that came up into PostgreSQL or were revised there, and rows that left it."""

    up: int
    down: int


def alone(connection: Connection, pair: str, timeframe: str) -> None:
    """Wait until nobody else stores bars of the pair, and keep others off until the commit.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In the transaction whose commit ends it.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    """
    key = func.hashtextextended(f"ingest {pair} {timeframe}", 0)
    connection.execute(select(func.pg_advisory_xact_lock(key)))


def share(
    store: BarStore, pair: str, timeframe: str, *, connection: Connection | None = None
) -> Moved:
    """Make PostgreSQL hold the newest `SEP_SHARED_BARS` bars of the store, and no others.

    Where the store never had bars of the pair, as on a machine that has none at all, PostgreSQL
    stays as it is. Doing it again changes nothing.

    Parameters
    ----------
    store : BarStore
    pair, timeframe : str
    connection : sqlalchemy.Connection, optional
        Transaction to take part in; a new one if left out.
    """
    if connection is None:
        with database.engine().begin() as own:
            return share(store, pair, timeframe, connection=own)
    alone(connection, pair, timeframe)
    version, recent = newest(store, pair, timeframe, settings().shared_bars)
    if version == NOTHING and not store.manifest(pair, timeframe).exists():
        return Moved(0, 0)
    moved = _replace(connection, pair, timeframe, recent)
    _note(connection, pair, timeframe, recent, version)
    return moved


def newest(store: BarStore, pair: str, timeframe: str, bars: int) -> tuple[str, pl.DataFrame]:
    """Return the newest bars of the store and the content hash they are of.

    Parameters
    ----------
    store : BarStore
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    bars : int
        How many; there may be fewer.

    Returns
    -------
    str
        The hash; `NOTHING` where there are no bars.
    polars.DataFrame
        Oldest first.
    """
    while True:
        version = store.content_hash(pair, timeframe)
        recent = store.scan(pair, timeframe).tail(bars).collect()
        # a write in between would pair these bars with the hash of others
        if store.content_hash(pair, timeframe) == version:
            return version, recent


def read(
    pair: str, timeframe: str, start: datetime | None, end: datetime | None, version: str
) -> pl.DataFrame | None:
    """Return bars with start <= timestamp < end and all quotes.

    Parameters
    ----------
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    start, end : datetime or None
        With a zone; without an end up to the last, without a start never from here.
    version : str
        Content hash of the bars in the bulk store.

    Returns
    -------
    polars.DataFrame or None
        None where PostgreSQL does not hold them all, or not of this content.
    """
    if start is None:
        return None
    with _snapshot() as connection:
        key = {"pair": pair, "timeframe": timeframe, "source": SOURCE}
        row = connection.execute(text(_VERSION), key).one_or_none()
        if row is None or row.content_hash != version or not row.first:
            return None
        return _rows(connection, pair, timeframe, start, end) if row.first <= start else None


def read_shared(
    pair: str, timeframe: str, start: datetime | None, end: datetime | None
) -> pl.DataFrame:
    """Return bars with start <= timestamp < end where there is no bulk store to ask.

    Parameters
    ----------
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    start, end : datetime or None
        With a zone; None: from the first, to the last.

    Raises
    ------
    TierError
        If older ones than PostgreSQL holds are asked for.
    """
    with _snapshot() as connection:
        key = {"pair": pair, "timeframe": timeframe}
        first, quotes = connection.execute(text(_FIRST), key).one()
        if first is not None and (start is None or start < first):
            raise TierError(
                f"this machine has {pair} {timeframe} from {first} on: ask for no older bars, "
                "or where the bulk store is"
            )
        rows = _rows(connection, pair, timeframe, start, end)
        return rows if quotes else rows.drop(QUOTES)


def rows() -> dict[tuple[str, str], int]:
    """Return how many bars of each pair and timeframe PostgreSQL holds."""
    query = "SELECT pair, timeframe, count(*) AS rows FROM bars GROUP BY pair, timeframe"
    return {(pair, timeframe): n for pair, timeframe, n in database.read_frame(query).iter_rows()}


def size() -> int:
    """Return the bytes of the bars in PostgreSQL, chunks and indexes included."""
    with database.engine().connect() as connection:
        plain = "SELECT pg_total_relation_size('bars')"
        chunked = "SELECT hypertable_size('bars')"
        return int(connection.scalar(text(chunked if _hypertables(connection) else plain)) or 0)


def denied(error: DBAPIError) -> bool:
    """Say whether the role may not do what it tried."""
    return getattr(error.orig, "sqlstate", None) == _DENIED


def compress() -> int:
    """Compress the chunks that are due by policy, where TimescaleDB is; return how many.

    TimescaleDB does so itself about once a day. A role that may not is left out of it.
    """
    with database.engine().connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if not _hypertables(connection):
            return 0
        due = list(connection.scalars(text(_DUE)))
        command = text("SELECT compress_chunk(CAST(:chunk AS regclass), true)")
        try:
            for chunk in due:
                connection.execute(command, {"chunk": chunk})
        except ProgrammingError as error:
            if not denied(error):
                raise
            return 0
        return len(due)


def _replace(connection: Connection, pair: str, timeframe: str, recent: pl.DataFrame) -> Moved:
    series = (Bar.pair == pair, Bar.timeframe == timeframe)
    older = delete(Bar).where(*series)
    if not recent.is_empty():
        older = older.where(Bar.timestamp < recent["timestamp"].min())
    down = connection.execute(older).rowcount
    rows = recent.with_columns(pair=pl.lit(pair), timeframe=pl.lit(timeframe))
    up = database.copy_frame(rows, Bar, connection=connection)
    present = connection.scalar(select(func.count()).select_from(Bar).where(*series))
    if present != recent.height:  # the store was made anew and lacks some
        connection.execute(delete(Bar).where(*series))
        database.copy_frame(rows, Bar, connection=connection)
    return Moved(up, down)


def _note(
    connection: Connection, pair: str, timeframe: str, recent: pl.DataFrame, version: str
) -> None:
    row: dict[str, Any] = {
        "pair": pair,
        "timeframe": timeframe,
        "source": SOURCE,
        "last_timestamp": recent["timestamp"].max(),
        "rows": recent.height,
        "quarantined": 0,
        "content_hash": version,
        "updated_at": datetime.now(UTC),
    }
    schema = {"last_timestamp": recent.schema["timestamp"]}
    cursor = pl.DataFrame([row], schema_overrides=schema)
    database.copy_frame(cursor, IngestCursor, connection=connection)


def _rows(
    connection: Connection,
    pair: str,
    timeframe: str,
    start: datetime | None,
    end: datetime | None,
) -> pl.DataFrame:
    names = ", ".join(f'"{name}"' for name in ("timestamp", *PRICES, "volume", *QUOTES))
    query = f"SELECT {names} FROM bars WHERE pair = %s AND timeframe = %s"  # noqa: S608
    parameters: list[Any] = [pair, timeframe]
    for edge, comparison in ((start, ">="), (end, "<")):
        if edge is not None:
            query += f' AND "timestamp" {comparison} %s'
            parameters.append(edge)
    return database.read_frame(f'{query} ORDER BY "timestamp"', parameters, connection=connection)


def _snapshot() -> Connection:
    """Open a connection all of whose queries see the same rows."""
    return database.engine().connect().execution_options(isolation_level="REPEATABLE READ")


def _hypertables(connection: Connection) -> bool:
    there = connection.scalar(text("SELECT to_regclass('timescaledb_information.hypertables')"))
    if there is None:
        return False
    made = "SELECT FROM timescaledb_information.hypertables WHERE hypertable_name = 'bars'"
    return bool(connection.execute(text(made)).rowcount)
