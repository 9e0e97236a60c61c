"""The week of a venue: which of its minutes trade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.market.days import DAY_BEGINS, NEW_YORK
from infra.market.timeframes import bar_seconds

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY: Final = 1440
WEEK: Final = 7 * DAY
CLOSE: Final = DAY_BEGINS * 60
"""Minute of the day, New York, at which the trading day of the market ends."""

LEAST_WEEKS: Final = 4
"""Below this a week cannot be told from the data's own holes."""

BREAK_SHARE: Final = 0.05
"""A minute of the day that has bars on fewer days than this belongs to a daily break."""

_EDGE_NOISE, _SMALL_CLOSURE = 120, 60


@dataclass(frozen=True)
class Week:
    """When a venue is open in a week without holidays.

    Attributes
    ----------
    zone : str
        Time zone of the venue's clock.
    spans : tuple of (int, int)
        Open from, to (exclusive): minutes since Monday 00:00 on that clock, ascending and apart.
    inferred : bool
        Whether it was read off a whole history, the future of its bars included. Such a week
        serves a report on that history; signals and backtests must not use it.
    """

    zone: str
    spans: tuple[tuple[int, int], ...]
    inferred: bool = False

    def __post_init__(self) -> None:
        ZoneInfo(self.zone)
        edges = [edge for span in self.spans for edge in span]
        if not edges or sorted(set(edges)) != edges or edges[0] < 0 or edges[-1] > WEEK:
            raise ValueError(f"spans must ascend without touching in 0..{WEEK}, not {self.spans}")

    @classmethod
    def forex(cls, *, break_minutes: int = 0) -> Week:
        """Return the forex week: Sunday 17:00 to Friday 17:00 New York.

        Parameters
        ----------
        break_minutes : int
            Length of the venue's daily break from 17:00 on; 5 at OANDA.
        """
        is_open = _open_minutes("Sun 17:00", "Fri 17:00")
        # through a view: the minutes of each day are closed in `is_open` itself
        is_open.reshape(7, DAY)[:, CLOSE : CLOSE + break_minutes] = False
        return cls(NEW_YORK, _runs(is_open))

    @classmethod
    def utc(cls, opens: str = "Mon 00:00", closes: str = "Fri 21:00") -> Week:
        """Return a week between two moments in UTC, such as "Mon 00:00" and "Fri 21:00".

        Parameters
        ----------
        opens, closes : str
            `closes` is exclusive, and may come before `opens`.

        Raises
        ------
        ValueError
            If one is no such moment.
        """
        return cls("UTC", _runs(_open_minutes(opens, closes)))

    @classmethod
    def always(cls) -> Week:
        """Return the week of a venue that never closes."""
        return cls("UTC", ((0, WEEK),))

    @classmethod
    def observed(cls, timestamps: pl.Series, timeframe: str) -> Week:
        """Read a week off the bars of a history: for reports on it, never for signals.

        A weekday trades from the median of its first bars to the median end of its last, if half
        of the weeks have it; what no twentieth of the days has is a daily break. The clock is
        New York's or UTC, whichever keeps these edges steadier over the year.

        Parameters
        ----------
        timestamps : polars.Series
            Starts of the bars, UTC, ascending.
        timeframe : str

        Raises
        ------
        ValueError
            If the bars lie in fewer than 4 weeks.
        """
        if (weeks := weeks_of(timestamps)) < LEAST_WEEKS:
            raise ValueError(f"{weeks} weeks of bars tell no week: {LEAST_WEEKS} are needed")
        by_zone = {zone: _observe(timestamps, timeframe, zone) for zone in (NEW_YORK, "UTC")}
        (local, drift), (utc, utc_drift) = by_zone[NEW_YORK], by_zone["UTC"]
        forex_like = local.opening // 60 * 60 == _minute("Sun 17:00")
        return local if drift < utc_drift or (drift == utc_drift and forex_like) else utc

    @property
    def opening(self) -> int:
        """Minute of the week at which the longest closure ends; 0 where nothing closes."""
        return max(self._closures(), default=(0, 0, 0))[2]

    @property
    def minutes(self) -> int:
        """Open minutes of a week."""
        return sum(end - start for start, end in self.spans)

    def __str__(self) -> str:
        closures = sorted(self._closures())
        if not closures:
            return "around the clock"
        _, closes, opens = closures.pop()
        breaks = sum(length for length, *_ in closures)
        less = f", less breaks of {breaks:,} minutes a week" if breaks else ""
        return f"{_clock(opens)} to {_clock(closes)} {self.zone}{less}"

    def _closures(self) -> list[tuple[int, int, int]]:
        """Length, start and end of each closure, minutes of the week."""
        ends = [end for _, end in self.spans]
        starts = [start for start, _ in self.spans[1:]] + [self.spans[0][0]]
        return [
            ((start - end) % WEEK, end % WEEK, start % WEEK)
            for end, start in zip(ends, starts, strict=True)
            if (start - end) % WEEK
        ]


