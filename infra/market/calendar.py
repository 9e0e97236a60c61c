"""The session calendar: when a venue trades, so that a gap is known to be scheduled or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.bars import TIME
from infra.market.days import NEW_YORK
from infra.market.timeframes import bar_seconds
from infra.market.week import CLOSE, DAY, LEAST_WEEKS, WEEK, Week, weeks_of

EARLY_CLOSE: Final = 13 * 60
LATE_OPEN: Final = 19 * 60
"""Around a holiday venues close early, from 13:00 of the last working day before it, and open
late, until 19:00 of the day after it (New York; midnight UTC): seen in four venues of 2012-2018."""

HOLIDAYS: Final = ((1, 1), (12, 25))


_MINUTE, _HOUR = 60_000_000, 3600

Ints = NDArray[np.int64]
Spans = tuple[Ints, Ints]


@dataclass(frozen=True)
class Calendar:
    """When a venue trades: its week, less the holidays of the market.

    Attributes
    ----------
    week : Week
    holidays : tuple of (int, int)
        Month and day. Closed is the trading day, 17:00 to 17:00 New York. Whether a venue is open
        in the hours around it (`EARLY_CLOSE`, `LATE_OPEN`) is not known: `surely` leaves them out.
    """

    week: Week
    holidays: tuple[tuple[int, int], ...] = HOLIDAYS

    @classmethod
    def of(cls, timestamps: pl.Series, timeframe: str) -> Calendar:
        """Return the calendar that a history seems to follow; the forex week where it is short.

        A venue that never closes has no holidays. See `Week.observed`: not for signals.

        Parameters
        ----------
        timestamps : polars.Series
            Starts of the bars, UTC, ascending.
        timeframe : str
        """
        if weeks_of(timestamps) < LEAST_WEEKS:
            return cls(Week.forex())
        week = Week.observed(timestamps, timeframe)
        return cls(week, () if week.minutes == WEEK else HOLIDAYS)

    def sessions(self, start: datetime, end: datetime, *, surely: bool = True) -> pl.DataFrame:
        """Return the stretches of open time that touch a span of time.

        Parameters
        ----------
        start, end : datetime
            With a zone.
        surely : bool
            Leave out the hours around holidays in which only some venues trade.

        Returns
        -------
        polars.DataFrame
            `opens`, `closes` (exclusive), UTC, ascending and disjoint.
        """
        opens, closes = self._spans(_micros(start), _micros(end), surely=surely)
        touching = (closes > _micros(start)) & (opens < _micros(end))
        return pl.DataFrame({"opens": opens[touching], "closes": closes[touching]}).cast(TIME)

    def closures(self, start: datetime, end: datetime, *, surely: bool = True) -> pl.DataFrame:
        """Return the stretches between sessions that touch a span of time.

        Parameters
        ----------
        start, end : datetime
            With a zone.
        surely : bool
            Count as closed the hours around holidays in which only some venues trade.

        Returns
        -------
        polars.DataFrame
            `closes`, `opens` (exclusive), UTC, ascending and disjoint.
        """
        opens, closes = self._spans(_micros(start), _micros(end), surely=surely)
        closes, opens = closes[:-1], opens[1:]
        touching = (opens > _micros(start)) & (closes < _micros(end))
        return pl.DataFrame({"closes": closes[touching], "opens": opens[touching]}).cast(TIME)

    def open_time(self, start: pl.Series, end: pl.Series, *, surely: bool = True) -> pl.Series:
        """Return how long the venue is open between two moments, row by row: Duration.

        Parameters
        ----------
        start, end : polars.Series
            Datetime with a zone, equally long; no time if end <= start.
        surely : bool
            Leave out the hours around holidays in which only some venues trade.
        """
        since, until = _whole(start), _whole(end)
        return pl.Series(self._open_time(since, until, surely=surely)).cast(pl.Duration("us"))

    def is_open(self, timestamps: pl.Series, *, surely: bool = True) -> pl.Series:
        """Return whether the venue is open at each moment: Boolean.

        Parameters
        ----------
        timestamps : polars.Series
            Datetime with a zone.
        surely : bool
            Leave out the hours around holidays in which only some venues trade.
        """
        moment = _whole(timestamps)
        return pl.Series(self._open_time(moment, moment + 1, surely=surely) > 0)

    def scheduled(self, start: pl.Series, end: pl.Series) -> pl.Series:
        """Return whether each gap, from the end of a bar to the next bar, holds no open time.

        Parameters
        ----------
        start, end : polars.Series
            Datetime with a zone, equally long.
        """
        return pl.Series(self._open_time(_whole(start), _whole(end)) <= 0)

    def expected(self, start: datetime, end: datetime, timeframe: str) -> pl.Series:
        """Return the starts of the bars that ought to be there: UTC, ascending.

        Parameters
        ----------
        start, end : datetime
            With a zone; bars with start <= timestamp < end.
        timeframe : str
            Bars of up to an hour start on UTC's clock, longer ones at the hour the week opens.

        Notes
        -----
        Expected is a bar of which at least half is surely open; with less some venues have one
        and others put its prices into the bar beside it.
        """
        starts = self._grid(_micros(start), _micros(end), bar_seconds(timeframe))
        length = bar_seconds(timeframe) * 1_000_000
        return _stamps(starts[2 * self._open_time(starts, starts + length) >= length])

    def missing_bars(self, timestamps: pl.Series, timeframe: str) -> pl.Series:
        """Return which expected bars between the first and the last of a history are not there.

        Parameters
        ----------
        timestamps : polars.Series
            Starts of the bars, UTC, ascending.
        timeframe : str
            A bar counts as there if one starts within its time.
        """
        expected = self.expected_between(timestamps, timeframe)
        return expected.filter(~filled(expected, timestamps, timeframe))

    def expected_between(self, timestamps: pl.Series, timeframe: str) -> pl.Series:
        """Return the starts of the expected bars from the first to the last of a history.

        Parameters
        ----------
        timestamps : polars.Series
            Starts of the bars, UTC, ascending.
        timeframe : str
        """
        if timestamps.is_empty():
            return _stamps(np.empty(0, np.int64))
        return self.expected(timestamps[0], timestamps[-1] + timedelta(microseconds=1), timeframe)

    def _open_time(self, since: Ints, until: Ints, *, surely: bool = True) -> Ints:
        if not len(since):
            return np.empty(0, np.int64)
        edges = np.concatenate((since, until))
        opens, closes = self._spans(int(edges.min()), int(edges.max()), surely=surely)
        # sums of whole sessions: a moment costs one look-up, however long the span
        before = np.concatenate(([0], np.cumsum(closes - opens)[:-1])) - opens

        def open_until(moment: Ints) -> Ints:
            i = np.searchsorted(opens, moment, side="right") - 1
            minutes: Ints = before[i] + np.minimum(moment, closes[i])
            return minutes

        return np.where(until > since, open_until(until) - open_until(since), 0)

    def _spans(self, first: int, last: int, *, surely: bool) -> Spans:
        """Open time from before `first` to past `last`, microseconds since 1970."""
        monday = _stamps(np.array([first])).dt.convert_time_zone(self.week.zone)[0].date()
        # early enough that a session begins before `first`, whatever holidays close
        monday -= timedelta(days=monday.weekday() + 14)
        weeks = np.arange((last - first) // (WEEK * _MINUTE) + 5) * WEEK
        edges = (np.array(self.week.spans) + weeks[:, None, None]).reshape(-1, 2)
        opens, closes = (_utc(monday, minutes, self.week.zone) for minutes in edges.T)
        return _without((opens, closes), self._closures(first, last, surely=surely))

    def _closures(self, first: int, last: int, *, surely: bool) -> Spans:
        years = [int(_stamps(np.array([edge])).dt.year()[0]) for edge in (first, last)]
        dates = [
            date(year, *day) for year in range(years[0] - 1, years[1] + 2) for day in self.holidays
        ]
        before, after = (_eve, _morrow) if surely else (_day_before, _day_itself)
        closed = np.array([(before(day), after(day)) for day in dates], np.int64).reshape(-1, 2)
        start, end = (_utc(date(1970, 1, 1), minutes, NEW_YORK) for minutes in closed.T)
        return start, end

    def _grid(self, start: int, end: int, seconds: int) -> Ints:
        length = seconds * 1_000_000
        if seconds <= _HOUR:
            # rounded up: no bar before `start`
            return np.arange(-(-start // length) * length, end, length)
        first = _stamps(np.array([start])).dt.convert_time_zone(self.week.zone)[0].date()
        anchor = self.week.opening % DAY // 60 * 60 - 2 * DAY
        steps = np.arange((end - start) // length + 4 * DAY * 60 // seconds)
        # unique: in spring two times of the clock are one moment
        starts = np.unique(_utc(first, anchor + steps * (seconds // 60), self.week.zone))
        return starts[(starts >= start) & (starts < end)]


def filled(expected: pl.Series, timestamps: pl.Series, timeframe: str) -> pl.Series:
    """Return for each expected bar whether a bar starts within its time: Boolean.

    Both series in UTC, ascending.

    Parameters
    ----------
    expected : polars.Series
        Starts of the bars that ought to be there.
    timestamps : polars.Series
        Starts of those that are there.
    timeframe : str
    """
    wanted, there = _whole(expected), _whole(timestamps)
    place = np.searchsorted(there, wanted)
    came = place < len(there)
    came[came] = there[place[came]] - wanted[came] < bar_seconds(timeframe) * 1_000_000
    return pl.Series(came)


def _day_before(day: date) -> int:
    return (day - timedelta(days=1) - date(1970, 1, 1)).days * DAY + CLOSE


def _day_itself(day: date) -> int:
    return _day_before(day) + DAY


def _eve(day: date) -> int:
    working = np.busday_offset(np.datetime64(day), -1, roll="forward")
    return int(working.astype(np.int64)) * DAY + EARLY_CLOSE


def _morrow(day: date) -> int:
    return _day_before(day) - CLOSE + 2 * DAY + LATE_OPEN


def _utc(start: date, minutes: Ints, zone: str) -> Ints:
    """Microseconds since 1970 of minutes on a wall clock, counted from midnight of a date.

    A time that the clock has twice is the first; one that it leaps over, an hour later.
    """
    day = (start - date(1970, 1, 1)).days * DAY
    clock = pl.Series((minutes + day) * _MINUTE).cast(pl.Datetime("us"))
    candidates = [
        wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        for wall in (clock, clock + timedelta(hours=1))
    ]
    return _whole(candidates[0].fill_null(candidates[1]))


def _without(spans: Spans, holes: Spans) -> Spans:
    """Subtract holes from spans; touching spans become one."""
    times = np.concatenate([*spans, *holes])
    counts = [np.repeat([1, -1], len(part[0])) for part in (spans, holes)]
    none = [np.zeros_like(count) for count in counts]
    order = np.argsort(times, kind="stable")
    inside = np.cumsum(np.concatenate([counts[0], none[1]])[order])
    holed = np.cumsum(np.concatenate([none[0], counts[1]])[order])
    times, is_open = times[order], (inside > 0) & (holed == 0)
    # of edges at one time the last tells what holds after all: touching spans become one
    settled = np.append(np.diff(times) > 0, [True])
    times, is_open = times[settled], is_open[settled]
    change = np.flatnonzero(np.diff(is_open.astype(np.int8), prepend=0))
    edges = times[change].reshape(-1, 2)
    return edges[:, 0], edges[:, 1]


def _micros(moment: datetime) -> int:
    return int(_whole(pl.Series([moment], dtype=TIME))[0])


def _whole(timestamps: pl.Series) -> Ints:
    whole: Ints = timestamps.dt.epoch("us").to_numpy()
    return whole


def _stamps(micros: Ints) -> pl.Series:
    return pl.Series("timestamp", micros).cast(TIME)
