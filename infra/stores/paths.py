"""Path libraries in PostgreSQL: nearest paths by SQL, among those whose outcome was known.

A library is one table of the schema `paths` with the columns of timescale-vector: `id` (a uuid of
version 1 whose time is the moment the outcome became known), `metadata`, `contents` (features in
hexadecimal; a comment on the table says how many), `embedding`. A large one has an index: DiskANN
where pgvectorscale is there, pgvector's HNSW otherwise; where TimescaleDB is there, the table is
cut by time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from sqlalchemy import Connection, inspect, text
from timescale_vector.client import QueryBuilder, QueryParams, UUIDTimeRange

from infra.postgres import database as db
from infra.postgres.copy import HEADER, TRAILER
from infra.postgres.extensions import INDEXES, LOCK, PathStoreError, best_index, installed, prepare
from infra.stores.path_rows import DIMENSIONS, Found, Numbering, Paths, Times, encode

SCHEMA: Final = "paths"
EXACT: Final = 50_000
"""Eligible rows up to which every one is compared, in some milliseconds, and nothing is missed. A
model's library has so many as a rule; an index is built, and asked, beyond."""

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
_COLUMNS = "id, metadata, contents, embedding"
_MEMORY = "512MB"
_PATHS_FIRST = text(
    "SELECT set_config('search_path', 'paths, ' || current_setting('search_path'), true)"
)
_CUT = """
SELECT create_hypertable(
    :table, 'id', chunk_time_interval => interval '365 days',
    time_partitioning_func => 'paths.uuid_timestamp', create_default_indexes => false
)
"""
_LAST = """
SELECT (metadata->>'group')::int, max((metadata->>'time')::bigint) FROM {} GROUP BY 1
"""
_FEATURES = """
SELECT (obj_description(CAST(:table AS regclass), 'pg_class')::jsonb->>'features')::int
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
SELECT (metadata->>'row')::bigint, distance, (metadata->>'time')::bigint,
    (metadata->>'group')::bigint, (metadata->'win'->>0)::bigint, (metadata->'win'->>1)::bigint,
    contents
FROM ({}) AS found
"""


@dataclass(frozen=True)
class Loaded:
    """What a load did: rows written, whose index was built, if any, and the time each took."""

    rows: int
    index: str | None
    copy_seconds: float
    index_seconds: float


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
        with db.engine().connect() as connection:
            return self._is_there(connection)

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
            self._create(connection, rows.features.shape[1])
            self._copy(connection, rows, first=0)
            copied = perf_counter()
            index = self._index(connection, len(rows))
            done = perf_counter()
        return Loaded(len(rows), index, copied - start, done - copied)

    def extend(self, rows: Paths) -> int:
        """Append rows; those not after the last bar of their group are dropped.

        Returns
        -------
        int
            Rows written: 0 the second time the same rows come.

        Raises
        ------
        PathStoreError
            If the rows of the library have not as many features.
        """
        with self._writing() as connection:
            if (there := self._features(connection)) != (given := rows.features.shape[1]):
                raise PathStoreError(f"{self.name} has {there} features a row, not {given}")
            last, least = self._last(connection), np.iinfo(np.int64).min + 1
            after = np.array([last.get(group, least) for group in rows.group.tolist()], np.int64)
            new = rows.take(rows.time > after.astype("datetime64[us]"))
            if len(new):
                present = self._count(connection)
                self._copy(connection, new, first=present)
                self._index(connection, present + len(new))
        return len(new)

    def last(self, group: int = 0) -> np.datetime64:
        """Return when the last bar of a group began (UTC), NaT where it has no row."""
        with self._reading() as connection:
            newest = self._last(connection).get(group)
        return np.datetime64("NaT" if newest is None else newest, "us")

    def __len__(self) -> int:
        with self._reading() as connection:
            return self._count(connection)

    def nearest(
        self,
        queries: NDArray[np.float32],
        *,
        known_by: Times,
        number: Numbering,
        exclusion: int,
        k: int = 64,
    ) -> Found:
        """Find the nearest paths of each query among those whose outcome was known.

        Parameters
        ----------
        queries : float32[q, 64]
            Unit paths; a query with a NaN has no neighbours.
        known_by : datetime64[us][q]
            A row counts for a query if its outcome was known then (UTC): a limit in the SQL.
        number : callable
            Numbers the bars that begin at given times, datetime64[us][n] to int64[n].
        exclusion : int
            Rows of one group closer than this many bars count as one event.
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
            If the library is not loaded, or was before rows had features.
        """
        with self._reading() as connection:
            neighbours = Found.nothing(len(queries), k, self._features(connection))
            eligible = self._eligible(connection, known_by)
        asked = ~np.isnan(queries).any(axis=1) & (eligible > 0)
        many = asked & (eligible > self.exact)
        self._fill(neighbours, np.flatnonzero(many), queries, known_by, BY_INDEX)
        full = neighbours.index[:, -1] >= 0  # else the filter left the index too few
        self._fill(neighbours, np.flatnonzero(asked & ~full), queries, known_by, EXACTLY)
        return neighbours.thinned(exclusion, number)

    def drop(self) -> None:
        """Delete the library; nothing where it is not there."""
        with self._writing() as connection:
            connection.execute(text(self._builder.drop_table_query()))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with db.engine().begin() as connection:
            connection.execute(_PATHS_FIRST)
            connection.execute(text(LOCK), {"name": self._table})
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
        table = connection.scalar(text("SELECT to_regclass(:table)"), {"table": self._table})
        return table is not None

    def _create(self, connection: Connection, features: int) -> None:
        create = (
            f"CREATE TABLE {self._table} (id uuid PRIMARY KEY, metadata jsonb NOT NULL, "
            f"contents text NOT NULL, embedding vector({DIMENSIONS}) NOT NULL)"
        )
        connection.execute(text(create))
        comment = json.dumps({"features": features})
        connection.execute(text(f"COMMENT ON TABLE {self._table} IS '{comment}'"))
        if "timescaledb" in installed(connection):
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
                copy.write(encode(piece, first + start).tobytes())
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

    def _features(self, connection: Connection) -> int:
        """Return how many features a row has."""
        features = connection.scalar(text(_FEATURES), {"table": self._table})
        if features is None:
            raise PathStoreError(
                f"the path library {self.name} has no features: an older version loaded it; "
                "drop it and load it again"
            )
        return int(features)

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
        neighbours: Found,
        places: NDArray[np.int64],
        queries: NDArray[np.float32],
        known_by: Times,
        settings: dict[str, Any],
    ) -> None:
        """Ask for the neighbours of some queries, in one transaction."""
        if not len(places):
            return
        k = neighbours.index.shape[1]
        with (
            self._reading(settings) as connection,
            psycopg.RawCursor(_driver(connection)) as cursor,
        ):
            for place in places:
                query, values = self._question(queries[place], known_by[place], k)
                cursor.execute(query, values, prepare=False)  # a plan kept would ignore settings
                neighbours.put(place, cursor.fetchall())

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


def _utc(moment: np.datetime64) -> datetime:
    time: datetime = moment.astype("datetime64[us]").item()
    return time.replace(tzinfo=UTC)


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver
