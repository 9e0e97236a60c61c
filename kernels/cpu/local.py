"""Local logistic fits on the CPU; the arguments are those of kernels/cuda/local.cu.

A query's products of features are tabled once: each Newton step of both sides is then a handful of
weighted sums over its neighbours, first to last, as on the GPU.
"""

from __future__ import annotations

from math import factorial
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from kernels.cpu.lanes import COLUMNS, WEIGHTS, weigh

STEPS = 10
"""Newton steps at most; a step below `STILL` is the last."""

STILL = 1e-6
LONGEST = 1.0
"""Most a step may be long in any coordinate; a longer one keeps its direction."""

RANK = 1e-12
"""A column of which the others leave a smaller share is one of them: it is not moved."""

BLOCK = 64
"""Queries of one task."""

SIDES = 2

LOG2_E = 1.4426950408889634
LN_2_HIGH, LN_2_LOW = 0.6931471803691238, 1.9082149292705877e-10
ROUNDER = 1.5 * 2.0**52
"""Added to a small number it leaves the nearest integer in the last bits."""

ONE, EXPONENT = np.int64(0x3FF0000000000000), np.int64(52)
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11 = (1 / factorial(j) for j in range(2, 12))


class Room(NamedTuple):
    """What a query's fit writes; r neighbours, b blocks of `COLUMNS` products."""

    z: Any  # float64[m + 1, r]: 1 and the features relative to the query's
    gap: Any  # float64[r]: squared distance
    won: Any  # int8[2, r]: -1 where unknown
    kernel: Any  # float64[2, r]: weight of the neighbour, 0 where unknown
    eta: Any  # float64[r]
    weights: Any  # float64[4, r]: of each side the residuals, then the curvatures
    table: Any  # float64[b, r, COLUMNS]: z[i] z[j], j <= i, row by row
    sums: Any  # float64[b, 4, COLUMNS]
    theta: Any  # float64[2, m + 1]: intercept and slopes
    factor: Any  # float64[m + 1, m + 1]: of Cholesky, ones over roots on its diagonal
    step: Any  # float64[m + 1]
    moved: Any  # float64[2]: length of the last step of each side


