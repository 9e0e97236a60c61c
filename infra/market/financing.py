"""Financing: what a position earns or pays for each night it is held over 17:00 New York."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.market.days import trading_day

USUAL_DAYS: Final = (1, 1, 3, 1, 1, 0, 0)
"""Days charged at 17:00 New York, from Monday on: settlement takes two days, so that Wednesday's
night is over the weekend."""

YEAR: Final = 365
_THURSDAY: Final = 3
"""Day of the week, from Monday on, of 1 January 1970."""


@dataclass(frozen=True)
class Financing:
    """What holding a position earns; below zero it costs.

    Attributes
    ----------
    long, short : float
        A year, as a share of the position's worth.
    days : tuple of int
        Days charged at 17:00 New York on each day of the week, from Monday on.
    """

    long: float = 0.0
    short: float = 0.0
    days: tuple[int, ...] = USUAL_DAYS

    def __post_init__(self) -> None:
        if not (math.isfinite(self.long) and math.isfinite(self.short)):
            raise ValueError(f"rates are {self.long} and {self.short}: give shares of a year")
        if len(self.days) != len(USUAL_DAYS) or min(self.days) < 0:
            raise ValueError(f"days are {self.days}: give seven numbers from 0 on, Monday's first")

    def __bool__(self) -> bool:
        """Say whether anything is earned or paid."""
        return bool(self.long or self.short)

    def nightly(self, side: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what a charged day earns, as a share of a position's worth.

        Parameters
        ----------
        side : int64[...]
            0 long, 1 short.
        """
        earned: NDArray[np.float64] = np.array([self.long, self.short])[side] / YEAR
        return earned


def charged_days(times: pl.Series, days: tuple[int, ...] = USUAL_DAYS) -> NDArray[np.int64]:
    """Return how many days were charged up to each moment, from a long time ago on.

    What is held from one moment to another is charged the difference. A moment that is itself
    17:00 New York has that night behind it: who enters then does not pay for it, who leaves does.

    Parameters
    ----------
    times : polars.Series
        `Datetime("us", "UTC")`.
    days : tuple of int
        By day of the week, from Monday on.

    Returns
    -------
    int64[n]
    """
    last = trading_day(times).to_physical().to_numpy().astype(np.int64) - 1
    weeks, day = np.divmod(last + _THURSDAY, len(days))
    charged: NDArray[np.int64] = weeks * sum(days) + np.cumsum(days)[day]
    return charged
