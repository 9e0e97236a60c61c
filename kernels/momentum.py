"""Plain momentum: exponential averages of returns over a finite window, in deviations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.momentum import averages
from kernels.device import require_array, require_segments

MEMORIES = (4.0, 16.0, 64.0)
"""Bars after which a return weighs a third of the newest."""

WINDOW = 256


def momentum(
    log_price: NDArray[np.float64],
    sigma: NDArray[np.float64],
    segments: NDArray[np.int32],
    *,
    memories: Sequence[float] = MEMORIES,
) -> NDArray[np.float64]:
    """Average the returns up to each bar, the older the less.

    Parameters
    ----------
    log_price : float64[n]
        Natural logarithm of the close.
    sigma : float64[n]
        Deviation of a one-bar return; NaN or zero makes a bar's momentum NaN.
    segments : int32[n]
    memories : sequence of float
        tau of each average, in bars.

    Returns
    -------
    float64[n, m]
        sum_j r_(t-j) w_j / (sigma_t sqrt(sum_j w_j^2)) with w_j = exp(-j / tau), j = 0 .. 255: of
        deviation 1 on a random walk. NaN where the segment holds fewer returns. Each bar's sum is
        formed anew, so the value does not depend on where the data begins.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape, or a memory that is not above zero.

    Notes
    -----
    On the CPU whatever the engine: 768 multiply-adds a bar are not worth the way.
    """
    require_array("log_price", log_price, "float64", (None,))
    require_array("sigma", sigma, "float64", (len(log_price),))
    require_segments(segments, len(log_price))
    wrong = [memory for memory in memories if not memory > 0]
    if wrong:
        raise ValueError(f"memories must be above 0 bars, not {wrong[0]}")
    weights = np.exp(-np.outer(1 / np.array(memories), np.arange(WINDOW)))
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    out = np.full((len(log_price), len(memories)), np.nan)
    averages(log_price, sigma, segments, weights, out)
    return out
