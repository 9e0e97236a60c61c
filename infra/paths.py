"""Path libraries in PostgreSQL: nearest paths by SQL, among those whose outcome was known.

A library is one table of the schema `paths` with the columns of timescale-vector: `id` (a uuid of
version 1 whose time is the moment the outcome became known), `metadata`, `contents`, `embedding`.
A large one has an index: DiskANN where pgvectorscale is there, pgvector's HNSW otherwise; where
TimescaleDB is there, the table is cut by time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final, TypeAlias

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from timescale_vector.client import (
    BaseIndex,
    DiskAnnIndex,
    HNSWIndex,
    QueryBuilder,
    QueryParams,
    UUIDTimeRange,
)

from infra import database as db
from infra.pgcopy import HEADER, TRAILER

Times: TypeAlias = NDArray[np.datetime64]

SCHEMA: Final = "paths"
DIMENSIONS: Final = 64
EXACT: Final = 50_000
"""Eligible rows up to which every one is compared, in some milliseconds, and nothing is missed. A
model's library has so many as a rule; an index is built, and asked, beyond."""

INDEXES: Final[dict[str, BaseIndex]] = {
    "vectorscale": DiskAnnIndex(storage_layout="plain", num_neighbors=16, search_list_size=32),
    "vector": HNSWIndex(m=16, ef_construction=64),
}
"""Best first. DiskANN keeps whole vectors: two bits for each of so few dimensions lose half of the
neighbours."""

BY_INDEX: Final = {
    "hnsw.ef_search": 100,
    "hnsw.iterative_scan": "strict_order",
    "diskann.query_search_list_size": 100,
    "enable_sort": "off",
    "jit": "off",
}
EXACTLY: Final = {"enable_indexscan": "off", "enable_seqscan": "off", "jit": "off"}
"""What is left is a bitmap of the times: `uuid_timestamp` is not called for each row."""

_PIECE = 1 << 16
_LEAST = (0, 8)  # of pgvector: the first whose index goes on where a filter leaves too few
_COLUMNS = "id, metadata, contents, embedding"
_EPOCH = 0x01B21DD213814000  # 1970 in ticks of 100 ns since 1582
_VARIANT = np.uint64(1 << 63)  # RFC 4122; the row number stands where a node does
_MEMORY = "512MB"
_PATHS_FIRST = text(
    "SELECT set_config('search_path', 'paths, ' || current_setting('search_path'), true)"
)
_LOCK = "SELECT pg_advisory_xact_lock(hashtext(:name))"
_METADATA = '{"row":%12d,"position":%12d,"group":%11d,"win":[%2d,%2d]}'
_WIDTH = len(_METADATA % (0, 0, 0, 0, 0))
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("id_size", ">i4"),
        ("id", "u1", 16),
        ("metadata_size", ">i4"),
        ("metadata_version", "u1"),
        ("metadata", f"S{_WIDTH}"),
        ("contents_size", ">i4"),
        ("embedding_size", ">i4"),
        ("dimensions", ">i2"),
        ("unused", ">i2"),
        ("embedding", ">f4", DIMENSIONS),
    ]
)
"""A row of binary COPY; spaces in the JSON make all rows equally long."""

_CUT = """
SELECT create_hypertable(
    :table, 'id', chunk_time_interval => interval '365 days',
    time_partitioning_func => 'paths.uuid_timestamp', create_default_indexes => false
)
"""
_LAST = """
SELECT (metadata->>'group')::int, max((metadata->>'position')::bigint) FROM {} GROUP BY 1
"""
_INDEXED = """
SELECT count(*) FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
WHERE indrelid = CAST(:table AS regclass) AND amname IN ('hnsw', 'diskann')
"""
_OURS = """
SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = CAST(:table AS regclass)
"""
_NEWEST = """
SELECT (metadata->>'row')::bigint FROM {}
WHERE uuid_timestamp(id) <= :until ORDER BY uuid_timestamp(id) DESC LIMIT 1
"""
_FOUND = """
SELECT (metadata->>'row')::bigint, distance, (metadata->>'position')::bigint,
    (metadata->>'group')::bigint, (metadata->'win'->>0)::bigint, (metadata->'win'->>1)::bigint
FROM ({}) AS found
"""


class PathStoreError(RuntimeError):
    """The database cannot hold paths, or has not this library; the message says what to do."""


