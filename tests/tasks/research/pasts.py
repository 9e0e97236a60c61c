"""Pasts for confidence: rows whose trades ended as the test plants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.research.confidence import Past
from tasks.research.learners.rows import Rows
from tests.tasks.research.learners.planted import HORIZON, outcomes, rows

Floats = NDArray[np.float64]
UNIT = 2e-3


def past(
    n: int,
    odds: Callable[[Rows], Floats] = lambda asked: np.zeros(len(asked)),
    *,
    seed: int = 0,
    horizon: int = HORIZON,
    **columns: Any,
) -> Past:
    """Return n rows, a horizon apart, whose trades won or lost one unit by these log-odds."""
    asked = rows(n, seed=seed, position=np.arange(n) * horizon, **columns)
    return ended(asked, outcomes(odds(asked), seed=seed), horizon=horizon, seed=seed)


def ended(asked: Rows, win: NDArray[np.int8], *, horizon: int = HORIZON, seed: int = 0) -> Past:
    """Return rows whose trades ended so, each a unit above or below zero."""
    n = len(asked)
    return Past(
        rows=asked,
        win=win,
        gain=np.where(win >= 0, (2.0 * win - 1) * UNIT, np.nan),
        unit=np.full(n, UNIT),
        exit_bar=np.repeat(asked.position[:, None] + horizon + 1, 2, axis=1),
        forward=int(asked.position[2 * n // 3]) if n else 0,
        horizon=horizon,
        seed=seed,
    )
