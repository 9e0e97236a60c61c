"""Bits, events and volatility on the CPU; the arguments are those of kernels/cuda/bits.cu."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange


@njit(parallel=True, nogil=True, cache=True)
def direction(n: int, close: Any, segments: Any, bits: Any, valid: Any) -> None:
    """Bit 1 where the close rose, 0 where it fell, none where it stood.

    Parameters
    ----------
    n : int
        Bars.
    close : float64[n]
    segments : int32[n]
        Segment numbers, never decreasing.
    bits : uint8[n]
        Written to: 0 or 1; 0 where there is no bit.
    valid : bool[n]
        Written to: whether the bar has a bit.
    """
    for t in prange(n):
        both = t > 0 and segments[t - 1] == segments[t] and close[t - 1] > 0 and close[t] > 0
        bits[t] = both and close[t] > close[t - 1]
        valid[t] = both and close[t] != close[t - 1]


@njit(parallel=True, nogil=True, cache=True)
def body(n: int, opening: Any, close: Any, bits: Any, valid: Any) -> None:
    """Bit 1 where the bar closed above its open, 0 below, none where equal.

    Parameters
    ----------
    n : int
        Bars.
    opening, close : float64[n]
        Open and close of each bar.
    bits : uint8[n]
        Written to: 0 or 1; 0 where there is no bit.
    valid : bool[n]
        Written to: whether the bar has a bit.
    """
    for t in prange(n):
        bits[t] = close[t] > opening[t]
        valid[t] = close[t] > opening[t] or close[t] < opening[t]


@njit(parallel=True, nogil=True, cache=True)
def true_range(n: int, high: Any, low: Any, close: Any, segments: Any, out: Any) -> None:
    """Range of the bar together with the close before it; NaN in a segment's first bar.

    Parameters
    ----------
    n : int
        Bars.
    high, low, close : float64[n]
    segments : int32[n]
        Segment numbers, never decreasing.
    out : float64[n]
        Written to, in price units.
    """
    for t in prange(n):
        out[t] = np.nan
        if t > 0 and segments[t - 1] == segments[t]:
            before = close[t - 1]
            if np.isfinite(before) and np.isfinite(high[t]) and np.isfinite(low[t]):
                out[t] = max(high[t], before) - min(low[t], before)


@njit(parallel=True, nogil=True, cache=True)
def exceeds_mean(n: int, value: Any, segments: Any, window: int, bits: Any, valid: Any) -> None:
    """Bit 1 where the value exceeds the mean of the `window` values before it.

    Parameters
    ----------
    n : int
        Bars.
    value : float64[n]
        What is compared: true range or volume.
    segments : int32[n]
        Segment numbers, never decreasing.
    window : int
        Values before the bar, at least 1.
    bits : uint8[n]
        Written to: 0 or 1; 0 where there is no bit.
    valid : bool[n]
        Written to: whether the bar has a bit.
    """
    for t in prange(n):
        total = np.nan
        if t >= window and segments[t - window] == segments[t]:
            total = 0.0
            for i in range(t - window, t):
                total += value[i]
        valid[t] = np.isfinite(total) and np.isfinite(value[t])
        bits[t] = valid[t] and value[t] > total / window


@njit(parallel=True, nogil=True, cache=True)
def transitions(n: int, bits: Any, valid: Any, segments: Any, events: Any) -> None:
    """Code 2 x + y of the last earlier bit x in the segment and the bit y; 4 without a pair.

    Parameters
    ----------
    n : int
        Bars.
    bits : uint8[n]
    valid : bool[n]
        As the encoders write them.
    segments : int32[n]
        Segment numbers, never decreasing.
    events : uint8[n]
        Written to: code 0 to 4.
    """
    for t in prange(n):
        events[t] = 4
        if valid[t]:
            i = t - 1
            while i >= 0 and segments[i] == segments[t] and not valid[i]:
                i -= 1
            if i >= 0 and segments[i] == segments[t]:
                events[t] = 2 * bits[i] + bits[t]


@njit(parallel=True, nogil=True, cache=True)
def volatility(n: int, log_price: Any, segments: Any, window: int, sigma: Any) -> None:
    """Root mean square of the last `window` returns, summed anew at each bar.

    Parameters
    ----------
    n : int
        Bars.
    log_price : float64[n]
        Natural logarithm of the close.
    segments : int32[n]
        Segment numbers, never decreasing.
    window : int
        Number of returns, at least 1.
    sigma : float64[n]
        Written to, in log price a bar; NaN where the segment holds fewer returns.
    """
    for t in prange(n):
        sigma[t] = np.nan
        if t >= window and segments[t - window] == segments[t]:
            total = 0.0
            for i in range(t - window, t):
                change = log_price[i + 1] - log_price[i]
                total += change * change
            sigma[t] = np.sqrt(total / window)
