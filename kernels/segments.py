"""Segments: stretches of bars without an unscheduled hole, which no window leaves."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.device import Array, array_module, move, require_array, to_host

Ints: TypeAlias = NDArray[np.int64]
Spans: TypeAlias = tuple[Ints, Ints]

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY
FRIDAY_EVENING = DAY + 20 * HOUR  # 1970-01-01 was a Thursday
WEEKEND = 53 * HOUR
HOLIDAYS = 10 * DAY


def segments(timestamp: Array, *, bar_seconds: int, closures: Spans | None = None) -> Array:
    """Number the segments of a series of bars.

    Parameters
    ----------
    timestamp : int64[n]
        Starts of the bars, microseconds since 1970 in UTC, strictly rising.
    bar_seconds : int
        Length of a bar, seconds.
    closures : tuple of int64[m], optional
        Scheduled closures, from and to (exclusive), microseconds since 1970 in UTC: ascending and
        disjoint, all that touch the series. By default those of the notes.

    Returns
    -------
    int32[n]
        0 for the first segment, rising by one at each edge.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape, timestamps that do not rise, bars without length, or closures
        that overlap or do not ascend.

    Notes
    -----
    A segment ends before a gap that misses more than 12 bars or 4 hours, whichever is longer.
    Closures do not count as missed; where none are given, these are Friday 20:00 to Monday 01:00
    UTC and 24 December to 2 January.
    """
    require_array("timestamp", timestamp, "int64", (None,))
    if bar_seconds <= 0:
        raise ValueError(f"bar_seconds must be positive, not {bar_seconds}")
    if closures is not None:
        _require_spans(closures)
    start = to_host(timestamp)
    if bool((start[1:] <= start[:-1]).any()):
        raise ValueError("timestamp must rise strictly; sort the bars and drop duplicates")
    numbers = np.zeros(len(start), np.int32)
    if len(start) > 1:
        bar = bar_seconds * SECOND
        missed = start[1:] - start[:-1] - bar
        closed = closures or _usual_closures(int(start[0]), int(start[-1]))
        missed -= _closed_between(start[:-1] + bar, start[1:], closed)
        np.cumsum(missed > max(12 * bar, 4 * HOUR), out=numbers[1:])
    return move(numbers, array_module(timestamp))


def bars_left(segments: Array) -> Array:
    """Return how many bars come after each in its segment: int64[n].

    Parameters
    ----------
    segments : int32[n]
        Segment of each bar, never decreasing.
    """
    xp = array_module(segments)
    # the last place for a bar's number is where its segment ends
    ends = xp.searchsorted(segments, segments, side="right")
    return ends - 1 - xp.arange(len(segments))


def _closed_between(since: Ints, until: Ints, closures: Spans) -> Ints:
    """Scheduled closure between two moments, microseconds; none where bars touch or overlap."""
    opens, closes = closures
    before = np.concatenate(([0], np.cumsum(closes - opens)))
    reached = np.concatenate(([np.iinfo(np.int64).min], closes))

    def closed_until(moment: Ints) -> Ints:
        begun = np.searchsorted(opens, moment, side="right")
        to_come = np.maximum(reached[begun], moment) - moment
        return before[begun] - to_come

    return np.where(until > since, closed_until(until) - closed_until(since), 0)


def _require_spans(closures: Spans) -> None:
    opens, closes = closures
    require_array("closures[0]", opens, "int64", (None,))
    require_array("closures[1]", closes, "int64", (len(opens),))
    edges = np.stack((opens, closes), axis=1).ravel()
    if bool((edges[1:] < edges[:-1]).any()):
        raise ValueError("closures must ascend and be disjoint")


def _usual_closures(first: int, last: int) -> Spans:
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
