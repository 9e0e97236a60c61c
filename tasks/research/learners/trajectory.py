"""The whole trajectory: logistic on all of its 64 numbers."""

from __future__ import annotations

from tasks.research.learners.linear import Logistic
from tasks.research.learners.rows import Floats, Rows


def columns(rows: Rows) -> Floats:
    """Return the trajectory, float64[n, 64]."""
    return rows.trajectory.astype(float)


LEARNER = Logistic(columns)
