"""Averages of returns, and the last bits as a number, on the CPU."""

from __future__ import annotations

from typing import Any

from numba import njit, prange


@njit(parallel=True, nogil=True, cache=True)
def averages(log_price: Any, sigma: Any, segments: Any, weights: Any, out: Any) -> None:
    """Weigh the returns up to each bar that has as many as there are weights.

    Parameters
    ----------
    log_price, sigma : float64[n]
    segments : int32[n]
    weights : float64[m, window]
    out : float64[n, m]
        Written to where there are enough returns.
    """
    many, window = weights.shape
    for t in prange(window, len(log_price)):
        if segments[t - window] == segments[t] and sigma[t] > 0:
            for which in range(many):
                total = 0.0
                for age in range(window):
                    move = log_price[t - age] - log_price[t - age - 1]
                    total += weights[which, age] * move
                out[t, which] = total / sigma[t]


@njit(nogil=True, cache=True)
def runs(bits: Any, valid: Any, segments: Any, length: int, out: Any) -> None:
    """Write the last bits of the segment as a number, the newest the lowest.

    Parameters
    ----------
    bits : uint8[n]
    valid : bool[n]
    segments : int32[n]
    length : int
        Bits of a run.
    out : int64[n]
        Written to: 0 .. 2^length - 1, or -1 where the segment has had fewer bits.
    """
    run, seen = 0, 0
    for t in range(len(bits)):
        if t > 0 and segments[t] != segments[t - 1]:
            run, seen = 0, 0
        if valid[t]:
            run = (run * 2 + bits[t]) % 2**length
            seen += 1
        out[t] = run if seen >= length else -1
