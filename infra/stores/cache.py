"""The cache: Valkey through redis-py. Losing it loses nothing, and everything runs without it.

An outage is told once when it begins and once when it is over, not at every call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.settings import settings
from infra.site import site

T = TypeVar("T")

PREFIX: Final = "sep:"
"""Begins every key, so that a server may be shared with others."""

_TIMEOUT = 0.5  # seconds: a cache that keeps one waiting is worse than none
_PAUSE = 5.0  # seconds in which a cache that kept one waiting is left alone

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Memory:
    """What a cache holds and may hold.

    Attributes
    ----------
    used, limit : int
        Bytes; a limit of 0 is none.
    policy : str
        What it does when full, such as `allkeys-lru`.
    """

    used: int
    limit: int
    policy: str

    @property
    def bounded(self) -> bool:
        """Whether it makes room by itself and never takes more than its limit."""
        return self.limit > 0 and self.policy != "noeviction"


@dataclass
class _Outage:
    """Whether the cache answers, as this process last saw it."""

    began: float | None = None
    pause_until: float = 0.0
    refusals: set[str] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)

    def begin(self, reason: object, *, pause: float = 0.0) -> None:
        with self.lock:
            self.pause_until = time.monotonic() + pause
            if self.began is None:
                self.began = time.monotonic()
                logger.warning("Valkey does not answer, going on without it: %s", reason)

    def end(self) -> None:
        if self.began is None:
            return
        with self.lock:
            if self.began is not None:
                seconds = time.monotonic() - self.began
                self.began, self.pause_until = None, 0.0
                logger.warning("Valkey answers again after %.1f s", seconds)

    def refused(self, error: redis.ResponseError) -> None:
        """Tell each kind of refusal once: a full server refuses writes for hours."""
        kind = type(error).__name__
        with self.lock:
            if kind not in self.refusals:
                self.refusals.add(kind)
                logger.warning("Valkey refuses, going on without it: %s", error)


def client() -> redis.Redis | None:
    """Return a client of the configured or embedded Valkey, None where there is none."""
    address = _address()
    return _client(address) if address else None


def ask(question: Callable[[redis.Redis], T]) -> T | None:
    """Put a question to the cache.

    Parameters
    ----------
    question : callable
        Takes the client; may be put twice where a connection broke.

    Returns
    -------
    object or None
        The answer; None where there is no cache, or it does not answer or refuses.
    """
    present, outage = client(), _outage(_place())
    if present is None:
        if site().had_cache():
            outage.begin("the embedded server ended; `sep up` starts it")
        return None
    if time.monotonic() < outage.pause_until:
        return None
    try:
        answer = question(present)
    except redis.ResponseError as error:
        outage.refused(error)
        return None
    except redis.TimeoutError as error:
        outage.begin(error, pause=_PAUSE)
        return None
    except redis.RedisError as error:
        outage.begin(error)
        return None
    outage.end()
    return answer


def remember(key: str, value: bytes, *, seconds: float) -> bool:
    """Keep a value for a while; whether it is kept now.

    Parameters
    ----------
    key : str
        Such as `metrics:EUR_USD:M1`; it is kept under `PREFIX`.
    value : bytes
        What to keep.
    seconds : float
        How long at most.
    """
    lifetime = max(1, round(seconds * 1000))
    return bool(ask(lambda valkey: valkey.set(PREFIX + key, value, px=lifetime)))


def recall(key: str) -> bytes | None:
    """Return what was kept under a key; None if nothing is, or no cache answers."""
    value = ask(lambda valkey: valkey.get(PREFIX + key))
    return value if isinstance(value, bytes) else None


def memory() -> Memory | None:
    """Return what the cache holds and its bounds; None where none answers."""
    info = ask(lambda valkey: valkey.info("memory"))
    if not isinstance(info, dict):
        return None
    return Memory(info["used_memory"], info["maxmemory"], info["maxmemory_policy"])


def _address() -> str | None:
    return site().cache_url()


def _place() -> str:
    """Return what stays the same while a server comes and goes."""
    configured = settings().valkey_url
    return configured.get_secret_value() if configured else str(settings().home)


@lru_cache(maxsize=4)
def _client(address: str) -> redis.Redis:
    once_more = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return redis.Redis.from_url(
        address, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=once_more
    )


@lru_cache(maxsize=4)
def _outage(place: str) -> _Outage:
    return _Outage()
