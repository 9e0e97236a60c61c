"""The vector extensions of PostgreSQL: what path libraries need of the server."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from timescale_vector.client import BaseIndex, DiskAnnIndex, HNSWIndex

from infra.errors import SepError
from infra.postgres import database as db

LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext(:name))"
"""One transaction at a time of those that name the same."""

INDEXES: Final[dict[str, BaseIndex]] = {
    "vectorscale": DiskAnnIndex(storage_layout="plain", num_neighbors=16, search_list_size=32),
    "vector": HNSWIndex(m=16, ef_construction=64),
}
"""Best first. DiskANN keeps whole vectors: two bits for each of so few dimensions lose half of the
neighbours."""

_LEAST = (0, 8)  # of pgvector: the first whose index goes on where a filter leaves too few


class PathStoreError(SepError, RuntimeError):
    """The database cannot hold paths, or has not this library; the message says what to do."""


def prepare() -> None:
    """Create what the server has of pgvector and pgvectorscale, as the owner of the database.

    Raises
    ------
    PathStoreError
        If there is no pgvector, an old one, or the owner may not create it.
    """
    with db.engine("owner").begin() as connection:
        connection.execute(text(LOCK), {"name": "vector"})
        _require_vector(connection)
        for name in ("vector", "vectorscale"):
            if name not in installed(connection):
                _create_extension(connection, name)


def best_index(connection: Connection) -> str:
    """Return the extension with the best index that a prepared database has."""
    return next(name for name in INDEXES if name in installed(connection))


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


def installed(connection: Connection) -> set[str]:
    """Return the names of the extensions of the database."""
    return set(connection.scalars(text("SELECT extname FROM pg_extension")))
