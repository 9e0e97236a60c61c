"""Other instruments: logistic on their damped values and momentum."""

from __future__ import annotations

from tasks.research.learners.linear import Logistic
from tasks.research.learners.rows import Floats, Rows


def columns(rows: Rows) -> Floats:
    """Return what is known of the other instruments, float64[n, l]; none without any."""
    return rows.leads


LEARNER = Logistic(columns)
