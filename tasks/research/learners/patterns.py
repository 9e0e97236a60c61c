"""The last bits: logistic on which of their 32 runs a bar ends."""

from __future__ import annotations

import numpy as np

from kernels.bits import PATTERN
from tasks.research.learners.linear import Logistic
from tasks.research.learners.rows import Floats, Rows

_RUNS = np.eye(2**PATTERN)


def columns(rows: Rows) -> Floats:
    """Return a one for the run that each bar ends, float64[n, 32]; NaN where bits are missing."""
    return np.where((rows.pattern >= 0)[:, None], _RUNS[rows.pattern], np.nan)


LEARNER = Logistic(columns)
