"""The damped metrics as they ended: logistic on entropy, coherence, stability, damped value."""

from __future__ import annotations

from tasks.research.learners.linear import Logistic
from tasks.research.learners.rows import Floats, Rows


def columns(rows: Rows) -> Floats:
    """Return the four metrics of the last step, float64[n, 4]."""
    return rows.metrics.astype(float)


LEARNER = Logistic(columns)
