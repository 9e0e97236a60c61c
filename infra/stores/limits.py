"""Rate limits that all processes keep together: through Valkey, without it each by itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock
from typing import Final

from infra.stores import cache

# The next free time of a name, in microseconds of the server's clock. Where that clock was set
# back, what it says of a far future counts no more.
_RESERVE: Final = """
local time, apart = redis.call('TIME'), tonumber(ARGV[1])
local now = time[1] * 1000000 + time[2]
local free = tonumber(redis.call('GET', KEYS[1]) or 0)
if free < now or free > now + tonumber(ARGV[2]) then free = now end
local following = string.format('%.0f', free + apart)
redis.call('SET', KEYS[1], following, 'PX', math.ceil((free + apart - now) / 1000) + 1)
return free - now
"""
_LONGEST: Final = 600  # seconds: no queue of callers is longer

_next: dict[str, float] = {}
_lock = Lock()


@dataclass(frozen=True)
class RateLimit:
    """At most `rate` calls a second under a name, evenly spaced, over all processes.

    Parameters
    ----------
    name : str
        What is called, such as `oanda`.
    rate : float
        Calls a second.

    Notes
    -----
    A process keeps to the rate by itself, too, so that losing Valkey never lifts the limit.
    """

    name: str
    rate: float

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate must be above 0 calls a second, not {self.rate}")

    def wait(self) -> None:
        """Sleep until the next call may be made; it counts as made."""
        apart = 1 / self.rate
        key = f"{cache.PREFIX}rate:{self.name}"
        arguments = (round(apart * 1e6), _LONGEST * 1_000_000)
        shared = cache.ask(lambda valkey: valkey.eval(_RESERVE, 1, key, *map(str, arguments)))
        time.sleep(_turn(self.name, apart, int(shared or 0) / 1e6))


def _turn(name: str, apart: float, wait: float) -> float:
    """Take this process's next turn, no sooner than `wait` from now; seconds until then."""
    with _lock:
        now = time.monotonic()
        turn = max(now + wait, _next.get(name, now))
        _next[name] = turn + apart
    return turn - now
