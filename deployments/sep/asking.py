"""What the command line says where the database does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError

from infra.postgres.database import DatabaseError
from infra.postgres.outage import is_outage, reason

_NO_TABLE: Final = "42P01"  # undefined_table


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Say that the database is needed where it does not answer.

    Parameters
    ----------
    what : str
        Needs it.

    Raises
    ------
    DatabaseError
        If it does not answer, or has not these tables.
    """
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _NO_TABLE:
            raise DatabaseError(
                f"{what} needs tables that the database has not yet: `sep up` makes them"
            ) from error
        if not is_outage(error):
            raise
        raise DatabaseError(
            f"{what} needs the database, which does not answer ({reason(error)}): "
            "start it, the embedded one with `sep up`"
        ) from error
