"""Segments: stretches of bars that no window, outcome or trade leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.device import Array, array_module, move, require_array, to_host

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY
FRIDAY_EVENING = DAY + 20 * HOUR  # 1970-01-01 was a Thursday
WEEKEND = 53 * HOUR
HOLIDAYS = 10 * DAY


def segments(timestamp: Array, *, bar_seconds: int) -> Array:
    """Number the segments of a series of bars.

    Parameters
    ----------
    timestamp : int64[n]
        Starts of the bars, microseconds since 1970 in UTC, strictly rising.
    bar_seconds : int
        Length of a bar, seconds.

    Returns
    -------
    int32[n]
        0 for the first segment, rising by one at each edge.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape, timestamps that do not rise, or bars without length.

    Notes
    -----
    A segment ends before a gap that misses more than 12 bars or 4 hours, whichever is longer.
    Friday 20:00 to Monday 01:00 UTC and 24 December to 2 January do not count as missed.
    """
    require_array("timestamp", timestamp, "int64", (None,))
    if bar_seconds <= 0:
        raise ValueError(f"bar_seconds must be positive, not {bar_seconds}")
    start = to_host(timestamp)
    if bool((start[1:] <= start[:-1]).any()):
        raise ValueError("timestamp must rise strictly; sort the bars and drop duplicates")
    numbers = np.zeros(len(start), np.int32)
    if len(start) > 1:
        bar = bar_seconds * SECOND
        missed = start[1:] - start[:-1] - bar
        missed -= _closed_between(start[:-1] + bar, start[1:])
        np.cumsum(missed > max(12 * bar, 4 * HOUR), out=numbers[1:])
    return move(numbers, array_module(timestamp))


def _closed_between(since: NDArray[np.int64], until: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scheduled closure between two moments, microseconds; none where bars touch or overlap."""
    opens, closes = _closures(int(since[0]), int(until[-1]))
    before = np.concatenate(([0], np.cumsum(closes - opens)))

    def closed_until(moment: NDArray[np.int64]) -> NDArray[np.int64]:
        i = np.searchsorted(opens, moment, side="right") - 1
        return before[i] + np.minimum(moment, closes[i]) - opens[i]

    return np.where(until > since, closed_until(until) - closed_until(since), 0)


def _closures(first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Disjoint closures, sorted, from one that begins before `first` to past `last`."""
    weeks = np.arange(first // WEEK - 3, last // WEEK + 2) * WEEK + FRIDAY_EVENING
    years = np.arange(first // (365 * DAY) - 2, last // (365 * DAY) + 2).astype("M8[Y]")
    december = years.astype("M8[M]") + np.timedelta64(11, "M")
    eves = december.astype("M8[us]").astype(np.int64) + 23 * DAY
    opens = np.concatenate((weeks, eves))
    order = np.argsort(opens, kind="stable")
    closes = np.concatenate((weeks + WEEKEND, eves + HOLIDAYS))[order]
    # a weekend within the holidays must not count twice
    opens, reached = opens[order], np.maximum.accumulate(closes)
    first_of = np.concatenate(([True], opens[1:] > reached[:-1]))
    last_of = np.concatenate((first_of[1:], [True]))
    return opens[first_of], reached[last_of]
