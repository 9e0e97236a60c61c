"""The shared PostgreSQL database: sessions, migrations, frames in and out by COPY."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Connection, Engine, Table, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from infra.models import Base
from infra.servers import postgres
from infra.settings import settings

_MIGRATING = 7_310_001  # key of the advisory lock
_TYPES: dict[str, Any] = {
    "bool": pl.String,
    "int2": pl.Int16,
    "int4": pl.Int32,
    "int8": pl.Int64,
    "float4": pl.Float32,
    "float8": pl.Float64,
    "date": pl.Date,
}


class DatabaseError(RuntimeError):
    """No database answers; the message says what to do."""


def url() -> URL:
    """Return the address of the database: the setting's, else the embedded server's.

    Raises
    ------
    DatabaseError
        If the setting is unset and no embedded server runs under `SEP_HOME`.
    """
    configured = settings().database_url
    address = configured.get_secret_value() if configured else postgres.address(settings().home)
    if address is None:
        raise DatabaseError(
            f"no database runs under {settings().home}: start it with `sep up`, "
            "or name one in SEP_DATABASE_URL"
        )
    return make_url(address).set(drivername="postgresql+psycopg")


def engine() -> Engine:
    """Return the engine of the present database, one for each address."""
    return _engine(url())


@contextmanager
def session() -> Iterator[Session]:
    """Open a session in one transaction: committed at the end, rolled back on an exception."""
    with Session(engine()) as opened, opened.begin():
        yield opened


def migrate() -> None:
    """Bring the tables to the newest revision; safe to call at every start and at once."""
    with engine().begin() as connection:
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
    with _cursor(connection) as cursor:
        _load(cursor, frame, table)
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
        with cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER)").format(ready)) as copy:
            data = b"".join(bytes(block) for block in copy)
    return _decode(data, types)


def _load(cursor: psycopg.Cursor[Any], frame: pl.DataFrame, table: Table) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, frame.columns))
    target = sql.Identifier(table.name)
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
            names, target
        )
    )
    with cursor.copy("COPY incoming FROM STDIN (FORMAT csv)") as copy:
        for part in frame.iter_slices(100_000):
            copy.write(part.write_csv(include_header=False))


def _upsert(table: Table, columns: Sequence[str], *, update: bool) -> sql.Composed:
    keys = [column.name for column in table.primary_key]
    values = [name for name in columns if name not in keys]
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    insert = sql.SQL("INSERT INTO {table} AS present ({names}) SELECT {names} FROM incoming ")
    head = insert.format(table=sql.Identifier(table.name), names=names)
    if not update or not values:
        return head + sql.SQL("ON CONFLICT DO NOTHING")

    def row(prefix: str) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(prefix, name) for name in values)

    return head + sql.SQL(
        "ON CONFLICT ({keys}) DO UPDATE SET ({values}) = ROW({new}) "
        "WHERE ({old}) IS DISTINCT FROM ({new})"
    ).format(
        keys=sql.SQL(", ").join(map(sql.Identifier, keys)),
        values=sql.SQL(", ").join(map(sql.Identifier, values)),
        new=row("excluded"),
        old=row("present"),
    )


def _decode(data: bytes, types: dict[str, str]) -> pl.DataFrame:
    frame = pl.read_csv(
        data,
        schema={name: _TYPES.get(kind, pl.String) for name, kind in types.items()},
    )
    times = [name for name, kind in types.items() if kind == "timestamptz"]
    flags = [name for name, kind in types.items() if kind == "bool"]
    return frame.with_columns(
        pl.col(times).str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_unit="us", time_zone="UTC"),
        pl.col(flags) == "t",
    )


def _type_name(code: int) -> str:
    known = psycopg.adapters.types.get(code)
    return known.name if known else "text"


def _cursor(connection: Connection) -> psycopg.Cursor[Any]:
    return _driver(connection).cursor()


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


@lru_cache(maxsize=4)
def _engine(address: URL) -> Engine:
    return create_engine(address, pool_pre_ping=True, connect_args={"connect_timeout": 10})
