"""The shared PostgreSQL database: sessions, migrations, frames in and out by COPY."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import polars as pl
import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Column, Connection, Engine, Select, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from infra import records
from infra.errors import SepError
from infra.postgres.copy import TIME, WIRE, decode, encode
from infra.postgres.engines import engine_of
from infra.postgres.models import Base
from infra.settings import Settings, settings
from infra.site import POSTGRES, site

T = TypeVar("T")

_MIGRATING = 7_310_001  # key of the advisory lock
_SPANS = 64  # series of a frame that are looked up one by one
_CALENDAR = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))  # Python's
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_COLUMNS: dict[str, pl.DataType] = {
    "BIGINT": pl.Int64(),
    "BOOLEAN": pl.Boolean(),
    "DOUBLE PRECISION": pl.Float64(),
    "TIMESTAMP WITH TIME ZONE": TIME,
}
_UNLIMITED = "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"
_RESULTS = {name: dtype for dtype, (name, _) in WIRE.items()}
_INSERT = """
INSERT INTO {table} AS present ({names})
SELECT * FROM (SELECT {casts} FROM incoming) AS fresh
"""
_UPDATE = """
WHERE NOT EXISTS (
    SELECT FROM {table} AS present
    WHERE ({old_keys}) = ({fresh_keys}) AND ({old}) IS NOT DISTINCT FROM ({fresh})
)
ON CONFLICT ({keys}) DO UPDATE SET ({values}) = ROW({new})
WHERE ({old}) IS DISTINCT FROM ({new})
"""


class DatabaseError(SepError, RuntimeError):
    """No database answers; the message says what to do."""


def url(role: str | None = None) -> URL:
    """Return the address of the database: the setting's, else the embedded server's.

    Parameters
    ----------
    role : {"owner", "research", "executor"}, optional
        Who connects; left out: what `SEP_DATABASE_ROLE` says. The owner is the user of the
        address; the others have their passwords under `SEP_HOME`.

    Raises
    ------
    DatabaseError
        If the setting is unset and no embedded server runs under `SEP_HOME`, or the role has no
        password there.
    """
    address = site().database_url()
    if address is None:
        raise DatabaseError(
            f"no database runs under {settings().home}: start it with `sep up`, "
            "or name one in SEP_DATABASE_URL"
        )
    parsed = make_url(address).set(drivername="postgresql+psycopg")
    chosen = role or settings().database_role
    return parsed if chosen == "owner" else parsed.set(username=chosen, password=_password(chosen))


def engine(role: str | None = None) -> Engine:
    """Return the engine of the present database, one for each address and role.

    Where the database is gets looked up every second, and when its server was started or stopped.
    """
    present = settings()
    return engine_of(
        _looked_up(present, role, records.changed(present.home, POSTGRES), int(monotonic()))
    )


@lru_cache(maxsize=8)
def _looked_up(present: Settings, role: str | None, started: int, second: int) -> URL:
    return url(role)


@contextmanager
def session() -> Iterator[Session]:
    """Open a session in one transaction: committed at the end, rolled back on an exception."""
    with Session(engine()) as opened, opened.begin():
        yield opened


@contextmanager
def reading() -> Iterator[Session]:
    """Open a session for questions alone: each sees what was committed before it was asked."""
    with Session(engine().execution_options(isolation_level="AUTOCOMMIT")) as opened:
        yield opened


def first(query: Select[tuple[T]]) -> T | None:
    """Return the first value of a query's first row, None if there is no row.

    Parameters
    ----------
    query : sqlalchemy.Select
    """
    with reading() as opened:
        return opened.scalar(query)


def every(query: Select[tuple[T]]) -> list[T]:
    """Return the first values of a query's rows.

    Parameters
    ----------
    query : sqlalchemy.Select
    """
    with reading() as opened:
        return list(opened.scalars(query))


def migrate() -> None:
    """Bring the tables to the newest revision, as their owner; safe at every start and at once."""
    with engine("owner").begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        command.upgrade(migrations(connection), "head")


def migrations(connection: Connection) -> Config:
    """Return Alembic's configuration for the migrations of this project on a connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def copy_frame(
    frame: pl.DataFrame,
    model: type[Base],
    *,
    connection: Connection | None = None,
    update: bool = True,
) -> int:
    """Insert the rows of a frame by COPY; a row whose key is there is updated or left alone.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns named as the table's; columns the table fills in itself may lack.
        JSON columns hold JSON text.
    model : type of Base
        Table.
    connection : sqlalchemy.Connection, optional
        Transaction to take part in; a new one if left out.
    update : bool
        Whether rows present are brought up to date (key: the primary key) or left as they are
        (key: any unique constraint).

    Returns
    -------
    int
        Rows inserted or changed: 0 the second time the same frame comes.
    """
    if frame.is_empty():
        return 0
    if connection is None:
        with engine().begin() as own:
            return copy_frame(frame, model, connection=own, update=update)
    table = model.__table__
    assert isinstance(table, Table)
    staged = _staged(frame, table)
    with _cursor(connection) as cursor:
        if _is_new(cursor, staged, table) and _append(connection, cursor, staged, table):
            return frame.height
        cursor.execute(_UNLIMITED)
        _load(cursor, staged)
        cursor.execute(_upsert(table, frame.columns, update=update))
        changed = cursor.rowcount
        cursor.execute("DROP TABLE incoming")
    return changed


