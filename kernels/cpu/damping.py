"""Damping trajectories on the CPU: bars side by side in blocks, so that visits fill SIMD lanes.

A lane sees only its own bar and all blocks are of one size: a bar's numbers do not depend on
where its block begins. The arguments are those of kernels/cuda/damping.cu.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any

import numpy as np
from numba import njit, prange

WINDOWS = (8, 10, 13, 16, 20, 25, 32, 40, 51, 64, 81, 102, 128, 161, 203, 256)
STEPS = 16
LONGEST = 256
LANES = 128
SPAN = LANES + LONGEST

# Offsets of the damped sums of a block: counts c[x][y], states under the faster weights w^2,
# wrong guesses, numerator and denominator of the damped value.
C00, C01, C10, C11, NULL, FLIP, RUPTURE, WRONG, MOMENTUM, NORM, SUMS = (
    LANES * row for row in range(11)
)
# Offsets of what the bars of a block look at: the event that happened is 1, and the return.
E00, E01, E10, E11, CHANGE, SEEN = (SPAN * row for row in range(6))


@njit(parallel=True, cache=True, error_model="numpy")
def damp(
    n: int,
    events: Any,
    log_price: Any,
    sigma: Any,
    segments: Any,
    k1: float,
    k2: float,
    tau: float,
    decay0: float,
    tolerance: float,
    first: int,
    trajectory: Any,
    decay: Any,
    steps: Any,
    converged: Any,
    state_ratios: Any,
) -> None:
    """Fill the outputs, steps from `first` on; see `kernels.damping.damp`."""
    known = _known_prices(n, log_price, segments)
    for block in prange((n + LANES - 1) // LANES):
        start = block * LANES
        seen = _load(n, events, log_price, start)
        values = np.empty((STEPS, 4, LANES), np.float32)
        decays = np.empty((STEPS, LANES), np.float32)
        sums = np.empty(SUMS, np.float32)
        _damp_block(seen, k1, k2, tau, decay0, sums, values, decays)
        for lane in range(min(LANES, n - start)):
            t = start + lane
            for k in range(first, STEPS):
                for metric in range(4):
                    trajectory[t, k - first, metric] = values[k, metric, lane]
                trajectory[t, k - first, 3] /= sigma[t] if sigma[t] > 0 else np.nan
                decay[t, k - first] = decays[k, lane]
            steps[t], converged[t] = _settled(values[:, :3, lane], tolerance)
            _state_ratios(sums[lane:], state_ratios[t])
            if not (known[t] > LONGEST + 1 and _recent_event(events, t)):
                trajectory[t] = np.nan
                decay[t] = np.nan
                state_ratios[t] = np.nan
                steps[t], converged[t] = -1, False


@njit(cache=True, error_model="numpy")
def _known_prices(n: int, log_price: Any, segments: Any) -> Any:
    """Number of finite prices in a row that end at each bar, inside its segment."""
    known = np.zeros(n, np.int64)
    run = 0
    for t in range(n):
        if t > 0 and segments[t] != segments[t - 1]:
            run = 0
        run = run + 1 if np.isfinite(log_price[t]) else 0
        known[t] = run
    return known


@njit(cache=True, error_model="numpy")
def _recent_event(events: Any, t: int) -> bool:
    return bool((events[t - WINDOWS[0] + 1 : t + 1] < 4).any())


@njit(cache=True, error_model="numpy")
def _load(n: int, events: Any, log_price: Any, start: int) -> Any:
    """Copy what the bars of a block look at, returns from float64 differences."""
    seen = np.zeros(SEEN, np.float32)
    for i in range(SPAN):
        bar = start - LONGEST + i
        if 0 < bar < n:
            seen[CHANGE + i] = log_price[bar] - log_price[bar - 1]
            if events[bar] < 4:
                seen[SPAN * events[bar] + i] = 1
    return seen


@njit(cache=True, error_model="numpy")
def _damp_block(
    seen: Any,
    k1: float,
    k2: float,
    tau: float,
    decay0: float,
    sums: Any,
    values: Any,
    decays: Any,
) -> None:
    rate = np.full(LANES, decay0)
    weight = np.empty(LANES, np.float32)
    for k in range(STEPS):
        for lane in range(LANES):
            decays[k, lane] = rate[lane]
            weight[lane] = exp(-rate[lane] / tau)
        sums[:] = 0
        for age in range(WINDOWS[k] - 1, -1, -1):
            _visit(seen[LONGEST - age :], weight, sums)
        for lane in range(LANES):
            h, c, s = _metrics(sums[lane:])
            values[k, 0, lane], values[k, 1, lane], values[k, 2, lane] = h, c, s
            values[k, 3, lane] = sums[MOMENTUM + lane] / sums[NORM + lane]
            rate[lane] = min(max(k1 * h + k2 * (1 - c), 0.01), 1.0)


@njit(cache=True, error_model="numpy")
def _visit(seen: Any, weight: Any, sums: Any) -> None:
    """Age every lane's sums by one bar, guess that bar's event, then count it.

    x_t - x_(t-j) is the sum of the returns since, so the return of age i carries the weights of
    all j > i: w + w^2 + .. + w^(n - i), kept as the norm on the way.
    """
    for lane in range(LANES):
        w = weight[lane]
        e00, e01 = seen[E00 + lane], seen[E01 + lane]
        e10, e11 = seen[E10 + lane], seen[E11 + lane]
        c00, c01 = sums[C00 + lane], sums[C01 + lane]
        c10, c11 = sums[C10 + lane], sums[C11 + lane]
        wrong0 = e01 if c00 >= c01 else e00
        wrong1 = e10 if c11 >= c10 else e11
        sums[WRONG + lane] = sums[WRONG + lane] * w + (wrong0 + wrong1)
        sums[C00 + lane] = c00 * w + e00
        sums[C01 + lane] = c01 * w + e01
        sums[C10 + lane] = c10 * w + e10
        sums[C11 + lane] = c11 * w + e11
        sums[NULL + lane] = sums[NULL + lane] * (w * w) + e00
        sums[FLIP + lane] = sums[FLIP + lane] * (w * w) + (e01 + e10)
        sums[RUPTURE + lane] = sums[RUPTURE + lane] * (w * w) + e11
        norm = sums[NORM + lane] * w + w
        sums[NORM + lane] = norm
        sums[MOMENTUM + lane] = sums[MOMENTUM + lane] * w + seen[CHANGE + lane] * norm


@njit(cache=True, error_model="numpy")
def _metrics(sums: Any) -> Any:
    """Entropy, coherence and stability of one lane."""
    null, flip, rupture = sums[C00], sums[C01] + sums[C10], sums[C11]
    total = null + flip + rupture
    h = _surprise(null / total) + _surprise(flip / total) + _surprise(rupture / total)
    overlap = sqrt(null * sums[NULL]) + sqrt(flip * sums[FLIP]) + sqrt(rupture * sums[RUPTURE])
    fast = sums[NULL] + sums[FLIP] + sums[RUPTURE]
    return h, overlap * overlap / (total * fast), 1 - sums[WRONG] / total


@njit(cache=True, error_model="numpy")
def _surprise(p: float) -> float:
    return -p * log(p) / log(3.0) if p > 0 else 0.0


@njit(cache=True, error_model="numpy")
def _state_ratios(sums: Any, ratios: Any) -> None:
    flip = sums[C01] + sums[C10]
    total = sums[C00] + flip + sums[C11]
    ratios[0], ratios[1], ratios[2] = sums[C00] / total, flip / total, sums[C11] / total


@njit(cache=True, error_model="numpy")
def _settled(values: Any, tolerance: float) -> Any:
    """The first step from which on every move is within tolerance; 16 if the last is not."""
    steps = 1
    for k in range(1, STEPS):
        for metric in range(3):
            if abs(values[k, metric] - values[k - 1, metric]) > tolerance:
                steps = k + 1
    return steps, steps < STEPS
