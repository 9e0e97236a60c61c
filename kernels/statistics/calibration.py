"""Calibration without bins: CORP, its parts of the Brier score, and its bands.

Consistent, optimally binned, reproducible, by pool-adjacent-violators: Dimitriadis, Gneiting and
Jordan 2021, Stable reliability diagrams for probabilistic classifiers, PNAS 118(8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from kernels.evaluation import Floats, brier, brier_skill
from kernels.statistics.bootstrap import (
    DRAWS,
    Interval,
    bootstrap_interval,
    longest_block,
    percentiles,
    stationary_draws,
)
from kernels.statistics.samples import refuse_one_sided, series

LEAST = 20
POINTS = 101


@dataclass(frozen=True)
class Corp:
    """A reliability diagram and the parts of the Brier score that belong to it.

    score = miscalibration - discrimination + uncertainty, exactly.

    Attributes
    ----------
    said : float64[m]
        Probabilities that were said, each once, ascending.
    came : float64[m]
        What to say instead: the nondecreasing function of `said` of least Brier score.
    count : int64[m]
        How often each was said.
    score : float
        Brier score of what was said.
    miscalibration : float
        What saying `came` instead would save; 0 is perfect.
    discrimination : float
        What `came` is better by than the share of wins; more is better.
    uncertainty : float
        Brier score of the share of wins.
    """

    said: Floats
    came: Floats
    count: NDArray[np.int64]
    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float


@dataclass(frozen=True)
class Bands:
    """Pointwise bands of a reliability diagram.

    Attributes
    ----------
    said : float64[g]
    low, high : float64[g]
    length : float
        Mean length of the blocks, in rows.
    """

    said: Floats
    low: Floats
    high: Floats
    length: float


def corp(probability: ArrayLike, outcome: ArrayLike) -> Corp:
    """Return the CORP reliability of probability[n] and its decomposition.

    Parameters
    ----------
    probability : float[n]
        What was said, 0 to 1.
    outcome : float[n]
        What came, 0 or 1.

    Raises
    ------
    ValueError
        If there are fewer than 20 rows, lengths differ, a value is NaN or leaves 0 .. 1, or all
        outcomes are of one kind.
    """
    p, y = _both(probability, outcome)
    said, group, count = np.unique(p, return_inverse=True, return_counts=True)
    came = _isotonic(np.bincount(group, y) / count, count)
    score, best, usual = brier(p, y), brier(came[group], y), brier(np.full_like(y, y.mean()), y)
    return Corp(said, came, count.astype(np.int64), score, score - best, usual - best, usual)


def corp_bands(
    probability: ArrayLike,
    outcome: ArrayLike,
    *,
    kind: Literal["confidence", "consistency"] = "confidence",
    length: float | None = None,
    level: float = 0.9,
    draws: int = DRAWS,
    seed: int = 0,
) -> Bands:
    """Return bootstrap bands on a grid from the least to the greatest probability said.

    Parameters
    ----------
    probability : float[n]
        What was said, 0 to 1, in time.
    outcome : float[n]
        What came, 0 or 1.
    kind : str
        "confidence": around what came, rows drawn in stationary blocks with their outcomes.
        "consistency": around the diagonal, outcomes drawn from what was said; one who says the
        truth stays inside. Overlapping outcomes make this one too narrow.
    length : float, optional
        Mean length of the blocks; chosen by `block_length` without it. The horizon at least.
    level : float
        Of each point by itself, not of the whole curve.
    draws : int
    seed : int

    Raises
    ------
    ValueError
        As `corp`, and if all probabilities are alike.
    """
    p, y = _both(probability, outcome)
    if np.ptp(p) == 0:
        raise ValueError(f"all {len(p)} probabilities are {p[0]:g}; a curve needs two at least")
    blocks = longest_block(np.stack([y - p, y], axis=1)) if length is None else length
    grid = np.linspace(p.min(), p.max(), POINTS)
    chance = np.random.default_rng([seed, 1])
    curves = np.empty((draws, POINTS))
    for i, rows in enumerate(stationary_draws(len(p), blocks, draws, seed)):
        came = y[rows] if kind == "confidence" else (chance.random(len(p)) < p[rows]).astype(float)
        curves[i] = _curve(p[rows], came, grid)
    low, high = percentiles(curves, level)
    return Bands(grid, low, high, blocks)


def skill_interval(
    probability: ArrayLike,
    outcome: ArrayLike,
    base_rate: ArrayLike,
    *,
    length: float | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Return the Brier skill against the base rate with its block-bootstrap interval.

    Parameters
    ----------
    probability : float[n]
        What was said, 0 to 1, in time.
    outcome : float[n]
        What came, 0 or 1.
    base_rate : float or float[n]
        Of the training span.
    length : float, optional
        Mean length of the blocks; chosen by `block_length` without it. The horizon at least.
    level : float
        Two-sided.
    draws : int
    seed : int

    Raises
    ------
    ValueError
        As `corp`, and if the base rate is right in all of a draw.
    """
    p, y = _both(probability, outcome)
    base = np.broadcast_to(np.asarray(base_rate, np.float64), p.shape)
    ahead = (base - y) ** 2 - (p - y) ** 2
    return bootstrap_interval(
        np.stack([p, y, base], axis=1),
        lambda rows: brier_skill(*rows.T),
        length=longest_block(np.stack([ahead, y], axis=1)) if length is None else length,
        level=level,
        draws=draws,
        seed=seed,
    )


def _both(probability: ArrayLike, outcome: ArrayLike) -> tuple[Floats, Floats]:
    p, y = series(probability, "probability", LEAST), series(outcome, "outcome", LEAST)
    brier(p, y)  # refuses lengths that differ and what leaves 0 .. 1
    refuse_one_sided(y)
    return p, y


def _isotonic(mean: Floats, weight: ArrayLike) -> Floats:
    fitted: Floats = isotonic_regression(mean, weights=weight).x
    # rounding leaves means of wins a hair outside
    return np.clip(fitted, 0.0, 1.0)


def _curve(p: Floats, y: Floats, grid: Floats) -> Floats:
    said, group, count = np.unique(p, return_inverse=True, return_counts=True)
    curve: Floats = np.interp(grid, said, _isotonic(np.bincount(group, y) / count, count))
    return curve
