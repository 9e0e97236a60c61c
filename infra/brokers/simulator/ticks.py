"""Ticks within minutes: open, the two extremes and the close, a quarter of a minute apart."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import polars as pl

from infra.market.days import NEW_YORK

QUARTER: Final = timedelta(seconds=15)
_MINUTE: Final = timedelta(minutes=1)
_LAST: Final = timedelta(seconds=59, milliseconds=750)


class Tick(NamedTuple):
    """Bid and ask from a moment on; `jumps` if the price did not move there steadily.

    The venue says them again and again, until the minute is over.
    """

    at: datetime
    bid: Decimal
    ask: Decimal
    jumps: bool
    until: datetime


class Ticks:
    """The ticks of an instrument.

    Which extreme comes first is not known: it is the one that hurts who holds a trade.

    Parameters
    ----------
    columns : dict of str to list
        Of minutes as `random_minutes` makes them.
    precision : int
        Decimals of a price.
    """

    def __init__(self, columns: dict[str, list[Any]], precision: int) -> None:
        self._columns, self._precision = columns, precision
        self._starts: list[datetime] = columns["time"]
        self._order: dict[int, tuple[str, ...]] = {}

    def newest(self, at: datetime, falls: Callable[[], bool]) -> Tick | None:
        """Return the last tick at or before a moment; None if there is none.

        Parameters
        ----------
        at : datetime
        falls : callable
            Says whether the low of a minute comes first.
        """
        place = bisect_right(self._starts, at) - 1
        if place < 0:
            return None
        return self._tick(place, min(int((at - self._starts[place]) / QUARTER), 3), falls)

    def between(
        self, since: datetime, until: datetime, falls: Callable[[], bool]
    ) -> Iterator[Tick]:
        """Yield the ticks after a moment, up to another.

        Parameters
        ----------
        since, until : datetime
            The first exclusive.
        falls : callable
            Says whether the low of a minute comes first; asked when it comes.
        """
        for place in range(bisect_left(self._starts, since - _MINUTE), len(self._starts)):
            start = self._starts[place]
            for quarter in range(4):
                at = start + quarter * QUARTER
                if at > until:
                    return
                if at > since:
                    yield self._tick(place, quarter, falls)

    def _tick(self, place: int, quarter: int, falls: Callable[[], bool]) -> Tick:
        shape = "o" if quarter == 0 else "c"
        if quarter in (1, 2):
            if place not in self._order:
                self._order[place] = ("l", "h") if falls() else ("h", "l")
            shape = self._order[place][quarter - 1]
        bid, ask = (
            Decimal(f"{self._columns[f'{side}_{shape}'][place]:.{self._precision}f}")
            for side in ("bid", "ask")
        )
        start = self._starts[place]
        return Tick(start + quarter * QUARTER, bid, ask, quarter == 0, start + _LAST)


def widened(minutes: pl.DataFrame, hours: dict[int, float], precision: int = 5) -> pl.DataFrame:
    """Return minutes whose spread is so many times as wide in hours of New York's day.

    Parameters
    ----------
    minutes : polars.DataFrame
        As `random_minutes` makes them.
    hours : dict of int to float
        Such as ``{16: 3.0, 17: 8.0}``.
    precision : int
        Decimals of a price.
    """
    hour = pl.col("time").dt.convert_time_zone(NEW_YORK).dt.hour().cast(pl.Int64)
    factor = hour.replace_strict(hours, default=1.0, return_dtype=pl.Float64)
    changed = []
    for shape in ("o", "h", "l", "c"):
        bid, ask = pl.col(f"bid_{shape}"), pl.col(f"ask_{shape}")
        more = ((ask - bid) * (factor - 1) / 2).round(precision)
        changed += [(bid - more).round(precision), (ask + more).round(precision)]
    return minutes.with_columns(changed)
