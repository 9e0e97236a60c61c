"""Timeframes: how long a bar is."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Literal, TypeAlias

Timeframe: TypeAlias = Literal["M1", "M5", "M15", "M30", "H1", "H4", "D1"]
"""Names of timeframes, for schemas; the same as the keys of `TIMEFRAMES`."""

TIMEFRAMES: dict[str, int] = {
    "M1": 60,
    "M5": 300,
    "M15": 900,
    "M30": 1800,
    "H1": 3600,
    "H4": 14400,
    "D1": 86400,
}
"""Seconds of one bar."""


def bar_seconds(timeframe: str) -> int:
    """Return the seconds of one bar.

    Raises
    ------
    ValueError
        If the timeframe is not known; the message lists those that are.
    """
    if timeframe not in TIMEFRAMES:
        raise ValueError(f"timeframe must be one of {', '.join(TIMEFRAMES)}, not {timeframe!r}")
    return TIMEFRAMES[timeframe]


@cache
def bar_length(timeframe: str) -> timedelta:
    """Return the length of one bar."""
    return timedelta(seconds=bar_seconds(timeframe))
