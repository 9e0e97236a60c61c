"""Damping trajectories on the CPU: bars side by side in blocks, so that visits fill SIMD lanes.

A lane sees only its own bar and all blocks are of one size: a bar's numbers do not depend on
where its block begins. The arguments and the algebra are those of kernels/cuda/damping.cu.

Long, because numba inlines all of it into one loop: its parts share one layout of the lanes.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import njit, prange

WINDOWS = (8, 10, 13, 16, 20, 25, 32, 40, 51, 64, 81, 102, 128, 161, 203, 256)
STEPS = 16
LONGEST = 256
LANES = 128
SPAN = LANES + LONGEST
ONE, LN2, LN3 = np.float32(1), np.float32(0.6931471805599453), np.float32(1.0986122886681098)
HALF_ROOT = np.int32(0x3F3504F3)  # the bits of sqrt(1/2)

# An event counts SCALE in its context's lead, a context without events leads by HINT: a tie
# predicts a repeat, and HINT is below the last bit of anything else.
SCALE, HINT = np.float32(2.0**62), np.float32(2.0**20)

# Rows of a block's damped sums: leads d[x] of repeats over changes in context x, wrong
# predictions, states under w and under w^2, returns under w and under 1 - w^i.
LEAD0, LEAD1, WRONG, NULL, RUPTURE, NULL2, FLIP2, RUPTURE2, RETURN, LOST, SUMS = (
    LANES * row for row in range(11)
)
# Rows of a block's weights: w, w^2, 1 - w and 1 - w^n.
W, W2, AWAY, AWAY_N, WEIGHTS = (LANES * row for row in range(5))
# Rows of what a block's bars look at: change (SCALE) or repeat (-SCALE) in either context, the
# event's state, the return.
TURN0, TURN1, IS_NULL, IS_FLIP, IS_RUPTURE, CHANGE, SEEN = (SPAN * row for row in range(7))


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def damp(
    n: int,
    events: Any,
    log_price: Any,
    sigma: Any,
    segments: Any,
    k1: float,
    k2: float,
    frequency: float,
    decay0: float,
    tolerance: float,
    first: int,
    trajectory: Any,
    decay: Any,
    steps: Any,
    converged: Any,
    state_ratios: Any,
) -> None:
    """Fill the outputs, steps from `first` on; see `kernels.damping.damp`.

    Parameters
    ----------
    n : int
        Bars.
    events : uint8[n]
        Event codes 0 to 4.
    log_price : float64[n]
        Natural logarithm of the close.
    sigma : float64[n]
        One-bar deviation, in log price.
    segments : int32[n]
        Segment numbers, never decreasing.
    k1, k2 : float32
        Weights of the entropy and of one minus the coherence in the next decay.
    frequency : float32
        1 / tau, per bar.
    decay0 : float32
        Decay of the first step.
    tolerance : float32
        Largest move between steps that counts as standing still.
    first : int
        First step that is kept, 0 to 15: s = 16 - first.
    trajectory : float32[n, s, 4]
    decay : float32[n, s]
    steps : int8[n]
    converged : bool[n]
    state_ratios : float32[n, 3]
        Written to: the fields of `kernels.Damping`.
    """
    known = _known_prices(n, log_price, segments)
    for block in prange((n + LANES - 1) // LANES):
        start = block * LANES
        _damp_from(
            start, known, events, log_price, sigma,
            k1, k2, frequency, decay0, tolerance, first,
            trajectory[start:], decay[start:], steps[start:],
            converged[start:], state_ratios[start:],
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def damp_newest(
    n: int,
    events: Any,
    log_price: Any,
    sigma: Any,
    segments: Any,
    k1: float,
    k2: float,
    frequency: float,
    decay0: float,
    tolerance: float,
    trajectory: Any,
    decay: Any,
    steps: Any,
    converged: Any,
    state_ratios: Any,
) -> None:
    """Fill outputs of one row with all steps of the last bar, on the thread that asks.

    Parameters
    ----------
    n : int
        Bars, at least 1.
    events : uint8[n]
        Event codes 0 to 4.
    log_price : float64[n]
        Natural logarithm of the close.
    sigma : float64[n]
        One-bar deviation, in log price.
    segments : int32[n]
        Segment numbers, never decreasing.
    k1, k2 : float32
        Weights of the entropy and of one minus the coherence in the next decay.
    frequency : float32
        1 / tau, per bar.
    decay0 : float32
        Decay of the first step.
    tolerance : float32
        Largest move between steps that counts as standing still.
    trajectory : float32[1, 16, 4]
    decay : float32[1, 16]
    steps : int8[1]
    converged : bool[1]
    state_ratios : float32[1, 3]
        Written to: the fields of `kernels.Damping`.
    """
    known = _known_prices(n, log_price, segments)
    _damp_from(
        n - 1, known, events, log_price, sigma, k1, k2, frequency, decay0, tolerance, 0,
        trajectory, decay, steps, converged, state_ratios,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _damp_from(
    start: int,
    known: Any,
    events: Any,
    log_price: Any,
    sigma: Any,
    k1: float,
    k2: float,
    frequency: float,
    decay0: float,
    tolerance: float,
    first: int,
    trajectory: Any,
    decay: Any,
    steps: Any,
    converged: Any,
    state_ratios: Any,
) -> None:
    """Damp the block of bars from `start` on, whose rows the outputs begin with."""
    n = len(known)
    seen, moves = _load(n, events, log_price, start), _moves(n, log_price, start)
    values = np.empty((STEPS, 4, LANES), np.float32)
    decays = np.empty((STEPS, LANES), np.float32)
    sums = np.empty(SUMS, np.float32)
    settled = np.empty(LANES, np.int32)
    _damp_block(seen, moves, k1, k2, frequency, decay0, sums, values, decays)
    _settle(values, tolerance, settled)
    for lane in range(min(LANES, n - start)):
        t = start + lane
        if known[t] > LONGEST + 1 and _recent_event(events, t):
            for k in range(first, STEPS):
                for metric in range(4):
                    trajectory[lane, k - first, metric] = values[k, metric, lane]
                trajectory[lane, k - first, 3] /= sigma[t] if sigma[t] > 0 else np.nan
                decay[lane, k - first] = decays[k, lane]
            _state_ratios(sums[lane:], state_ratios[lane])
            steps[lane], converged[lane] = settled[lane], settled[lane] < STEPS
        else:
            trajectory[lane] = np.nan
            decay[lane] = np.nan
            state_ratios[lane] = np.nan
            steps[lane], converged[lane] = -1, False


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
            code = events[bar]
            seen[CHANGE + i] = log_price[bar] - log_price[bar - 1]
            if code < 4:
                repeats = code == 0 or code == 3
                seen[SPAN * (code // 2) + i] = -SCALE if repeats else SCALE
                seen[IS_NULL + SPAN * ((code + 1) // 2) + i] = 1
    return seen


@njit(cache=True, error_model="numpy")
def _moves(n: int, log_price: Any, start: int) -> Any:
    """x_t - x_(t-n_k), in float64 until then; 0 where there is no such bar."""
    moves = np.zeros((STEPS, LANES), np.float32)
    for k in range(STEPS):
        for lane in range(max(WINDOWS[k] - start, 0), min(LANES, n - start)):
            t = start + lane
            moves[k, lane] = log_price[t] - log_price[t - WINDOWS[k]]
    return moves


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _damp_block(
    seen: Any,
    moves: Any,
    k1: float,
    k2: float,
    frequency: float,
    decay0: float,
    sums: Any,
    values: Any,
    decays: Any,
) -> None:
    weights, losses = np.empty(WEIGHTS, np.float32), np.empty(LANES, np.float32)
    decays[0] = decay0
    for k in range(STEPS):
        _weigh(decays[k], frequency, WINDOWS[k], weights)
        sums[:] = 0
        sums[:WRONG] = HINT
        oldest = LONGEST - WINDOWS[k] + 1
        for i in range(WINDOWS[k] % 4):
            _visit_one(seen[oldest + i :], weights, sums)
        for i in range(WINDOWS[k] % 4, WINDOWS[k], 4):
            _visit_four(seen[oldest + i :], weights, sums)
        _measure(sums, weights, moves[k], values[k], losses)
        if k + 1 < STEPS:
            for lane in range(LANES):
                rate = k1 * values[k, 0, lane] + k2 * losses[lane]
                decays[k + 1, lane] = min(max(rate, np.float32(0.01)), ONE)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _weigh(decay: Any, frequency: float, window: int, weights: Any) -> None:
    for lane in range(LANES):
        rate = decay[lane] * frequency
        away = _away_from_one(rate, 2)
        w = ONE - away
        total = np.float32(window) * (rate + (ONE - w - away))  # -n ln w of the rounded w
        weights[W + lane] = w
        weights[W2 + lane] = w * w
        weights[AWAY + lane] = ONE - w
        weights[AWAY_N + lane] = _away_from_one(min(total, np.float32(16)), 6)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _away_from_one(x: Any, doublings: int) -> Any:
    """1 - exp(-x) with all its digits: a series at x / 2^doublings <= 1/4, then squared back."""
    y = x / np.float32(1 << doublings)
    v = np.float32(1 / 120) - y * np.float32(1 / 720)
    v = np.float32(1 / 6) - y * (np.float32(1 / 24) - y * v)
    v = y * (ONE - y * (np.float32(0.5) - y * v))
    for _ in range(doublings):
        v = v * (np.float32(2) - v)
    return v


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _visit_one(seen: Any, weights: Any, sums: Any) -> None:
    for lane in range(LANES):
        w = weights[W + lane], weights[W2 + lane], weights[AWAY + lane]
        _store(sums, lane, _visit(_sums_of(sums, lane), seen, lane, w))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _visit_four(seen: Any, weights: Any, sums: Any) -> None:
    """Four visits for one passage of the sums between memory and registers."""
    for lane in range(LANES):
        w = weights[W + lane], weights[W2 + lane], weights[AWAY + lane]
        s = _visit(_sums_of(sums, lane), seen, lane, w)
        s = _visit(s, seen, lane + 1, w)
        s = _visit(s, seen, lane + 2, w)
        _store(sums, lane, _visit(s, seen, lane + 3, w))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _visit(s: Any, seen: Any, i: int, weights: Any) -> Any:
    """Age the sums by one bar, guess that bar's event, then count it."""
    w, w2, away = weights
    lead0, lead1, wrong, null, rupture, null2, flip2, rupture2, returns, lost = s
    turn0, turn1 = seen[TURN0 + i], seen[TURN1 + i]
    guess = ONE if turn0 * lead0 + turn1 * lead1 > 0 else np.float32(0)
    return (
        lead0 * w - turn0,
        lead1 * w - turn1,
        wrong * w + guess,
        null * w + seen[IS_NULL + i],
        rupture * w + seen[IS_RUPTURE + i],
        null2 * w2 + seen[IS_NULL + i],
        flip2 * w2 + seen[IS_FLIP + i],
        rupture2 * w2 + seen[IS_RUPTURE + i],
        returns * w + seen[CHANGE + i],
        returns * away + lost,
    )


