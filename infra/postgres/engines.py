"""Engines, one for each address; a connection that may have gone is asked before it is used."""

from __future__ import annotations

import select
from threading import Lock
from time import monotonic
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import InvalidatePoolError

IDLE: Final = 1.0
"""Seconds after which a connection may have gone in silence. A server that ends its connections
says so, and is heard without asking: a question each time would cost a round trip each."""

_MOST: Final = 4
_NOTICED: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""A server that vanishes without a word is noticed after half a minute, not after hours."""
_engines: dict[URL, Engine] = {}
_one_at_a_time = Lock()


def engine_of(address: URL) -> Engine:
    """Return the engine of an address; the oldest of several is closed, not just forgotten.

    Parameters
    ----------
    address : sqlalchemy.engine.URL
    """
    with _one_at_a_time:
        if address not in _engines:
            while len(_engines) >= _MOST:
                _engines.pop(next(iter(_engines))).dispose()
            _engines[address] = _made(address)
        return _engines[address]


def _made(address: URL) -> Engine:
    engine = create_engine(address, connect_args=_NOTICED)
    event.listen(engine, "checkin", _given_back)
    event.listen(engine, "checkout", _taken)
    return engine


def _given_back(connection: Any, record: Any) -> None:
    record.info["used"] = monotonic()


def _heard(connection: psycopg.Connection[Any]) -> bool:
    """Say whether something came over a connection that was asked nothing: as a rule its end."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _taken(connection: psycopg.Connection[Any], record: Any, _: Any) -> None:
    """Ask a connection whether it lives; if not, it is made anew with all that are as old."""
    idle = monotonic() - record.info.get("used", monotonic())
    if idle > IDLE or _heard(connection):
        try:
            connection.execute("")
            connection.rollback()
        except psycopg.Error as error:
            raise InvalidatePoolError from error