@njit(parallel=True, nogil=True, cache=True)
def fit(
    n: int,
    index: Any,
    score: Any,
    win: Any,
    queries: Any,
    features: Any,
    prior: Any,
    ridge: float,
    k: int,
    rows: int,
    log_odds: Any,
) -> None:
    """Fit both sides of each query; infinite where an index leaves the rows.

    Parameters
    ----------
    n : int
        Lanes: q queries times two sides.
    index : int64[q, k]
        Library rows of the neighbours; -1 for none.
    score : float32[q, k]
        Their cosines.
    win : int8[N, 2]
        Outcome of each library row: 1, 0, or -1 where unknown (passed over).
    queries : float32[q, m]
        Features of the queries.
    features : float32[N, m]
        Features of the library rows.
    prior : float64[2, 4]
        Of each side the wins and the losses that the base rate is worth, its log-odds and their
        penalty.
    ridge : float
        Penalty of the slopes.
    k, rows : int
        Columns of `index`; rows of `win`.
    log_odds : float64[q, 2]
        Written to: the intercepts; NaN where nothing is known.
    """
    count = n // SIDES
    for task in prange((count + BLOCK - 1) // BLOCK):
        room = _room(k, features.shape[1] + 1)
        for query in range(task * BLOCK, min((task + 1) * BLOCK, count)):
            found = _gather(index[query], score[query], win, queries[query], features, rows, room)
            if found < 0:
                log_odds[query] = np.inf
            else:
                _fit(found, prior, ridge, room, log_odds[query])


@njit(cache=True)
def _room(k: int, terms: int) -> Any:
    blocks = (terms * (terms + 1) // 2 + COLUMNS - 1) // COLUMNS
    return Room(
        np.ones((terms, k)),
        np.empty(k),
        np.empty((SIDES, k), np.int8),
        np.empty((SIDES, k)),
        np.empty(k),
        np.empty((WEIGHTS, k)),
        np.zeros((blocks, k, COLUMNS)),
        np.empty((blocks, WEIGHTS, COLUMNS)),
        np.empty((SIDES, terms)),
        np.empty((terms, terms)),
        np.empty(terms),
        np.empty(SIDES),
    )


@njit(cache=True)
def _gather(
    index: Any, score: Any, win: Any, query: Any, features: Any, rows: int, room: Any
) -> int:
    """Collect the neighbours that tell something; return how many, -1 for a row outside."""
    found = 0
    for j in range(len(index)):
        row = index[j]
        if row < -1 or row >= rows:
            return -1
        if row < 0 or np.isnan(score[j]) or (win[row, 0] < 0 and win[row, 1] < 0):
            continue
        some = True
        for c in range(len(query)):
            z = np.float64(features[row, c]) - np.float64(query[c])
            room.z[c + 1, found] = z
            some = some and np.isfinite(z)
        room.gap[found] = max(0.0, 2.0 - 2.0 * np.float64(score[j]))
        for side in range(SIDES):
            room.won[side, found] = win[row, side]
        found += some
    return found


@njit(cache=True, error_model="numpy")
def _fit(found: int, prior: Any, ridge: float, room: Any, log_odds: Any) -> None:
    _multiply(found, room)
    for side in range(SIDES):
        room.theta[side] = 0.0
        room.theta[side, 0] = _weight(found, side, prior[side], room)
        room.moved[side] = np.inf
    for _ in range(STEPS):
        for side in range(SIDES):
            _bend(found, side, room)
        for block in range(len(room.table)):
            weigh(room.table, block, room.weights, found, room.sums)
        for side in range(SIDES):
            if room.moved[side] >= STILL:
                room.moved[side] = _advance(side, prior[side], ridge, room)
        if not (room.moved[0] >= STILL or room.moved[1] >= STILL):
            break
    log_odds[0], log_odds[1] = room.theta[0, 0], room.theta[1, 0]


@njit(cache=True)
def _multiply(found: int, room: Any) -> None:
    place = 0
    for i in range(len(room.z)):
        for j in range(i + 1):
            block, column = place // COLUMNS, place % COLUMNS
            for at in range(found):
                room.table[block, at, column] = room.z[i, at] * room.z[j, at]
            place += 1


@njit(cache=True, error_model="numpy")
def _weight(found: int, side: int, prior: Any, room: Any) -> Any:
    """Write the kernel of a side; return the log-odds of its shrunk share, NaN for none known."""
    known, farthest = 0, 0.0
    for i in range(found):
        if room.won[side, i] >= 0:
            known += 1
            farthest = max(farthest, room.gap[i])
    per = 1.0 / (farthest * (1.0 + 1.0 / known)) if farthest > 0 else 0.0
    total, squares, wins = 0.0, 0.0, 0.0
    for i in range(found):
        weight = 1.0 - room.gap[i] * per if room.won[side, i] >= 0 else 0.0
        room.kernel[side, i] = weight
        total += weight
        squares += weight * weight
        wins += weight * (room.won[side, i] == 1)
    if known == 0:
        return np.nan
    scale = total / squares
    for i in range(found):
        room.kernel[side, i] *= scale
    return np.log((scale * wins + prior[0]) / (scale * (total - wins) + prior[1]))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _bend(found: int, side: int, room: Any) -> None:
    """Write the residuals and curvatures of a side at its present fit."""
    theta, eta, kernel, won = room.theta[side], room.eta, room.kernel[side], room.won[side]
    residual, curve = room.weights[2 * side], room.weights[2 * side + 1]
    for i in range(found):
        eta[i] = theta[0]
    for c in range(1, len(theta)):
        z, slope = room.z[c], theta[c]
        for i in range(found):
            eta[i] += slope * z[i]
    for i in range(found):
        small = _exp(-min(abs(eta[i]), 700.0))
        share = 1.0 / (1.0 + small)
        p = share if eta[i] >= 0 else small * share
        residual[i] = kernel[i] * ((1.0 if won[i] == 1 else 0.0) - p)
        curve[i] = kernel[i] * (small * share * share)


@njit(cache=True, fastmath={"contract"})
def _exp(x: Any) -> Any:
    """Return e^x for -700 <= x <= 0, off by 1e-14 of it, without a branch or a call."""
    shifted = x * LOG2_E + ROUNDER
    whole = shifted - ROUNDER
    r = x - whole * LN_2_HIGH - whole * LN_2_LOW
    series = (((((((C11 * r + C10) * r + C9) * r + C8) * r + C7) * r + C6) * r + C5) * r + C4) * r
    series = (series + C3) * r + C2
    bits = (np.float64(shifted).view(np.int64) << EXPONENT) + ONE
    return (series * r * r + (r + 1.0)) * np.int64(bits).view(np.float64)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _advance(side: int, prior: Any, ridge: float, room: Any) -> Any:
    """Take one Newton step; return the length of its longest coordinate before it is cut."""
    theta, factor, step, sums = room.theta[side], room.factor, room.step, room.sums
    centre, stiffness, place = prior[2], prior[3], 0
    for i in range(len(theta)):
        step[i] = sums[place // COLUMNS, 2 * side, place % COLUMNS] - ridge * theta[i]
        for j in range(i + 1):
            factor[i, j] = sums[place // COLUMNS, 2 * side + 1, place % COLUMNS]
            place += 1
        factor[i, i] += ridge
    step[0] += ridge * theta[0] - stiffness * (theta[0] - centre)
    factor[0, 0] += stiffness - ridge
    _solve(factor, step)
    longest = 0.0
    for i in range(len(theta)):
        longest = max(longest, abs(step[i]))
    for i in range(len(theta)):
        theta[i] += step[i] * (LONGEST / max(longest, LONGEST))
    return longest


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _solve(factor: Any, step: Any) -> None:
    """Solve in place by Cholesky; a column that depends on those before it gets no step."""
    for i in range(len(step)):
        for j in range(i):
            for c in range(j):
                factor[i, j] -= factor[i, c] * factor[j, c]
            factor[i, j] *= factor[j, j]
        rest = factor[i, i]
        for c in range(i):
            rest -= factor[i, c] * factor[i, c]
            step[i] -= factor[i, c] * step[c]
        factor[i, i] = 1.0 / np.sqrt(rest) if rest > RANK * factor[i, i] else 0.0
        step[i] *= factor[i, i]
    for i in range(len(step) - 1, -1, -1):
        for c in range(i + 1, len(step)):
            step[i] -= factor[c, i] * step[c]
        step[i] *= factor[i, i]