@dataclass(frozen=True)
class Paths:
    """Rows of a library.

    Attributes
    ----------
    paths : float32[n, 64]
        Unit paths.
    known_at : datetime64[us][n]
        When the outcome became known (UTC), ascending.
    position : int64[n]
        Bar number within the group.
    group : int32[n]
        What the row belongs to, such as its pair.
    win : int8[n, 2]
        1 if the trade ended above zero after costs; long, short.
    """

    paths: NDArray[np.float32]
    known_at: Times
    position: NDArray[np.int64]
    group: NDArray[np.int32]
    win: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.position)

    def __post_init__(self) -> None:
        if len(self) and not (np.diff(self.known_at, prepend=self.known_at[:1]) >= 0).all():
            raise ValueError("known_at must ascend, without NaT: sort the rows by it")

    def take(self, rows: slice | NDArray[np.bool_]) -> Paths:
        """Return some of the rows."""
        return Paths(*(array[rows] for array in vars(self).values()))


@dataclass(frozen=True)
class Loaded:
    """What a load did: rows written, whose index was built, if any, and the time each took."""

    rows: int
    index: str | None
    copy_seconds: float
    index_seconds: float


@dataclass(frozen=True)
class Found:
    """Kept neighbours of each query, best first.

    Attributes
    ----------
    score : float32[q, k]
        Cosine; NaN beyond the last neighbour, as all below are -1.
    index : int64[q, k]
        Row of the library.
    position, group : int64[q, k]
        Of that row.
    win : int8[q, k, 2]
        What became of it; long, short.
    """

    score: NDArray[np.float32]
    index: NDArray[np.int64]
    position: NDArray[np.int64]
    group: NDArray[np.int64]
    win: NDArray[np.int8]

    @classmethod
    def nothing(cls, queries: int, k: int) -> Found:
        """Return an answer without any neighbour."""
        index, position, group = np.full((3, queries, k), -1, np.int64)
        score = np.full((queries, k), np.nan, np.float32)
        return cls(score, index, position, group, np.full((queries, k, 2), -1, np.int8))

    def put(self, query: int, rows: NDArray[np.float64]) -> None:
        """Set the neighbours of a query: row, distance, position, group, outcomes of each."""
        score = (1 - rows[:, 1]).astype(np.float32)
        best = np.lexsort((rows[:, 0], -score))
        self.score[query, : len(rows)] = score[best]
        numbers = rows[best].astype(np.int64)
        for column, array in ((0, self.index), (2, self.position), (3, self.group)):
            array[query, : len(rows)] = numbers[:, column]
        self.win[query, : len(rows)] = numbers[:, 4:]

    def thinned(self, exclusion: int) -> Found:
        """Drop, best first, what overlaps one already kept; close the ranks and pad."""
        queries, k = self.index.shape
        kept = np.zeros((queries, k), bool)
        for place in range(k):
            apart = self.position[:, place, None] - self.position[:, :place]
            same = self.group[:, place, None] == self.group[:, :place]
            near = kept[:, :place] & same & (np.abs(apart) < exclusion)
            kept[:, place] = (self.index[:, place] >= 0) & ~near.any(axis=1)
        thin = Found.nothing(queries, k)
        free = np.arange(k) < kept.sum(axis=1)[:, None]
        for name, array in vars(self).items():
            getattr(thin, name)[free] = array[kept]
        return thin


