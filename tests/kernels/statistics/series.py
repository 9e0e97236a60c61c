"""Series whose law is known."""

from __future__ import annotations

import numpy as np

from kernels.evaluation import Floats


def autoregressive(seed: int, rows: int, phi: float) -> Floats:
    """Return x_t = phi x_(t-1) + e_t, e standard normal."""
    noise = np.random.default_rng(seed).standard_normal(rows)
    x = np.empty(rows)
    x[0] = noise[0]
    for t in range(1, rows):
        x[t] = phi * x[t - 1] + noise[t]
    return x
