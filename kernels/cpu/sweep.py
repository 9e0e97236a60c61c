"""Backtests on the CPU: trade by trade; the arguments are those of kernels/cuda/sweep.cu.

A trade goes over whole nodes of bars where nothing can happen to it. A node knows the extremes of
its bars and, so that drawdowns stay exact, the largest fall of the close within.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

SMALL_BITS, LARGE_BITS = 3, 6
SMALL, LARGE = 1 << SMALL_BITS, 1 << LARGE_BITS
"""Bars in a node of either size."""

FAR = np.float32(1 << 30)
TILE = 4096
"""Bars that all sets of a block trade before the next ones, while they are in the cache."""

BLOCK = 32
"""Sets of one task."""

LATE = -(1 << 62)
"""No price: the exit at the horizon, after a hole, or at an opposite signal."""

WAIT = 2
OPEN, WORST, BEST, CLOSE = range(4)
BAR, TODAY, TRADES, WINS, CASH, TOP, FALLEN, BEFORE = range(8)
LOWEST, HIGHEST, BOTTOM, PEAK, FALL = range(5)

borrowing: Any = njit(cache=True, _nrt=False)  # type: ignore[call-overload]
"""For functions that allocate nothing: counting references to arrays takes longer than a trade."""


@njit(parallel=True, nogil=True, cache=True)
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
    """Trade the bars once for every set.

    Parameters
    ----------
    sets, n : int
        Parameter sets m, and bars.
    quads : int32[n, 2, 4]
        Open, worst, best and close at the side one leaves at, long and short, in points; those of
        the short side are negative, so that both sides earn when their numbers rise.
    score : float32[n]
        Of the side that may signal; -inf for none.
    is_short : bool[n]
        Whether that side is the short one.
    distance : float32[n]
        Unit of stops and targets, in points.
    reach : int32[n]
        Bars after each in its segment; 0 where nothing may be traded.
    day : int32[n]
        Number of the day, from 0 on without gaps.
    threshold : float32[m]
        A side signals where its score is at least this.
    stop, target : float32[m]
        Multiples of `distance`; inf for none.
    horizon : int32[m]
        Bars from the entry to the time exit.
    slippage : int
        Points paid at each entry.
    point : float
        Price of one point.
    columns : int
        Columns of `daily`: the days, or 0 where it is not asked for.
    trades, wins : int32[m]
        Written to, as all that follow: closed trades, and those that ended above zero.
    profit, drawdown : int32[m]
        In points.
    day_sum, day_square_sum : float64[m]
        Sums of daily changes of the equity, in points, and of their squares.
    daily : float32[m, columns]
        Those changes in price units.
    """
    acts = _acts(score, is_short, day)
    small_acts, large_acts = _highest(acts, SMALL), _highest(acts, LARGE)
    sides = _sides(quads)
    small, large = _extremes(sides, SMALL), _extremes(sides, LARGE)
    for block in prange((sets + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        count = min(BLOCK, sets - first)
        state, sums = np.zeros((count, 8), np.int64), np.zeros((count, 2))
        for end in range(TILE, n + TILE, TILE):
            for k in range(count):
                i = first + k
                _trade(
                    min(end, n),
                    (score, is_short, distance, reach, day),
                    (sides, acts, small, small_acts, large, large_acts),
                    (threshold[i], stop[i], target[i], horizon[i], slippage),
                    state[k],
                    (sums[k], point, daily[i]),
                )
        for k in range(count):
            i = first + k
            if n:
                _close_day(state[k], (sums[k], point, daily[i]))
            trades[i], wins[i] = state[k, TRADES], state[k, WINS]
            profit[i], drawdown[i] = state[k, CASH], state[k, FALLEN]
            day_sum[i], day_square_sum[i] = sums[k]


@borrowing
def _trade(end: int, signals: Any, bars: Any, rule: Any, state: Any, book: Any) -> None:
    """Take the trades of one set whose signals lie before bar `end`."""
    _, is_short, distance, reach, day = signals
    threshold, stop, target, horizon, slippage = rule
    t = _next_signal(state[BAR], end, threshold, bars)
    while t < end:
        if reach[t] <= 0 or t + 1 + horizon >= len(day):
            t = _next_signal(t + 1, end, threshold, bars)
            continue
        if day[t + 1] != state[TODAY]:
            _close_day(state, book)
            state[TODAY] = day[t + 1]
        side = 1 if is_short[t] else 0
        entry = slippage - bars[0][1 - side, t + 1, OPEN]
        levels = (
            entry - _rounded(stop * distance[t]),
            entry + _rounded(target * distance[t]),
            threshold,
        )
        last = t + 1 + min(horizon, reach[t])
        price, t = _hold(bars, signals, side, t + 1, last, levels, entry, state, book)
        state[TRADES] += 1
        state[WINS] += price > entry
        state[CASH] += price - entry
        state[TOP] = max(state[TOP], state[CASH])
        state[FALLEN] = max(state[FALLEN], state[TOP] - state[CASH])
        t = _next_signal(t, end, threshold, bars)
    state[BAR] = t


@borrowing
def _hold(
    bars: Any,
    signals: Any,
    side: int,
    u: int,
    last: int,
    levels: Any,
    entry: int,
    state: Any,
    book: Any,
) -> tuple[int, int]:
    """Hold from bar u on: exit price and its bar."""
    quads, acts = bars[0][side], bars[1][side]
    small, small_acts = bars[2][side], bars[3][side]
    large, large_acts = bars[4][side], bars[5][side]
    base, peak, fall = state[CASH] - entry, state[TOP], state[FALLEN]
    price = LATE
    stop, target, threshold = levels
    while u < last:
        if u & SMALL - 1 == 0:
            if u & LARGE - 1 == 0 and u + LARGE <= last:
                i = u >> LARGE_BITS
                if _quiet(large, large_acts, i, levels):
                    peak, fall = _pass(large, i, base, peak, fall)
                    u += LARGE
                    continue
            if u + SMALL <= last:
                i = u >> SMALL_BITS
                if _quiet(small, small_acts, i, levels):
                    peak, fall = _pass(small, i, base, peak, fall)
                    u += SMALL
                    continue
        end = min((u | SMALL - 1) + 1, last)
        while u < end:
            if quads[u, WORST] <= stop or quads[u, BEST] >= target:
                price = min(quads[u, OPEN], stop) if quads[u, WORST] <= stop else target
                last = end = u
                break
            equity = base + quads[u, CLOSE]
            peak = max(peak, equity)
            fall = max(fall, peak - equity)
            if acts[u] >= threshold:
                last = u + 1 if _closes(signals, u, side, threshold) else last
                end = min(end, last)
                _end_day(u, signals[4], equity, state, book)
            u += 1
    state[TOP], state[FALLEN] = peak, fall
    return quads[last, OPEN] if price == LATE else price, last


@borrowing
def _quiet(nodes: Any, acts: Any, i: int, levels: Any) -> bool:
    stop, target, threshold = levels
    return bool(nodes[i, LOWEST] > stop and nodes[i, HIGHEST] < target and acts[i] < threshold)


@borrowing
def _pass(nodes: Any, i: int, base: int, peak: int, fall: int) -> tuple[int, int]:
    return (
        max(peak, base + nodes[i, PEAK]),
        max(fall, nodes[i, FALL], peak - base - nodes[i, BOTTOM]),
    )


@borrowing
def _closes(signals: Any, u: int, side: int, threshold: float) -> bool:
    score, is_short = signals[0], signals[1]
    return bool(score[u] >= threshold and is_short[u] != (side == 1))


@borrowing
def _end_day(u: int, day: Any, equity: int, state: Any, book: Any) -> None:
    """Close the day at the equity while in a trade, if bar u is its last."""
    if u + 1 == len(day) or day[u + 1] != day[u]:
        cash, state[CASH] = state[CASH], equity
        _close_day(state, book)
        state[CASH] = cash
        state[TODAY] += 1


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


@borrowing
def _next_signal(t: int, end: int, threshold: float, bars: Any) -> int:
    """Return the first signal from bar t on, or a bar from `end` on where none comes before."""
    score, small, large = bars[1][WAIT], bars[3][WAIT], bars[5][WAIT]
    while t < end:
        if t & LARGE - 1 == 0:
            while t >> LARGE_BITS < len(large) and large[t >> LARGE_BITS] < threshold:
                t += LARGE
        stop, i = min((t | SMALL - 1) + 1, len(score)), t >> SMALL_BITS
        if t & SMALL - 1 == 0 and i < len(small) and small[i] < threshold:
            t = stop
        while t < stop:
            if score[t] >= threshold:
                return t
            t += 1
    return t


@borrowing
def _rounded(distance: float) -> int:
    return int(min(max(np.rint(distance), np.float32(1)), FAR))


@borrowing
def _close_day(state: Any, book: Any) -> None:
    sums, point, daily = book
    change = state[CASH] - state[BEFORE]
    state[BEFORE] = state[CASH]
    sums[0] += change
    sums[1] += change * change
    if len(daily):
        daily[state[TODAY]] = change * point
