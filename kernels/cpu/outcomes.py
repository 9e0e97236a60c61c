"""Exits of one side on the CPU; the arguments are those of kernels/cuda/outcomes.cu."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange


@njit(parallel=True, nogil=True, cache=True)
def exits(
    n: int,
    enter_open: Any,
    leave_open: Any,
    adverse: Any,
    favourable: Any,
    reach: Any,
    stop: Any,
    target: Any,
    has_stop: bool,
    has_target: bool,
    sign: float,
    slippage: float,
    horizon: int,
    entry_price: Any,
    exit_price: Any,
    exit_bar: Any,
) -> None:
    """Enter after each bar and follow the trade to its exit; sign is 1 long, -1 short.

    Parameters
    ----------
    n : int
        Bars.
    enter_open, leave_open : float64[n]
        Opens at the side one enters at and at the side one leaves at.
    adverse, favourable : float64[n]
        Worst and best price of the bar at the side one leaves at: low and high for a long.
    reach : int64[n]
        Bars after each before the next hole, at whose far side a trade is left; 0 where none is
        entered.
    stop, target : float64[n]
        Distances from the entry, in price units, inf for none; float64[0] without such a barrier.
    has_stop, has_target : bool
        Whether there is such a barrier.
    sign : float
        1 long, -1 short.
    slippage : float
        In price units, paid at the entry.
    horizon : int
        Bars until the time exit, at least 1.
    entry_price, exit_price : float64[n]
        Written to; NaN where null.
    exit_bar : int64[n]
        Written to: bar of the exit; -1 where null.
    """
    for t in prange(n):
        last = t + 1 + min(horizon, reach[t])
        entry, price, bar = np.nan, np.nan, last
        if reach[t] > 0 and t + horizon + 1 < n:
            entry = enter_open[t + 1] + sign * slippage
            stop_level = entry - sign * stop[t] if has_stop else np.nan
            target_level = entry + sign * target[t] if has_target else np.nan
            price, bar = _leave(
                t + 1, last, leave_open, adverse, favourable,
                has_stop, has_target, sign, stop_level, target_level,
            )  # fmt: skip
        priced = not np.isnan(entry + price)
        entry_price[t] = entry if priced else np.nan
        exit_price[t] = price if priced else np.nan
        exit_bar[t] = bar if priced else -1


@njit(cache=True)
def _leave(
    first: int,
    last: int,
    leave_open: Any,
    adverse: Any,
    favourable: Any,
    has_stop: bool,
    has_target: bool,
    sign: float,
    stop: float,
    target: float,
) -> tuple[float, int]:
    """Return price and bar of the exit; NaN as soon as a quote that it needs is NaN."""
    for u in range(first, last):
        if has_stop:
            # one test for three: a sum is NaN if one of its parts is
            if np.isnan(leave_open[u] + adverse[u] + stop):
                return np.nan, u
            if sign * (leave_open[u] - stop) <= 0:
                return leave_open[u], u
            if sign * (adverse[u] - stop) <= 0:
                return stop, u
        if has_target:
            if np.isnan(favourable[u] + target):
                return np.nan, u
            if sign * (favourable[u] - target) >= 0:
                return target, u
    return leave_open[last], last
