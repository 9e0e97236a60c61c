"""Plain momentum: logistic on exponential averages of returns, by volatility."""

from __future__ import annotations

import numpy as np

from tasks.research.learners.linear import Logistic
from tasks.research.learners.rows import Floats, Rows


def columns(rows: Rows) -> Floats:
    """Return three averages and their products with log volatility, float64[n, 6]."""
    return np.column_stack([rows.momentum, rows.momentum * rows.volatility[:, None]])


LEARNER = Logistic(columns)
