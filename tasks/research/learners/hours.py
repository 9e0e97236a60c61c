"""The hour of the week: logistic on waves that repeat each week."""

from __future__ import annotations

from math import pi

import numpy as np

from tasks.research.learners.linear import Logistic
from tasks.research.learners.rows import Floats, Rows

HOURS = 168
MONDAY = 72
"""Hours from a Monday's midnight to the start of 1970."""

WAVES = tuple(range(1, 15))
"""Waves a week: down to twelve hours."""

_ANGLE = 2 * pi * np.outer(np.arange(HOURS), WAVES) / HOURS
_TABLE = np.concatenate([np.sin(_ANGLE), np.cos(_ANGLE)], axis=1)


def columns(rows: Rows) -> Floats:
    """Return sines and cosines of the hour of the week, float64[n, 28]."""
    hour = (rows.time // 3_600_000_000 + MONDAY) % HOURS
    return np.asarray(_TABLE[hour])


LEARNER = Logistic(columns)