class PathStore:
    """One library in the database in force.

    Attributes
    ----------
    name : str
        Of the library, such as its model's id.
    exact : int
        Eligible rows up to which all are compared; a library without more has no index.
    """

    def __init__(self, name: str, *, exact: int = EXACT) -> None:
        self.name, self.exact = name, exact
        self._builder = QueryBuilder(name, DIMENSIONS, "cosine", "UUID", None, False, SCHEMA)
        self._table: str = self._builder._quoted_table_name()

    def exists(self) -> bool:
        """Say whether the library was loaded."""
        return self.name in libraries()

    def load(self, rows: Paths) -> Loaded:
        """Write a library, build its index: all of it or nothing; nothing where it is there.

        Raises
        ------
        PathStoreError
            If the server has no pgvector that fits.
        """
        prepare()
        with self._writing() as connection:
            if self._is_there(connection):
                return Loaded(0, None, 0.0, 0.0)
            start = perf_counter()
            self._create(connection)
            self._copy(connection, rows, first=0)
            copied = perf_counter()
            index = self._index(connection, len(rows))
            done = perf_counter()
        return Loaded(len(rows), index, copied - start, done - copied)

    def extend(self, rows: Paths) -> int:
        """Append rows; those not after the last position of their group are dropped.

        Returns
        -------
        int
            Rows written: 0 the second time the same rows come.
        """
        with self._writing() as connection:
            last = self._last(connection)
            after = [last.get(group, -1) for group in rows.group.tolist()]
            new = rows.take(rows.position > np.array(after, np.int64))
            if len(new):
                present = self._count(connection)
                self._copy(connection, new, first=present)
                self._index(connection, present + len(new))
        return len(new)

    def last(self, group: int = 0) -> int:
        """Return the last bar number of a group, -1 where it has no row."""
        with self._reading() as connection:
            return self._last(connection).get(group, -1)

    def __len__(self) -> int:
        with self._reading() as connection:
            return self._count(connection)

    def nearest(
        self, queries: NDArray[np.float32], *, known_by: Times, exclusion: int, k: int = 64
    ) -> Found:
        """Find the nearest paths of each query among those whose outcome was known.

        Parameters
        ----------
        queries : float32[q, 64]
            Unit paths; a query with a NaN has no neighbours.
        known_by : datetime64[us][q]
            A row counts for a query if its outcome was known then (UTC): a limit in the SQL.
        exclusion : int
            Rows of one group closer than this many positions count as one event.
        k : int
            Rows looked at per query; what overlaps among them is dropped, not replaced.

        Returns
        -------
        Found
            The top k by (score descending, index ascending), less those that overlap a better
            one, as the kernels do it: all of them where no more than `exact` rows are eligible,
            nearly all otherwise. Of scores equal to the k-th any may be left out.

        Raises
        ------
        PathStoreError
            If the library is not loaded.
        """
        found = Found.nothing(len(queries), k)
        with self._reading() as connection:
            eligible = self._eligible(connection, known_by)
        asked = ~np.isnan(queries).any(axis=1) & (eligible > 0)
        many = asked & (eligible > self.exact)
        self._fill(found, np.flatnonzero(many), queries, known_by, BY_INDEX)
        full = found.index[:, -1] >= 0  # else the filter left the index too few
        self._fill(found, np.flatnonzero(asked & ~full), queries, known_by, EXACTLY)
        return found.thinned(exclusion)

    def drop(self) -> None:
        """Delete the library; nothing where it is not there."""
        with self._writing() as connection:
            connection.execute(text(self._builder.drop_table_query()))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with db.engine().begin() as connection:
            connection.execute(_PATHS_FIRST)
            connection.execute(text(_LOCK), {"name": self._table})
            yield connection

    @contextmanager
    def _reading(self, settings: dict[str, Any] | None = None) -> Iterator[Connection]:
        with db.engine().begin() as connection:
            if not self._is_there(connection):
                raise PathStoreError(f"the path library {self.name} is not loaded: load it first")
            connection.execute(_PATHS_FIRST)
            for statement in QueryParams(settings or {}).get_statements():
                connection.execute(text(statement))
            yield connection

    def _is_there(self, connection: Connection) -> bool:
        found = connection.scalar(text("SELECT to_regclass(:table)"), {"table": self._table})
        return found is not None

    def _create(self, connection: Connection) -> None:
        create = (
            f"CREATE TABLE {self._table} (id uuid PRIMARY KEY, metadata jsonb NOT NULL, "
            f"contents text, embedding vector({DIMENSIONS}) NOT NULL)"
        )
        connection.execute(text(create))
        if "timescaledb" in _installed(connection):
            connection.execute(text(_CUT), {"table": self._table})
        connection.execute(text(f"CREATE INDEX ON {self._table} (uuid_timestamp(id))"))

    def _copy(self, connection: Connection, rows: Paths, first: int) -> None:
        query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(SCHEMA, self.name), sql.SQL(_COLUMNS)
        )
        with _driver(connection).cursor() as cursor, cursor.copy(query) as copy:
            copy.write(HEADER)
            for start in range(0, len(rows), _PIECE):
                piece = rows.take(slice(start, start + _PIECE))
                copy.write(_encode(piece, first + start).tobytes())
            copy.write(TRAILER)

    def _index(self, connection: Connection, rows: int) -> str | None:
        """Build the best index there can be once rows are too many; tell its extension.

        Without one, as where the table is another role's, all rows are compared.
        """
        there, ours = (
            connection.scalar(text(query), {"table": self._table}) for query in (_INDEXED, _OURS)
        )
        if rows <= self.exact or there or not ours:
            return None
        extension = best_index(connection)
        connection.execute(text(f"SET LOCAL maintenance_work_mem = '{_MEMORY}'"))
        query = self._builder.create_embedding_index_query(INDEXES[extension], lambda: rows)
        connection.execute(text(query))
        connection.execute(text(f"ANALYZE {self._table}"))
        return extension

    def _count(self, connection: Connection) -> int:
        return int(connection.scalar(text(self._builder.get_approx_count_query())) or 0)

    def _last(self, connection: Connection) -> dict[int, int]:
        query = text(_LAST.format(self._table))
        return dict(connection.execute(query).tuples().all())

    def _eligible(self, connection: Connection, known_by: Times) -> NDArray[np.int64]:
        """Count the rows each query may see, as the newest of them is numbered."""
        moments, which = np.unique(known_by, return_inverse=True)
        query = text(_NEWEST.format(self._table))
        newest = [connection.scalar(query, {"until": _utc(moment)}) for moment in moments]
        rows = np.array([-1 if row is None else row for row in newest], np.int64) + 1
        return np.asarray(rows[which])

    def _fill(
        self,
        found: Found,
        places: NDArray[np.int64],
        queries: NDArray[np.float32],
        known_by: Times,
        settings: dict[str, Any],
    ) -> None:
        """Ask for the neighbours of some queries, in one transaction."""
        if not len(places):
            return
        k = found.index.shape[1]
        with (
            self._reading(settings) as connection,
            psycopg.RawCursor(_driver(connection)) as cursor,
        ):
            for place in places:
                query, values = self._question(queries[place], known_by[place], k)
                cursor.execute(query, values, prepare=False)  # a plan kept would ignore settings
                found.put(place, np.array(cursor.fetchall(), np.float64).reshape(-1, 6))

    def _question(
        self, query: NDArray[np.float32], known_by: np.datetime64, k: int
    ) -> tuple[str, list[Any]]:
        question, values = self._builder.search_query(
            Vector(query).to_text(),
            limit=k,
            uuid_time_filter=UUIDTimeRange(end_date=_utc(known_by), end_inclusive=True),
        )
        return _FOUND.format(question), values


