"""The conditional base rate: what a trade meets, whatever the price did: its cost, volatility."""

from __future__ import annotations

import numpy as np

from tasks.research.learners.linear import Logistic, standard_products
from tasks.research.learners.rows import Floats, Rows


def columns(rows: Rows) -> Floats:
    """Return cost in deviations, log volatility and their products, float64[n, 5]."""
    return standard_products(np.column_stack([rows.cost, rows.volatility]))


LEARNER = Logistic(columns)
