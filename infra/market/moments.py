"""The market's time at single moments: what `Calendar` says of series, quick enough for one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from infra.market.calendar import Calendar

_NOTHING: Final = timedelta(0)
_YEAR: Final = timedelta(days=365)
_SHARE: Final = 2
"""A market is open at least half of a year."""


class _Sessions(NamedTuple):
    opens: Sequence[datetime]
    closes: Sequence[datetime]
    before: Sequence[timedelta]
    """Open time of all sessions before each."""


def is_open(calendar: Calendar, at: datetime, *, surely: bool = True) -> bool:
    """Return whether the market is open at a moment.

    Parameters
    ----------
    calendar : Calendar
    at : datetime
        With a zone.
    surely : bool
        Leave out the hours around holidays in which only some venues trade.
    """
    sessions = _sessions(calendar, at.year, at.year, surely)
    place = bisect_right(sessions.opens, at) - 1
    return at < sessions.closes[place]


def open_time(
    calendar: Calendar, start: datetime, end: datetime, *, surely: bool = True
) -> timedelta:
    """Return how long the market is open between two moments; no time if end <= start.

    Parameters
    ----------
    calendar : Calendar
    start, end : datetime
        With a zone.
    surely : bool
        Leave out the hours around holidays in which only some venues trade.
    """
    if end <= start:
        return _NOTHING
    sessions = _sessions(calendar, start.year, end.year, surely)
    return _open_until(sessions, end) - _open_until(sessions, start)


def after(calendar: Calendar, start: datetime, length: timedelta) -> datetime:
    """Return the first moment at which the market has been surely open for so long.

    Parameters
    ----------
    calendar : Calendar
    start : datetime
        With a zone.
    length : timedelta
        Above zero.
    """
    last = (start + _SHARE * length + _YEAR).year
    sessions = _sessions(calendar, start.year, last, True)
    wanted = _open_until(sessions, start) + length
    place = bisect_right(sessions.before, wanted - timedelta.resolution) - 1
    return sessions.opens[place] + (wanted - sessions.before[place])


def next_open(calendar: Calendar, at: datetime) -> datetime:
    """Return the moment itself if the market is surely open then, else when it opens next.

    Parameters
    ----------
    calendar : Calendar
    at : datetime
        With a zone.
    """
    sessions = _sessions(calendar, at.year, at.year, True)
    place = bisect_right(sessions.closes, at)
    return max(at, sessions.opens[place])


def _open_until(sessions: _Sessions, at: datetime) -> timedelta:
    place = bisect_right(sessions.opens, at) - 1
    return sessions.before[place] + (min(at, sessions.closes[place]) - sessions.opens[place])


@lru_cache(maxsize=256)
def _sessions(calendar: Calendar, first: int, last: int, surely: bool) -> _Sessions:
    """Sessions from before a year to past another: a month is longer than any closure."""
    start = datetime(first, 1, 1, tzinfo=UTC) - timedelta(days=31)
    end = datetime(last + 1, 1, 1, tzinfo=UTC) + timedelta(days=31)
    spans = calendar.sessions(start, end, surely=surely)
    opens, closes = (spans[name].to_list() for name in ("opens", "closes"))
    before, total = [], _NOTHING
    for begun, over in zip(opens, closes, strict=True):
        before.append(total)
        total += over - begun
    return _Sessions(opens, closes, before)
