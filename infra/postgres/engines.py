"""Engines, one for each address; a connection that lay idle is looked at before it is used."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import InvalidatePoolError

IDLE: Final = 1.0
"""Seconds after which a connection may have gone: asking every time costs a round trip each."""

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


def _taken(connection: psycopg.Connection[Any], record: Any, _: Any) -> None:
    """Ask a connection whether it lives; if not, it is made anew with all that are as old."""
    if monotonic() - record.info.get("used", monotonic()) > IDLE:
        try:
            connection.execute("")
            connection.rollback()
        except psycopg.Error as error:
            raise InvalidatePoolError from error