def read_frame(
    query: str, parameters: Sequence[Any] = (), *, connection: Connection | None = None
) -> pl.DataFrame:
    """Run a query and return its rows as a frame, read by COPY.

    Parameters
    ----------
    query : str
        SQL with `%s` for parameters.
    parameters : sequence
        Values of the parameters.
    connection : sqlalchemy.Connection, optional
        Transaction to take part in; a new one if left out.

    Returns
    -------
    polars.DataFrame
        Times as `Datetime("us", "UTC")`; JSON and other types as text.

    Raises
    ------
    ValueError
        If two columns of the query have the same name.
    """
    if connection is None:
        with engine().connect() as own:
            return read_frame(query, parameters, connection=own)
    with psycopg.ClientCursor(_driver(connection)) as cursor:
        ready = sql.SQL(cursor.mogrify(query, parameters) if parameters else query)
        cursor.execute(sql.SQL("SELECT * FROM ({}) AS probe LIMIT 0").format(ready))
        columns = cursor.description or []
        types = {column.name: _type_name(column.type_code) for column in columns}
        if len(types) < len(columns):
            raise ValueError(f"two columns of a query have one name, use AS: {query}")
        with cursor.copy(_binary(ready, types)) as copy:
            return decode(
                copy, {name: _RESULTS.get(kind, pl.String()) for name, kind in types.items()}
            )


def _binary(query: sql.Composable, types: Mapping[str, str]) -> sql.Composed:
    """Copy the rows of a query, what has no form of its own on the wire as text."""
    columns = [
        sql.SQL("{}" if kind in _RESULTS else "{}::text").format(sql.Identifier(name))
        for name, kind in types.items()
    ]
    return sql.SQL("COPY (SELECT {} FROM ({}) AS rows) TO STDOUT (FORMAT binary)").format(
        sql.SQL(", ").join(columns), query
    )


