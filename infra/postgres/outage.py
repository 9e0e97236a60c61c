"""A database that goes away: which errors say so, and waiting until it is back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from infra.files import is_full
from infra.postgres.database import DatabaseError, engine
from infra.settings import settings
from infra.waiting import until

_PAUSE = 0.5
_STATES = ("08", "57P", "53300")
"""Codes of PostgreSQL: connection lost, server going down or coming up, no connection free."""


class StaysAway(DatabaseError):
    """The database was waited for in vain."""


def is_outage(error: BaseException) -> bool:
    """Say whether an error, or one it came from, means that the database was not there.

    Errors of statements, which would come again, do not.
    """
    return any(map(_is_outage, _causes(error)))


def await_database(patience: float) -> None:
    """Wait until the database answers.

    Parameters
    ----------
    patience : float
        Seconds.

    Raises
    ------
    StaysAway
        If it has not answered by then; the message says what to do.
    """
    trouble = until(_trouble, lambda trouble: trouble is None, seconds=patience, pause=_PAUSE)
    if trouble is not None:
        raise StaysAway(
            f"the database has not answered for {patience:g} s ({trouble}): {_way_out()}, then "
            "retry the run; its finished steps are not done again"
        )


def _way_out() -> str:
    """PostgreSQL gives up on a full disk: to start it again alone would not help."""
    start = "start it, the embedded one with `sep up`"
    home = settings().home
    return f"no space is left on {home}, free some and {start}" if is_full(home) else start


def _trouble() -> str | None:
    try:
        with engine().connect() as connection:
            connection.execute(text("SELECT 1"))
    except (DatabaseError, DBAPIError) as error:
        return reason(error)
    return None


def reason(error: BaseException) -> str:
    """Return the first line of what the database or its driver said."""
    message = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return next(iter(str(message).splitlines()), type(message).__name__)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, DatabaseError):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_STATES)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, DBAPIError) and error.orig is not None:
            yield error.orig
        error = error.__cause__ or error.__context__
