"""The hours of the forex market, in numbers: no data of time zones is needed."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]

_DAY, _WEEK = 24, 168
_HOUR = 3_600_000_000
_CLOSE = 17
"""Trading days end at this hour in New York."""


def is_open(time: Ints) -> NDArray[np.bool_]:
    """Return whether the market is surely open: Sunday 17:00 to Friday 17:00, New York.

    Closed are the holidays 25 December and 1 January, from 13:00 of the last working day before
    to 19:00 of the day after.

    Parameters
    ----------
    time : int64[n]
        Microseconds since 1970, UTC.
    """
    local = new_york(time) // _HOUR
    # 1970-01-01 was a Thursday: hour 72 of that week is Sunday 00:00
    of_week = (local - 3 * _DAY) % _WEEK
    in_week = (of_week >= _CLOSE) & (of_week < 5 * _DAY + _CLOSE)
    return np.asarray(in_week & ~_holiday(local))


def new_york(time: Ints) -> Ints:
    """Return the time of New York's clock, by the rule in force since 2007."""
    years = time.astype("datetime64[us]").astype("datetime64[Y]")
    first, last = (_sunday(years, month, nth) for month, nth in ((2, 2), (10, 1)))
    summer = (time >= first + 7 * _HOUR) & (time < last + 6 * _HOUR)
    return np.asarray(time - np.where(summer, 4, 5) * _HOUR)


def _sunday(years: NDArray[np.datetime64], month: int, nth: int) -> Ints:
    """Return midnight (UTC) of the nth Sunday of a month, 0 being January."""
    start = (
        (years.astype("datetime64[M]") + np.timedelta64(month, "M"))
        .astype("datetime64[D]")
        .astype(np.int64)
    )
    return (start + (3 - start) % 7 + 7 * (nth - 1)) * _DAY * _HOUR


def _holiday(local: Ints) -> NDArray[np.bool_]:
    closed = np.zeros(len(local), np.bool_)
    years = np.unique((local // _DAY).astype("datetime64[D]").astype("datetime64[Y]"))
    for year in (*years, years[-1] + np.timedelta64(1, "Y")):
        for month, day in ((0, 1), (11, 25)):
            date = (year.astype("datetime64[M]") + np.timedelta64(month, "M")).astype(
                "datetime64[D]"
            )
            date += np.timedelta64(day - 1, "D")
            eve = np.busday_offset(date, -1, roll="forward").astype(np.int64) * _DAY + 13
            morrow = (date.astype(np.int64) + 1) * _DAY + 19
            closed |= (local >= eve) & (local < morrow)
    return closed
