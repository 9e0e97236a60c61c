"""The clock that trading goes by: the wall's, or one that a replay or a test sets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how long something took."""

    def now(self) -> datetime:
        """Return the time of day, in UTC; it may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some moment; they never run backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True)
class WallClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass
class VirtualClock:
    """A clock that stands still until it is told.

    Attributes
    ----------
    moment : datetime
        In UTC.
    elapsed : float
        Seconds that were slept or advanced: the monotonic time, which `step` leaves alone.
    stepped : timedelta
        How far it was set, in all.
    """

    moment: datetime
    elapsed: float = field(default=0.0)
    stepped: timedelta = field(default=timedelta(0))

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self.moment

    def monotonic(self) -> float:
        """Return the seconds that passed."""
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.advance(timedelta(seconds=max(seconds, 0.0)))

    def advance(self, length: timedelta) -> None:
        """Let time pass."""
        self.moment += length
        self.elapsed += length.total_seconds()

    def step(self, length: timedelta) -> None:
        """Set the clock forward or back, as an administrator or NTP does: no time passes."""
        self.moment += length
        self.stepped += length

    def shared(self) -> datetime:
        """Return what a clock that nobody set would say, such as the database's on another host."""
        return self.moment - self.stepped
