"""Hours of the clock, written 08:00-17:00; 22:00-06:00 goes over midnight."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

DAY: Final = 1440
"""Minutes."""

_SPAN: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


def minutes(hours: Iterable[str]) -> frozenset[int]:
    """Return the minutes of the day that lie in any of these hours.

    Raises
    ------
    ValueError
        If one is not written so.
    """
    return frozenset(minute for span in hours for minute in _minutes(span))


def both(hours: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Return the hours that lie in both.

    Parameters
    ----------
    hours, others : iterable of str

    Raises
    ------
    ValueError
        If they have no minute in common.
    """
    common = minutes(hours) & minutes(others)
    if not common:
        raise ValueError(f"{', '.join(hours)} and {', '.join(others)} have no minute in common")
    starts = sorted(m for m in common if m - 1 not in common)
    ends = sorted(m + 1 for m in common if m + 1 not in common)
    return tuple(f"{_clock(s)}-{_clock(e)}" for s, e in zip(starts, ends, strict=True))


def _minutes(span: str) -> list[int]:
    match = _SPAN.fullmatch(span)
    start, end = (_minute(*match.group(i, i + 1)) for i in (1, 3)) if match else (-1, -1)
    if -1 in (start, end) or start in (DAY, end):
        raise ValueError(f"{span[:40]!r} is no span of hours, such as 08:00-17:00")
    return [minute % DAY for minute in range(start, end if end > start else end + DAY)]


def _minute(hour: str, minute: str) -> int:
    whole = int(hour) * 60 + int(minute)
    return whole if int(minute) < 60 and whole <= DAY else -1


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
