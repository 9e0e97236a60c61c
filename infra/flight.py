"""One call at a time over all processes: who asks while it is under way gets its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from infra import cache

_JOIN: Final = """
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and ARGV[1]
    or redis.call('GET', KEYS[1])
"""
_LAND: Final = """
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
_LINGER: Final = 10_000  # milliseconds in which those who wait fetch the result
_LOOK: Final = 0.02  # seconds between two looks
_GOOD, _BAD = b"+", b"-"


class FlightError(RuntimeError):
    """The call failed in the process that made it; the message says how."""


def once(name: str, call: Callable[[], bytes], *, seconds: float = 30.0) -> bytes:
    """Make a call, or wait for the one that another process is making just now.

    Parameters
    ----------
    name : str
        What is asked, whole: calls of one name have one answer.
    call : callable
        Makes the call.
    seconds : float
        Longest time it takes: after that its process counts as dead and another one calls.

    Returns
    -------
    bytes
        What the call returned, here or elsewhere. It is kept for nobody who asks later.

    Raises
    ------
    FlightError
        If another process made the call and it raised. Here, what it raises is raised.

    Notes
    -----
    Where Valkey is away the call is just made.
    """
    lock, mine = f"{cache.PREFIX}flight:{name}", uuid4().hex.encode()
    lifetime = str(max(1, round(seconds * 1000)))
    while True:
        holder = cache.ask(lambda valkey: valkey.eval(_JOIN, 1, lock, mine, lifetime))
        if holder == mine:
            return _lead(lock, mine, call)
        if not isinstance(holder, bytes):
            return call()
        answer = _follow(lock, holder)
        if answer is not None:
            return _unwrapped(name, answer)


def _lead(lock: str, mine: bytes, call: Callable[[], bytes]) -> bytes:
    answer = b""  # what is no Exception, such as Ctrl-C, leaves no answer: another one calls
    try:
        result = call()
        answer = _GOOD + result
    except Exception as error:
        answer = _BAD + f"{type(error).__name__}: {error}".encode()
        raise
    finally:
        keys, values = (lock, _result(lock, mine)), (mine, answer, str(_LINGER))
        cache.ask(lambda valkey: valkey.eval(_LAND, 2, *keys, *values))
    return result


def _follow(lock: str, holder: bytes) -> bytes | None:
    """Wait for the answer of a holder; None if it ends without one."""
    while True:
        found = cache.ask(lambda valkey: valkey.mget(_result(lock, holder), lock))
        answer, present = found if isinstance(found, list) else (None, None)
        if isinstance(answer, bytes):
            return answer
        if present != holder:
            return None
        time.sleep(_LOOK)


def _result(lock: str, holder: bytes) -> str:
    return f"{lock}:{holder.decode()}"


def _unwrapped(name: str, answer: bytes) -> bytes:
    if answer[:1] == _GOOD:
        return answer[1:]
    raise FlightError(f"{name} failed in another process: {answer[1:].decode()}")