def _staged(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Keep the columns of the table's types; PostgreSQL reads all others from text."""

    def stage(name: str, dtype: pl.DataType) -> pl.Expr:
        wanted = _dtype(table.columns[name])
        same = dtype == wanted or (dtype.is_integer() and wanted == pl.Int64)
        return pl.col(name).cast(wanted if same else pl.String)

    return frame.select(stage(name, dtype) for name, dtype in frame.schema.items())


def _is_new(cursor: psycopg.Cursor[Any], frame: pl.DataFrame, table: Table) -> bool:
    """Say whether a table whose only key is series and time has no row in the frame's spans."""
    *series, time = (column.name for column in table.primary_key)
    keyed = any(isinstance(constraint, UniqueConstraint) for constraint in table.constraints)
    same = all(dtype == _dtype(table.columns[name]) for name, dtype in frame.schema.items())
    if keyed or not same or frame.schema.get(time) != TIME or not {*series} <= {*frame.columns}:
        return False
    spans = frame.group_by(series).agg(pl.col(time).min(), pl.col(time).max().alias("until"))
    if len(spans) > _SPANS or not frame[time].is_between(*_CALENDAR).all():
        return False
    query = sql.SQL("SELECT FROM {} WHERE ({}) = ({}) AND {} BETWEEN %s AND %s LIMIT 1").format(
        sql.Identifier(table.name),
        _listed(series),
        sql.SQL(", ").join(sql.Placeholder() * len(series)),
        sql.Identifier(time),
    )
    return not any(cursor.execute(query, span).rowcount for span in spans.iter_rows())


def _append(
    connection: Connection, cursor: psycopg.Cursor[Any], frame: pl.DataFrame, table: Table
) -> bool:
    """Copy straight into the table; False if a row came between, or comes twice."""
    try:
        with connection.begin_nested():
            _copy(cursor, frame, table.name)
    except psycopg.errors.UniqueViolation:
        return False
    return True


def _load(cursor: psycopg.Cursor[Any], frame: pl.DataFrame) -> None:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(WIRE.get(dtype, ("text",))[0]))
        for name, dtype in frame.schema.items()
    ]
    create = sql.SQL("CREATE TEMP TABLE incoming ({}) ON COMMIT DROP")
    cursor.execute(create.format(sql.SQL(", ").join(columns)))
    _copy(cursor, frame, "incoming")


def _copy(cursor: psycopg.Cursor[Any], frame: pl.DataFrame, target: str) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, frame.columns))
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)")
    with cursor.copy(query.format(sql.Identifier(target), names)) as copy:
        for piece in encode(frame):
            copy.write(piece)


def _upsert(table: Table, columns: Sequence[str], *, update: bool) -> sql.Composed:
    keys = [column.name for column in table.primary_key]
    values = [name for name in columns if name not in keys]
    parts = {
        "table": sql.Identifier(table.name),
        "names": _listed(columns),
        "casts": sql.SQL(", ").join(_cast(table.columns[name]) for name in columns),
        "keys": _listed(keys),
        "values": _listed(values),
        "fresh": _listed(values, "fresh"),
        "new": _listed(values, "excluded"),
        "old": _listed(values, "present"),
        "fresh_keys": _listed(keys, "fresh"),
        "old_keys": _listed(keys, "present"),
    }
    ends = _UPDATE if update and values else "ON CONFLICT DO NOTHING"
    return sql.SQL(_INSERT + ends).format(**parts)


def _listed(names: Sequence[str], *prefix: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*prefix, name) for name in names)


def _cast(column: Column[Any]) -> sql.Composed:
    name = sql.Identifier(column.name)
    return sql.SQL("CAST({} AS {}) AS {}").format(name, sql.SQL(_sql_type(column)), name)


def _dtype(column: Column[Any]) -> pl.DataType:
    return _COLUMNS.get(_sql_type(column), pl.String())


def _sql_type(column: Column[Any]) -> str:
    return column.type.compile(_DIALECT)


def _type_name(code: int) -> str:
    info = psycopg.adapters.types.get(code)
    return info.name if info else "text"


def _cursor(connection: Connection) -> psycopg.Cursor[Any]:
    return _driver(connection).cursor()


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _password(role: str) -> str:
    try:
        return (settings().home / "secrets" / role).read_text()
    except OSError as error:
        raise DatabaseError(
            f"the role {role} has no password under {settings().home}: `sep up` makes it"
        ) from error
