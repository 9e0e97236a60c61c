"""Spreads by hour of New York's week, for bars that carry no bid and ask."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.bars import QUOTES
from infra.market.days import DAY_BEGINS, NEW_YORK
from infra.market.week import weeks_of

DAY_HOURS: Final = 24
HOURS: Final = 7 * DAY_HOURS
"""Of a week, from Monday 00:00 New York on."""

LEAST_QUOTES: Final = 4
"""Quotes of an hour of the week below which its own median is not believed."""

LEAST_WEEKS: Final = 4
"""Weeks of quotes below which they tell no table."""

_LEAST: Final = 1e-9
"""Share of the price below which a spread is one of rounding."""

_DAY: Final = (
    1.00, 1.00, 1.00, 0.92, 0.92, 0.92, 0.92, 0.92, 0.92, 0.92, 1.00, 0.92,
    0.92, 0.92, 0.92, 0.92, 0.92, 1.62, 1.54, 1.15, 1.08, 1.00, 1.00, 1.00,
)  # fmt: skip
"""Median spread at the opens of EUR/USD hours of Monday to Thursday, OANDA 2007 to 2018 (74,439
bars), in medians of all of them (1.3 pips)."""

_FRIDAY_CLOSE: Final = 1.38
"""The same of Friday 16:00, the last hour of the week."""

_SUNDAY: Final = (7.69, 3.08, 1.38, 1.15, 1.08, 1.08, 1.08)
"""The same of Sunday from 17:00 on; the first stands for what lies between the weeks, too."""


def _shape() -> tuple[float, ...]:
    friday = (*_DAY[: DAY_BEGINS - 1], _FRIDAY_CLOSE)
    between = (_SUNDAY[0],) * (HOURS - 4 * DAY_HOURS - len(friday) - len(_SUNDAY))
    return (*4 * _DAY, *friday, *between, *_SUNDAY)


SHAPE: Final = _shape()
"""Multiples of the usual spread by hour of the week, where nothing was measured."""

BUILT_IN: Final = "usual spread by the built-in hours of the week"


class Table(NamedTuple):
    """Spreads by hour of the week.

    Attributes
    ----------
    spread : float
        The usual one, in price units.
    hours : tuple of float
        Multiples of it by hour of New York's week, `HOURS` of them.
    source : str
        Whence they are.
    """

    spread: float
    hours: tuple[float, ...]
    source: str


def hour_of_week(times: pl.Series) -> NDArray[np.int64]:
    """Return the hour of New York's week of each moment: 0 is Monday 00:00.

    Parameters
    ----------
    times : polars.Series
        `Datetime`, with a zone.
    """
    local = times.dt.convert_time_zone(NEW_YORK)
    day, hour = (part.to_numpy().astype(np.int64) for part in (local.dt.weekday(), local.dt.hour()))
    numbers: NDArray[np.int64] = (day - 1) * DAY_HOURS + hour
    return numbers


def measured(bars: pl.DataFrame, name: str) -> Table | None:
    """Measure the spread at the open by hour of the week: medians of the bars that are quoted.

    An hour with fewer than `LEAST_QUOTES` of them has the built-in multiple.

    Parameters
    ----------
    bars : polars.DataFrame
        Of one pair, ascending.
    name : str
        What the source calls them.

    Returns
    -------
    Table or None
        None where quotes of `LEAST_WEEKS` weeks are not there.
    """
    if not set(QUOTES) <= set(bars.columns):
        return None
    spread = (bars["ask_open"] - bars["bid_open"]).fill_null(0.0)
    there = spread > _LEAST * bars["close"]
    times, spread = bars["timestamp"].filter(there), spread.filter(there)
    if weeks_of(times) < LEAST_WEEKS:
        return None
    usual = float(np.median(spread.to_numpy()))
    hours = _medians(hour_of_week(times), spread.to_numpy() / usual)
    span = f"{times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
    return Table(usual, hours, f"medians by hour of the week of {name}, {span}")


def _medians(hour: NDArray[np.int64], multiple: NDArray[np.float64]) -> tuple[float, ...]:
    by_hour = (multiple[hour == each] for each in range(HOURS))
    return tuple(
        float(np.median(mine)) if mine.size >= LEAST_QUOTES else usual
        for mine, usual in zip(by_hour, SHAPE, strict=True)
    )
