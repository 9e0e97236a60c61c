"""The damped metrics by volatility: what they say in wild times may not hold in calm ones."""

from __future__ import annotations

import numpy as np

from tasks.research.learners.linear import Logistic, standard_products
from tasks.research.learners.rows import Floats, Rows

CENTRE = np.array([0.95, 0.9, 0.5, 0.0])
"""Where entropy, coherence, stability and damped value lie as a rule: products of values that
stand around zero say something of their own."""


def columns(rows: Rows) -> Floats:
    """Return the last step's metrics, log volatility and all their products, float64[n, 20]."""
    return standard_products(np.column_stack([rows.metrics - CENTRE, rows.volatility]))


LEARNER = Logistic(columns)