def _observe(timestamps: pl.Series, timeframe: str, zone: str) -> tuple[Week, float]:
    """Return the week that bars keep on a clock, and by how many minutes its edges drift."""
    step = bar_seconds(timeframe) // 60
    local = timestamps.dt.convert_time_zone(zone)
    minute = local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute()
    bars = pl.DataFrame({"date": local.dt.date(), "minute": minute})
    ends = bars.group_by("date").agg(
        first=pl.col("minute").min(), last=pl.col("minute").max() + step
    )
    ends = ends.with_columns(day=pl.col("date").dt.weekday() - 1)
    edges = ends.group_by("day").agg(pl.len(), pl.median("first", "last").round().cast(pl.Int32))
    edges = edges.filter(pl.col("len") * 2 >= weeks_of(timestamps))
    is_open = np.zeros(WEEK, np.bool_)
    for day, _, first, last in edges.iter_rows():
        is_open[(day * DAY + np.arange(first, last)) % WEEK] = True
    _fill_small_closures(is_open)
    is_open.reshape(7, DAY)[:, _break_minutes(minute, ends, step)] = False
    moved = ends.join(edges, on="day", suffix="_usual").select(
        (pl.col(name) - pl.col(f"{name}_usual")).abs().clip(0, _EDGE_NOISE)
        for name in ("first", "last")
    )
    drift = float(moved.mean().sum_horizontal().item())
    return Week(zone, _runs(is_open), inferred=True), drift


def _break_minutes(minute: pl.Series, ends: pl.DataFrame, step: int) -> NDArray[np.bool_]:
    """Return the minutes of the day without bars on days whose bars reach around them."""
    slots = DAY // step
    counts = np.bincount(minute.to_numpy() // step, minlength=slots)
    first, last = (ends[name].to_numpy() // step for name in ("first", "last"))
    # days begun less days over, by slot: no loop over days and slots
    begun = np.cumsum(np.bincount(first, minlength=slots))
    over = np.cumsum(np.bincount(last, minlength=slots + 1))
    around = begun[:slots] - over[:slots]
    return np.repeat((around > 0) & (counts < BREAK_SHARE * around), step)


def _fill_small_closures(is_open: NDArray[np.bool_]) -> None:
    """Open what closes for less than an hour: quiet minutes around midnight."""
    for start, end in _runs(~is_open):
        if end - start < _SMALL_CLOSURE:
            is_open[start:end] = True


def _open_minutes(opens: str, closes: str) -> NDArray[np.bool_]:
    start, end = _minute(opens), _minute(closes)
    is_open = np.zeros(WEEK, np.bool_)
    # less 1 and 1 more: from a moment to itself is the whole week, not nothing
    is_open[(start + np.arange((end - start - 1) % WEEK + 1)) % WEEK] = True
    return is_open


def _runs(flags: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return tuple((int(start), int(end)) for start, end in edges.reshape(-1, 2))


def _minute(moment: str) -> int:
    """Minute of the week of "Fri 21:00"."""
    try:
        day, clock = moment.split()
        hour, minute = map(int, clock.split(":"))
        return DAYS.index(day) * DAY + hour * 60 + minute
    except ValueError as error:
        raise ValueError(f"a moment of the week is such as 'Fri 21:00', not {moment!r}") from error


def _clock(minute: int) -> str:
    return f"{DAYS[minute // DAY]} {minute % DAY // 60:02}:{minute % 60:02}"


def weeks_of(timestamps: pl.Series) -> int:
    """Return in how many calendar weeks there are bars."""
    return timestamps.dt.truncate("1w").n_unique()
