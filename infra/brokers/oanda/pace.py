"""How fast OANDA is asked: a few requests at once, then so many a second."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from infra.clock import Clock

RATE: Final = 40.0
"""Requests a second: with those for candles below the venue's best practice of 100."""

BURST: Final = 20


@dataclass
class Pace:
    """A bucket that holds `burst` requests and fills at `rate` a second.

    Attributes
    ----------
    clock : Clock
    rate : float
    burst : int
    """

    clock: Clock
    rate: float = RATE
    burst: int = BURST
    _full: float = field(default=float("-inf"), repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def wait(self) -> None:
        """Sleep until the next request may be made; it counts as made."""
        self.clock.sleep(self._turn())

    def _turn(self) -> float:
        """Take a request out of the bucket; seconds until it is there."""
        with self._lock:
            now = self.clock.monotonic()
            self._full = max(self._full, now) + 1 / self.rate
            return max(0.0, self._full - now - self.burst / self.rate)
