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
    segments: Any,
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
    """Enter after each bar and follow the trade to its exit; sign is 1 long, -1 short."""
    for t in prange(n):
        last = t + horizon + 1
        entry, price, bar = np.nan, np.nan, last
        if last < n and segments[last] == segments[t]:
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
