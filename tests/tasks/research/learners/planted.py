"""Rows whose outcomes hang on what the test plants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tasks.research.learners.folds import Folds
from tasks.research.learners.rows import Labels, Rows

Floats = NDArray[np.float64]
HORIZON = 4
HOUR = 3_600_000_000


def rows(n: int, *, seed: int = 0, **columns: Any) -> Rows:
    """Return n bars in a row of noise, but for the columns given."""
    rng = np.random.default_rng(seed)
    usual: dict[str, Any] = {
        "position": np.arange(n),
        "time": np.arange(n) * HOUR,
        "trajectory": rng.standard_normal((n, 64)).astype(np.float32),
        "volatility": rng.normal(0, 0.4, n),
        "cost": rng.uniform(0.1, 0.3, n),
        "momentum": rng.standard_normal((n, 3)),
        "pattern": rng.integers(0, 32, n),
        "leads": np.empty((n, 0)),
        "wins": np.zeros((n, 2), np.int64),
        "k_eff": np.zeros(n, np.int64),
        "pooled_wins": np.zeros((n, 2), np.int64),
        "pooled_k_eff": np.zeros(n, np.int64),
        "local": np.full((n, 2), np.nan),
    }
    return Rows(**{**usual, **columns})


def outcomes(odds: Floats, *, seed: int = 0) -> NDArray[np.int8]:
    """Draw a win by its log-odds for longs, and by the same of opposite sign for shorts."""
    draw = np.random.default_rng([seed, 1]).random((len(odds), 2))
    return np.asarray(draw < expit(np.column_stack([odds, -odds])), np.int8)


def labelled(
    asked: Rows, odds: Floats, *, seed: int = 0, horizon: int = HORIZON
) -> tuple[Labels, Folds]:
    """Return outcomes of rows that won by these log-odds, and their folds."""
    labels = Labels.of(asked.position, outcomes(odds, seed=seed), horizon)
    return labels, folds(asked, horizon=horizon)


def folds(asked: Rows, *, horizon: int = HORIZON, seed: int = 0) -> Folds:
    """Cut rows into folds; the last third is the calibration span."""
    forward = int(asked.position[2 * len(asked) // 3])
    return Folds.cut(asked.position, forward=forward, horizon=horizon, seed=seed)
