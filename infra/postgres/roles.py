"""The two roles of the database: what each may do, and nothing else.

`research` writes what is known (bars, models, signals), `executor` what is done about it (intents,
fills, positions). Neither owns a table, so neither can alter one or switch its guards off; and
which model is in force is for neither to say. Research may demote one, never put it in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, LiteralString

import psycopg
from psycopg import Connection as Driver
from psycopg import sql
from sqlalchemy import Connection, text

from infra.postgres.database import DatabaseError, engine, url
from infra.records import secret
from infra.settings import settings

ROLES: Final = ("research", "executor")
VIEWS: Final = ("bars_m5", "bars_m15", "bars_h1", "bars_d1")
GRANTS: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    "bars": ("SELECT, INSERT, UPDATE, DELETE", "SELECT"),
    "bar_arrival": ("SELECT, INSERT, UPDATE", ""),
    "bar_span": ("SELECT, INSERT", ""),
    "bar_revision": ("SELECT, INSERT", ""),
    "bar_removal": ("SELECT, INSERT, UPDATE", ""),
    "bar_want": ("SELECT, INSERT, UPDATE, DELETE", "SELECT, UPDATE, DELETE"),
    "bar_file": ("SELECT, INSERT, DELETE", "SELECT, INSERT, DELETE"),
    "metrics": ("SELECT, INSERT, UPDATE, DELETE", "SELECT"),
    **dict.fromkeys(VIEWS, ("SELECT", "SELECT")),
    "quarantine": ("SELECT, INSERT", ""),
    "ingest_cursor": ("SELECT, INSERT, UPDATE", ""),
    "pairs": ("SELECT, INSERT, UPDATE", "SELECT"),
    "model": ("SELECT, INSERT, UPDATE", "SELECT"),
    "model_file": ("SELECT, INSERT, DELETE", "SELECT"),
    "champion": ("SELECT", "SELECT"),
    "trial": ("SELECT, INSERT", ""),
    "holdout": ("SELECT, INSERT", ""),
    "holdout_opening": ("SELECT, INSERT", ""),
    "signal": ("SELECT, INSERT", "SELECT"),
    "signal_outcome": ("SELECT, INSERT, UPDATE", "SELECT"),
    "demotion": ("SELECT, INSERT", "SELECT"),
    "lease": ("", "SELECT, INSERT, UPDATE"),
    "intent": (
        "",
        "SELECT, INSERT, UPDATE (state, note, checkpoint, token, sent_at, updated_at)",
    ),
    "intent_event": ("", "SELECT, INSERT"),
    "fill": ("", "SELECT, INSERT"),
    "position": ("", "SELECT, INSERT, UPDATE"),
    "equity": ("", "SELECT, INSERT, UPDATE"),
    "venue": ("", "SELECT, INSERT, UPDATE"),
    "control": ("", "SELECT, INSERT"),
    "heartbeat": ("SELECT, INSERT, UPDATE", "SELECT, INSERT, UPDATE"),
    "paper_account": ("", "SELECT, INSERT, UPDATE"),
    "paper_transaction": ("", "SELECT, INSERT"),
}
"""Privileges of research and executor on each table; a table that is not here is closed to both."""

_PATHS: Final[tuple[LiteralString, ...]] = (
    "REVOKE ALL ON SCHEMA paths FROM research, executor",
    "REVOKE ALL ON ALL TABLES IN SCHEMA paths FROM executor",
    "GRANT USAGE, CREATE ON SCHEMA paths TO research",
    "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA paths TO research",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA paths GRANT SELECT, INSERT ON TABLES TO research",
)
"""Path libraries are tables that research makes; the owner's, if it made any, it fills."""

_CREATING: Final = 7_310_002  # key of the advisory lock
_ATTRIBUTES: Final = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


def ensure_roles() -> str | None:
    """Create both roles in the present database, their passwords kept under the home.

    On a server that a setting names, a role that may log in keeps its password: another home may
    have made it.

    Returns
    -------
    str or None
        Why the roles do not serve; None if they do.
    """
    passwords = {role: secret(settings().home, role) for role in ROLES}
    try:
        with engine("owner").begin() as connection:
            kept = _logins(connection) if settings().database_url else set()
            create_roles(connection, {r: p for r, p in passwords.items() if r not in kept})
    except psycopg.errors.InsufficientPrivilege as error:
        user, message = url("owner").username, " ".join(str(error).split())
        return f"{user} may not create the roles {' and '.join(ROLES)}: {message}"
    return unusable()


def unusable() -> str | None:
    """Say why the roles do not serve in the present database; None if they do."""
    for role in ROLES:
        try:
            address = url(role).set(drivername="postgresql")
            with psycopg.connect(
                address.render_as_string(hide_password=False), connect_timeout=5
            ) as connection:
                answer = connection.execute("SELECT has_table_privilege('signal', 'SELECT')")
                if answer.fetchone() != (True,):
                    return f"the role {role} may not read signals"
        except DatabaseError as error:
            return str(error)
        except psycopg.Error as error:
            return f"the role {role} does not serve: {' '.join(str(error).split())}"
    return None


def create_roles(connection: Connection, passwords: Mapping[str, str] | None = None) -> None:
    """Create both roles unless they are there, and give them their privileges, no others.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Of the owner of the migrated tables, who may create roles; in its transaction.
    passwords : mapping, optional
        Role to password: the roles that may log in. A role left out stays as it is; a new one
        cannot log in.

    Raises
    ------
    ValueError
        If a password is empty, or for a role that is none of `ROLES`.

    Notes
    -----
    Safe to call at every start and at once. Call it after a migration that makes a table anew.
    """
    passwords = passwords or {}
    for role, password in passwords.items():
        if role not in ROLES or not password:
            raise ValueError(f"passwords: {role!r} needs to be one of {ROLES}, with a password")
    driver = connection.connection.driver_connection
    assert isinstance(driver, Driver)
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATING})
    with driver.cursor() as cursor:
        for role in ROLES:
            _create(driver, role, passwords.get(role))
        for statement in _privileges(driver.info.dbname):
            cursor.execute(statement)


def _logins(connection: Connection) -> set[str]:
    query = text("SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname = ANY(:roles)")
    return set(connection.scalars(query, {"roles": list(ROLES)}))


def _create(driver: Driver[tuple[object, ...]], role: str, password: str | None) -> None:
    name = sql.Identifier(role)
    if not driver.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount:
        driver.execute(sql.SQL("CREATE ROLE {} NOLOGIN " + _ATTRIBUTES).format(name))
    if password:
        alter = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password))
        driver.execute(alter)


def _privileges(database: str) -> Iterator[sql.Composed]:
    """Take everything away, then grant: at the commit only what is granted here is there."""
    roles = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        every = sql.SQL(f"REVOKE ALL ON ALL {kind} IN SCHEMA public FROM ")
        later = sql.SQL(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON {kind} FROM ")
        yield every + roles
        yield later + roles
    yield sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC, ") + roles
    yield sql.SQL("GRANT USAGE ON SCHEMA public TO ") + roles
    yield (
        sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO ").format(sql.Identifier(database))
        + roles
    )
    yield from map(sql.SQL, _PATHS)
    for table, granted in GRANTS.items():
        for role, privileges in zip(ROLES, granted, strict=True):
            if privileges:
                yield sql.SQL("GRANT " + privileges + " ON {} TO {}").format(
                    sql.Identifier(table), sql.Identifier(role)
                )
