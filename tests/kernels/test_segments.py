from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from kernels.device import array_module, to_host
from kernels.segments import bars_left, segments
from tests import naive

MINUTE, HOUR = 60, 3600


def stamps(*moments: str) -> np.ndarray:
    parsed = [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in moments]
    return np.array([int(moment.timestamp()) * 1_000_000 for moment in parsed], np.int64)


def closures_of(is_closed: Callable[[datetime], bool], timestamp: np.ndarray) -> Any:
    """The closures that a rule makes in a series, hour by hour, a few days around it included."""
    hours = np.arange(timestamp[0] // 3_600_000_000 - 99, timestamp[-1] // 3_600_000_000 + 99)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    closed = [is_closed(epoch + timedelta(hours=int(hour))) for hour in hours]
    change = np.flatnonzero(np.diff(np.array([False, *closed, False]).astype(np.int8)))
    edges = (hours[0] + change) * 3_600_000_000
    return edges[::2], edges[1::2]


RULES = [naive.is_scheduled_closure, naive.is_forex_closure, naive.is_never_closed]


@pytest.mark.parametrize(
    ("before", "after", "bar_seconds", "parts"),
    [
        ("2024-03-05 10:00", "2024-03-05 14:01", MINUTE, False),  # 240 minutes missed
        ("2024-03-05 10:00", "2024-03-05 14:02", MINUTE, True),
        ("2024-03-05 10:00", "2024-03-05 23:00", HOUR, False),  # 12 bars missed
        ("2024-03-05 10:00", "2024-03-06 00:00", HOUR, True),
        ("2024-03-08 19:59", "2024-03-11 01:00", MINUTE, False),  # a weekend
        ("2024-03-08 18:00", "2024-03-11 03:01", MINUTE, False),  # and 119 + 121 minutes
        ("2024-03-08 18:00", "2024-03-11 03:02", MINUTE, True),
        ("2024-12-23 23:59", "2025-01-03 00:00", MINUTE, False),  # the holidays
        ("2024-12-23 20:00", "2025-01-03 01:00", MINUTE, True),
        ("2021-12-31 12:00", "2022-01-03 01:00", MINUTE, False),  # holidays into a weekend
        ("2020-12-23 23:59", "2020-12-28 03:00", MINUTE, False),  # a weekend inside the holidays
        ("2023-12-29 10:00", "2024-01-02 22:00", MINUTE, False),
        ("2024-03-09 10:00", "2024-03-10 22:00", MINUTE, False),  # wholly inside a weekend
    ],
)
def test_edges(before: str, after: str, bar_seconds: int, parts: bool) -> None:
    timestamp = stamps(before, after)
    computed = segments(timestamp, bar_seconds=bar_seconds)
    np.testing.assert_array_equal(computed, [0, int(parts)])
    np.testing.assert_array_equal(naive.segments(timestamp, bar_seconds), computed)


@pytest.mark.parametrize(
    ("before", "after", "is_closed", "parts"),
    [
        ("2024-03-08 21:59", "2024-03-10 21:00", naive.is_forex_closure, False),  # a weekend
        ("2024-03-08 21:59", "2024-03-11 01:00", naive.is_forex_closure, False),  # and 4 hours
        ("2024-03-08 21:59", "2024-03-11 01:01", naive.is_forex_closure, True),
        ("2024-12-24 17:59", "2024-12-27 00:00", naive.is_forex_closure, False),  # Christmas
        ("2024-12-24 17:59", "2024-12-27 04:01", naive.is_forex_closure, True),
        ("2021-12-24 17:59", "2021-12-27 00:00", naive.is_forex_closure, False),  # on a Saturday
        ("2024-12-27 00:00", "2024-12-27 04:02", naive.is_forex_closure, True),  # before new year
        ("2024-03-08 21:59", "2024-03-10 22:00", naive.is_never_closed, True),
        ("2024-03-09 00:00", "2024-03-09 04:01", naive.is_never_closed, False),
        ("2024-12-25 00:00", "2024-12-25 04:02", naive.is_never_closed, True),
    ],
)
def test_edges_with_other_closures(before: str, after: str, is_closed: Any, parts: bool) -> None:
    timestamp = stamps(before, after)
    computed = segments(timestamp, bar_seconds=60, closures=closures_of(is_closed, timestamp))
    np.testing.assert_array_equal(computed, [0, int(parts)])
    np.testing.assert_array_equal(naive.segments(timestamp, 60, is_closed), computed)


@pytest.mark.parametrize("is_closed", RULES)
@pytest.mark.parametrize("bar_seconds", [MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 24 * HOUR])
def test_random_gaps_match_the_reference(
    bar_seconds: int, is_closed: Callable[[datetime], bool]
) -> None:
    rng = np.random.default_rng(bar_seconds)
    bars = 1 + rng.integers(0, 2, 40) * rng.integers(0, 20 + 4000 * MINUTE // bar_seconds, 40)
    first = stamps("2019-12-16 00:00")[0]
    timestamp = first + np.cumsum(bars) * bar_seconds * 1_000_000
    reference = naive.segments(timestamp, bar_seconds, is_closed)
    closures = closures_of(is_closed, timestamp)
    computed = segments(timestamp, bar_seconds=bar_seconds, closures=closures)
    assert computed.dtype == np.int32
    np.testing.assert_array_equal(computed, reference)
    if is_closed is naive.is_scheduled_closure:
        usual = segments(timestamp, bar_seconds=bar_seconds)
        np.testing.assert_array_equal(usual, reference)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_short_series(n: int, engine: str, native: object) -> None:
    assert callable(native)
    timestamp = native(np.arange(n, dtype=np.int64) * 60_000_000)
    computed = segments(timestamp, bar_seconds=60)
    assert array_module(computed) is array_module(timestamp)
    np.testing.assert_array_equal(to_host(computed), np.zeros(n, np.int32))


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="timestamp must rise strictly"):
        segments(np.array([1, 1]), bar_seconds=60)
    with pytest.raises(ValueError, match="bar_seconds must be positive, not 0"):
        segments(np.array([1, 2]), bar_seconds=0)
    with pytest.raises(TypeError, match="timestamp must be int64, not float64"):
        segments(np.array([1.0]), bar_seconds=60)


@pytest.mark.parametrize(
    ("opens", "closes", "error"),
    [
        ([0, 5], [6, 9], "ascend and be disjoint"),
        ([7, 0], [9, 5], "ascend and be disjoint"),
        ([5], [0], "ascend and be disjoint"),
        ([0, 5], [6], "must have shape"),
    ],
)
def test_bad_closures_are_named(opens: list[int], closes: list[int], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        segments(np.array([1, 2]), bar_seconds=60, closures=(np.array(opens), np.array(closes)))


@pytest.mark.parametrize("n", [0, 1, 2, 64, 200])
def test_bars_left_in_a_segment(native: Callable[[Any], Any], n: int) -> None:
    numbers = np.cumsum(np.random.default_rng(n).random(n) < 0.1).astype(np.int32)
    expected = [int((numbers[t + 1 :] == numbers[t]).sum()) for t in range(n)]
    assert to_host(bars_left(native(numbers))).tolist() == expected
