"""The hot state in Valkey: losing it loses nothing, and everything runs without it."""

from __future__ import annotations

import logging
from functools import lru_cache

import redis

from infra.servers import valkey
from infra.settings import settings

_TIMEOUT = 0.5  # seconds: a cache that keeps one waiting is worse than none

logger = logging.getLogger(__name__)


def client() -> redis.Redis | None:
    """Return a client of the configured or embedded Valkey, None where there is none."""
    configured = settings().valkey_url
    address = configured.get_secret_value() if configured else valkey.find(settings().home)
    return _client(address) if address else None


def remember(key: str, value: bytes, *, seconds: float) -> bool:
    """Keep a value for a while; whether it is kept now.

    Parameters
    ----------
    key : str
        Such as `window:EUR_USD:M1`.
    value : bytes
        What to keep.
    seconds : float
        How long at most.
    """
    valkey_client = client()
    if valkey_client is None:
        return False
    try:
        return bool(valkey_client.set(key, value, px=max(1, round(seconds * 1000))))
    except redis.RedisError as error:
        logger.warning("the cache does not answer, going on without: %s", error)
        return False


def recall(key: str) -> bytes | None:
    """Return what was kept under a key; None if nothing is, or no cache answers."""
    valkey_client = client()
    if valkey_client is None:
        return None
    try:
        value = valkey_client.get(key)
    except redis.RedisError as error:
        logger.warning("the cache does not answer, going on without: %s", error)
        return None
    return value if isinstance(value, bytes) else None


@lru_cache(maxsize=4)
def _client(address: str) -> redis.Redis:
    return redis.Redis.from_url(address, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)