@njit(cache=True, error_model="numpy")
def _sums_of(sums: Any, lane: int) -> Any:
    return (
        sums[LEAD0 + lane],
        sums[LEAD1 + lane],
        sums[WRONG + lane],
        sums[NULL + lane],
        sums[RUPTURE + lane],
        sums[NULL2 + lane],
        sums[FLIP2 + lane],
        sums[RUPTURE2 + lane],
        sums[RETURN + lane],
        sums[LOST + lane],
    )


@njit(cache=True, error_model="numpy")
def _store(sums: Any, lane: int, s: Any) -> None:
    sums[LEAD0 + lane], sums[LEAD1 + lane], sums[WRONG + lane] = s[0], s[1], s[2]
    sums[NULL + lane], sums[RUPTURE + lane] = s[3], s[4]
    sums[NULL2 + lane], sums[FLIP2 + lane], sums[RUPTURE2 + lane] = s[5], s[6], s[7]
    sums[RETURN + lane], sums[LOST + lane] = s[8], s[9]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _measure(sums: Any, weights: Any, moves: Any, values: Any, losses: Any) -> None:
    """Entropy, coherence, stability and damped value of the bars, and 1 - coherence.

    Coherence is B^2 with 1 - B = sum (sqrt p - sqrt q)^2 / 2, which keeps the digits of the loss.
    """
    for lane in range(LANES):
        null, flip, rupture = _states(sums, lane)
        null2, flip2, rupture2 = sums[NULL2 + lane], sums[FLIP2 + lane], sums[RUPTURE2 + lane]
        share, share2 = ONE / (null + flip + rupture), ONE / (null2 + flip2 + rupture2)
        null, flip, rupture = null * share, flip * share, rupture * share
        a, b = sqrt(null) - sqrt(null2 * share2), sqrt(flip) - sqrt(flip2 * share2)
        c = sqrt(rupture) - sqrt(rupture2 * share2)
        apart = np.float32(0.5) * (a * a + b * b + c * c)
        losses[lane] = apart * (np.float32(2) - apart)
        values[0, lane] = _saturate((_surprise(null) + _surprise(flip) + _surprise(rupture)) / LN3)
        values[1, lane] = _saturate(ONE - losses[lane])
        values[2, lane] = _saturate(ONE - sums[WRONG + lane] * share)
        values[3, lane] = _damped_value(sums, weights[AWAY_N + lane], moves[lane], lane)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _damped_value(sums: Any, away_n: Any, move: Any, lane: int) -> Any:
    """Damped value before its division by sigma; `move` is x_t - x_(t-n).

    x_t - x_(t-j) is the sum of the returns since, so it is the sum of r_i (w^i - w^n) / (1 - w^n)
    over the returns of age i. Of the two ways to it one keeps its digits while w^n is small, the
    other while it is near 1.
    """
    small = sums[RETURN + lane] - (ONE - away_n) * move
    large = away_n * move - sums[LOST + lane]
    return (large if away_n < np.float32(0.5) else small) / away_n


