"""Backtests on the CPU: trade by trade; the arguments are those of kernels/cuda/sweep.cu.

A trade goes over whole nodes of bars where nothing can happen to it. A node knows the extremes of
its bars and, so that drawdowns stay exact, the largest fall of the close within.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

SMALL, LARGE = 8, 64
"""Bars in a node of either size."""

FAR = np.float32(1 << 30)
OPEN, WORST, BEST, CLOSE = range(4)
LOWEST, HIGHEST, BOTTOM, PEAK, FALL = range(5)


@njit(parallel=True, cache=True)
def sweep(
    sets: int,
    n: int,
    quads: Any,
    score: Any,
    is_short: Any,
    distance: Any,
    reach: Any,
    day: Any,
    threshold: Any,
    stop: Any,
    target: Any,
    horizon: Any,
    slippage: int,
    point: float,
    columns: int,
    trades: Any,
    wins: Any,
    profit: Any,
    drawdown: Any,
    day_sum: Any,
    day_square_sum: Any,
    daily: Any,
) -> None:
    """Trade the bars once for every set."""
    acts = _acts(score, is_short, day)
    small_acts, large_acts = _highest(acts, SMALL), _highest(acts, LARGE)
    sides = _sides(quads)
    small, large = _extremes(sides, SMALL), _extremes(sides, LARGE)
    for i in prange(sets):
        row = daily[i] if columns else np.empty(0, np.float32)
        found = _trade(
            (score, is_short, distance, reach, day),
            (sides, acts, small, small_acts, large, large_acts),
            (threshold[i], stop[i], target[i], horizon[i], slippage),
            point,
            row,
        )
        trades[i], wins[i], profit[i], drawdown[i], day_sum[i], day_square_sum[i] = found


@njit(cache=True)
def _trade(signals: Any, bars: Any, rule: Any, point: float, daily: Any) -> tuple[Any, ...]:
    """Trade the bars once: trades, wins, profit, drawdown, sums of daily x and x * x."""
    _, is_short, distance, reach, day = signals
    threshold, stop, target, horizon, slippage = rule
    trades, wins, cash, peak, fall, today = 0, 0, 0, 0, 0, 0
    book = np.zeros(3)
    t = _next_signal(0, threshold, bars)
    while t < len(day):
        if reach[t] <= horizon:
            t = _next_signal(t + 1, threshold, bars)
            continue
        if day[t + 1] != today:
            _close_day(book, cash, today, point, daily)
            today = day[t + 1]
        side = 1 if is_short[t] else 0
        entry = slippage - bars[0][1 - side, t + 1, OPEN]
        levels = (
            entry - _rounded(stop * distance[t]),
            entry + _rounded(target * distance[t]),
            threshold,
        )
        price, t, peak, fall, today = _hold(
            bars, signals, side, t + 1, t + 1 + horizon, levels,
            cash - entry, peak, fall, today, book, point, daily,
        )  # fmt: skip
        trades += 1
        wins += price > entry
        cash += price - entry
        peak = max(peak, cash)
        fall = max(fall, peak - cash)
        t = _next_signal(t, threshold, bars)
    if len(day):
        _close_day(book, cash, today, point, daily)
    return trades, wins, cash, fall, book[1], book[2]


@njit(cache=True)
def _hold(
    bars: Any,
    signals: Any,
    side: int,
    u: int,
    last: int,
    levels: Any,
    base: int,
    peak: int,
    fall: int,
    today: int,
    book: Any,
    point: float,
    daily: Any,
) -> tuple[int, int, int, int, int]:
    """Hold from bar u on: exit price, its bar, peak, fall and day then."""
    day = signals[-1]
    quads, acts = bars[0][side], bars[1][side]
    small, small_acts = bars[2][side], bars[3][side]
    large, large_acts = bars[4][side], bars[5][side]
    stop, target, threshold = levels
    while u < last:
        if u % LARGE == 0 and u + LARGE <= last:
            node = large[u // LARGE]
            if _quiet(node, large_acts[u // LARGE], levels):
                peak, fall = _pass(node, base, peak, fall)
                u += LARGE
                continue
        if u % SMALL == 0 and u + SMALL <= last:
            node = small[u // SMALL]
            if _quiet(node, small_acts[u // SMALL], levels):
                peak, fall = _pass(node, base, peak, fall)
                u += SMALL
                continue
        if quads[u, WORST] <= stop:
            return min(quads[u, OPEN], stop), u, peak, fall, today
        if quads[u, BEST] >= target:
            return target, u, peak, fall, today
        equity = base + quads[u, CLOSE]
        peak = max(peak, equity)
        fall = max(fall, peak - equity)
        if acts[u] >= threshold:
            last = u + 1 if _closes(signals, u, side, threshold) else last
            today = _end_day(book, equity, u, today, day, point, daily)
        u += 1
    return quads[last, OPEN], last, peak, fall, today


@njit(cache=True)
def _quiet(node: Any, acts: float, levels: Any) -> bool:
    stop, target, threshold = levels
    return bool(node[LOWEST] > stop and node[HIGHEST] < target and acts < threshold)


@njit(cache=True)
def _pass(node: Any, base: int, peak: int, fall: int) -> tuple[int, int]:
    return max(peak, base + node[PEAK]), max(fall, node[FALL], peak - base - node[BOTTOM])


@njit(cache=True)
def _closes(signals: Any, u: int, side: int, threshold: float) -> bool:
    score, is_short = signals[0], signals[1]
    return bool(score[u] >= threshold and is_short[u] != (side == 1))


@njit(cache=True)
def _end_day(book: Any, equity: int, u: int, today: int, day: Any, point: float, daily: Any) -> int:
    """Close the day if bar u is its last; return the day of the bar after."""
    if u + 1 < len(day) and day[u + 1] == today:
        return today
    _close_day(book, equity, today, point, daily)
    return today + 1


@njit(cache=True)
def _sides(quads: Any) -> Any:
    """Return int32[2, n, 4]: each side by itself, for one trade reads one side."""
    sides = np.empty((2, len(quads), 4), np.int32)
    sides[0], sides[1] = quads[:, 0], quads[:, 1]
    return sides


@njit(cache=True)
def _acts(score: Any, is_short: Any, day: Any) -> Any:
    """Return float32[3, n]: what ends a long, a short and a wait.

    The score of the other side, inf at the ends of days; for a wait the score.
    """
    n = len(score)
    acts = np.full((3, n), -np.inf, np.float32)
    for t in range(n):
        acts[0 if is_short[t] else 1, t] = acts[2, t] = score[t]
        if t + 1 == n or day[t + 1] != day[t]:
            acts[:2, t] = np.inf
    return acts


@njit(cache=True)
def _highest(values: Any, size: int) -> Any:
    """Return the highest value of each whole node, [3, nodes]."""
    highest = np.empty((len(values), values.shape[1] // size), values.dtype)
    for row in range(len(values)):
        for node in range(highest.shape[1]):
            highest[row, node] = values[row, node * size : (node + 1) * size].max()
    return highest


@njit(cache=True)
def _extremes(sides: Any, size: int) -> Any:
    """Return int32[2, nodes, 5]: lowest worst, highest best, lowest and highest close, fall."""
    nodes = np.zeros((2, sides.shape[1] // size, 5), np.int32)
    for side in range(2):
        for i in range(nodes.shape[1]):
            _extreme(sides[side, i * size : (i + 1) * size], nodes[side, i])
    return nodes


@njit(cache=True)
def _extreme(bars: Any, node: Any) -> None:
    node[LOWEST], node[HIGHEST] = bars[0, WORST], bars[0, BEST]
    node[BOTTOM] = node[PEAK] = bars[0, CLOSE]
    for bar in bars:
        node[LOWEST] = min(node[LOWEST], bar[WORST])
        node[HIGHEST] = max(node[HIGHEST], bar[BEST])
        node[BOTTOM] = min(node[BOTTOM], bar[CLOSE])
        node[PEAK] = max(node[PEAK], bar[CLOSE])
        node[FALL] = max(node[FALL], node[PEAK] - bar[CLOSE])


@njit(cache=True)
def _next_signal(t: int, threshold: float, bars: Any) -> int:
    score, small, large = bars[1][2], bars[3][2], bars[5][2]
    while t < len(score):
        if t % SMALL == 0:
            if t % LARGE == 0 and t // LARGE < len(large) and large[t // LARGE] < threshold:
                t += LARGE
                continue
            if t // SMALL < len(small) and small[t // SMALL] < threshold:
                t += SMALL
                continue
        if score[t] >= threshold:
            return t
        t += 1
    return t


@njit(cache=True)
def _rounded(distance: float) -> int:
    return int(min(max(np.rint(distance), np.float32(1)), FAR))


@njit(cache=True)
def _close_day(book: Any, equity: int, day: int, point: float, daily: Any) -> None:
    change = equity - book[0]
    book[0] = equity
    book[1] += change
    book[2] += change * change
    if len(daily):
        daily[day] = change * point