def libraries() -> list[str]:
    """Return the names of the libraries in the database in force."""
    return sorted(inspect(db.engine()).get_table_names(schema=SCHEMA))


def prepare() -> None:
    """Create what the server has of pgvector and pgvectorscale, as the owner of the database.

    Raises
    ------
    PathStoreError
        If there is no pgvector, an old one, or the owner may not create it.
    """
    with db.engine("owner").begin() as connection:
        connection.execute(text(_LOCK), {"name": SCHEMA})
        _require_vector(connection)
        for name in ("vector", "vectorscale"):
            if name not in _installed(connection):
                _create_extension(connection, name)


def best_index(connection: Connection) -> str:
    """Return the extension with the best index that a prepared database has."""
    return next(name for name in INDEXES if name in _installed(connection))


def _require_vector(connection: Connection) -> None:
    query = text(
        "SELECT coalesce(installed_version, default_version) "
        "FROM pg_available_extensions WHERE name = 'vector'"
    )
    version = connection.scalar(query)
    if version is None or tuple(map(int, version.split(".")[:2])) < _LEAST:
        there = f"pgvector {version}" if version else "no pgvector"
        raise PathStoreError(
            f"the database server has {there}, a path library needs 0.8 or newer: "
            "install it there (Debian: postgresql-NN-pgvector; where an old one is in use, "
            "ALTER EXTENSION vector UPDATE), use the embedded server, or set SEP_PATHS=exact"
        )


def _create_extension(connection: Connection, name: str) -> None:
    available = text("SELECT FROM pg_available_extensions WHERE name = :name")
    if not connection.execute(available, {"name": name}).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(text(f"CREATE EXTENSION {name}"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":  # insufficient_privilege
            raise
        if name == "vector":
            raise PathStoreError(
                "the owner of the database may not create the extension vector: let a superuser "
                "run CREATE EXTENSION vector in it, or set SEP_PATHS=exact"
            ) from error


def _installed(connection: Connection) -> set[str]:
    return set(connection.scalars(text("SELECT extname FROM pg_extension")))


def _utc(moment: np.datetime64) -> datetime:
    found: datetime = moment.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _encode(rows: Paths, first: int) -> NDArray[np.void]:
    """Rows of binary COPY, numbered from `first` on."""
    out = np.zeros(len(rows), _ROW)
    number = np.arange(first, first + len(rows))
    out["fields"], out["contents_size"] = 4, -1
    out["id_size"], out["id"] = 16, _ids(rows.known_at, number)
    columns = (number, rows.position, rows.group, *rows.win.T)
    out["metadata_size"], out["metadata_version"] = _WIDTH + 1, 1
    out["metadata"] = [
        (_METADATA % row).encode()
        for row in zip(*(column.tolist() for column in columns), strict=True)
    ]
    out["embedding_size"], out["dimensions"] = 4 + 4 * DIMENSIONS, DIMENSIONS
    out["embedding"] = rows.paths
    return out


def _ids(known_at: Times, number: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Version 1 uuids of a time and a row number, [n, 16].

    Times go up to the next whole millisecond, which is what `uuid_timestamp` tells: never early.
    """
    milliseconds = -(-known_at.astype("datetime64[us]").astype(np.int64) // 1000)
    ticks = milliseconds * 10_000 + _EPOCH
    fields = (
        (ticks & 0xFFFFFFFF, ">u4"),
        (ticks >> 32 & 0xFFFF, ">u2"),
        (ticks >> 48 | 1 << 12, ">u2"),
        (number.astype(np.uint64) | _VARIANT, ">u8"),
    )
    shaped = [np.asarray(values).astype(wire) for values, wire in fields]
    return np.column_stack([each.view(np.uint8).reshape(len(number), -1) for each in shaped])