@njit(cache=True, error_model="numpy")
def _saturate(x: Any) -> Any:
    return min(max(x, np.float32(0)), ONE)


@njit(cache=True, error_model="numpy")
def _states(sums: Any, lane: int) -> Any:
    """Damped counts of NULL, FLIP and RUPTURE; the leads hold repeats minus changes."""
    null, rupture = sums[NULL + lane], sums[RUPTURE + lane]
    flip = null + rupture - (sums[LEAD0 + lane] + sums[LEAD1 + lane]) / SCALE
    return null, max(flip, np.float32(0)), rupture


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _surprise(p: Any) -> Any:
    """-p ln p: ln of the exponent, and of the mantissa m in [sqrt(1/2), sqrt(2)) by artanh."""
    bits = np.float32(p).view(np.int32)
    exponent = np.int32(np.int32(bits - HALF_ROOT) >> np.int32(23))
    m = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32)
    z = (m - ONE) / (m + ONE)
    z2 = z * z
    series = np.float32(1 / 5) + z2 * np.float32(1 / 7)
    series = ONE + z2 * (np.float32(1 / 3) + z2 * series)
    return -p * (np.float32(exponent) * LN2 + np.float32(2) * z * series)


@njit(cache=True, error_model="numpy")
def _settle(values: Any, tolerance: float, settled: Any) -> None:
    """The first step from which on every move is within tolerance; 16 if the last is not."""
    bound = np.float32(tolerance)
    settled[:] = 1
    for k in range(1, STEPS):
        for lane in range(LANES):
            h = abs(values[k, 0, lane] - values[k - 1, 0, lane])
            c = abs(values[k, 1, lane] - values[k - 1, 1, lane])
            s = abs(values[k, 2, lane] - values[k - 1, 2, lane])
            if h > bound or c > bound or s > bound:
                settled[lane] = k + 1


@njit(cache=True, error_model="numpy")
def _state_ratios(sums: Any, ratios: Any) -> None:
    null, flip, rupture = _states(sums, 0)
    total = null + flip + rupture
    ratios[0], ratios[1], ratios[2] = null / total, flip / total, rupture / total
