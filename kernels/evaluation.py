"""How good a probability was: scores, their parts, and intervals for shares.

Arrays here are small and live on the host: NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats: TypeAlias = NDArray[np.float64]

BINS = 15


@dataclass(frozen=True)
class Murphy:
    """Parts of the Brier score: brier = reliability - resolution + uncertainty + within.

    Attributes
    ----------
    reliability : float
        Mean squared distance of what was said from what came, over bins; 0 is perfect.
    resolution : float
        Variance of what came, between bins; more is better.
    uncertainty : float
        Variance of the outcomes.
    within : float
        What differences inside a bin add; 0 where each bin says one number.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


@dataclass(frozen=True)
class Reliability:
    """Points of a reliability diagram, one a bin, in ascending order of what was said.

    Attributes
    ----------
    said, came : float64[b]
        Mean probability and mean outcome.
    count : int64[b]
    low, high : float64[b]
        Wilson interval of `came`.
    """

    said: Floats
    came: Floats
    count: NDArray[np.int64]
    low: Floats
    high: Floats


def brier(probability: ArrayLike, outcome: ArrayLike) -> float:
    """Return the mean squared distance of probability[n] from outcome[n] (Brier 1950).

    Parameters
    ----------
    probability : float[n]
        What was said, 0 to 1.
    outcome : float[n]
        What came, 0 or 1; a true probability where a generator knows it.

    Raises
    ------
    ValueError
        If a value is NaN or leaves 0 .. 1, lengths differ or there is none. So do all functions
        of this module.
    """
    p, y = _pair(probability, outcome)
    return float(((p - y) ** 2).mean())


def brier_skill(probability: ArrayLike, outcome: ArrayLike, base_rate: ArrayLike) -> float:
    """Return 1 - Brier score / Brier score of the base rate; 0 is no better than the base rate.

    Parameters
    ----------
    probability, outcome : float[n]
    base_rate : float or float[n]
        Of the training span: what one knew without looking at anything else.

    Raises
    ------
    ValueError
        If the base rate is right every time, so that no skill is defined.
    """
    p, y = _pair(probability, outcome)
    reference = brier(np.broadcast_to(np.asarray(base_rate, np.float64), p.shape), y)
    if reference == 0:
        raise ValueError("the base rate is never wrong here; give outcomes of both kinds")
    return 1 - brier(p, y) / reference


def log_loss(probability: ArrayLike, outcome: ArrayLike) -> float:
    """Return the mean of -ln(probability of what came), in nats; inf where 0 or 1 was wrong.

    Parameters
    ----------
    probability : float[n]
        What was said, 0 to 1.
    outcome : float[n]
        What came, 0 or 1; a true probability where a generator knows it.
    """
    p, y = _pair(probability, outcome)
    # `where` computes both branches: 0 * log 0 is NaN in the one that is not taken
    with np.errstate(divide="ignore", invalid="ignore"):
        won = np.where(y > 0, y * np.log(p), 0.0)
        lost = np.where(y < 1, (1 - y) * np.log1p(-p), 0.0)
    return float(-(won + lost).mean())


def murphy(probability: ArrayLike, outcome: ArrayLike, *, bins: int = BINS) -> Murphy:
    """Split the Brier score (Murphy 1973, J. Appl. Meteor. 12) over equal-mass bins.

    Parameters
    ----------
    probability : float[n]
        What was said, 0 to 1.
    outcome : float[n]
        What came, 0 or 1; a true probability where a generator knows it.
    bins : int
        At most; equal probabilities stay in one bin.
    """
    p, y = _pair(probability, outcome)
    forecast, observed, share = _bin_means(p, y, bins)
    reliability = float((share * (forecast - observed) ** 2).sum())
    resolution = float((share * (observed - y.mean()) ** 2).sum())
    uncertainty = float(((y - y.mean()) ** 2).mean())
    within = brier(p, y) - (reliability - resolution + uncertainty)
    return Murphy(reliability, resolution, uncertainty, within)


def calibration_error(probability: ArrayLike, outcome: ArrayLike, *, bins: int = BINS) -> float:
    """Return the mean distance of what was said from what came, over equal-mass bins.

    Parameters
    ----------
    probability : float[n]
    outcome : float[n]
        Outcomes 0 or 1, or the true probabilities where a generator knows them. With outcomes, few
        of them in a bin leave an error of chance alone.
    bins : int
        At most; equal probabilities stay in one bin.
    """
    forecast, observed, share = _bin_means(*_pair(probability, outcome), bins)
    return float((share * np.abs(forecast - observed)).sum())


def reliability(
    probability: ArrayLike, outcome: ArrayLike, *, bins: int = BINS, level: float = 0.95
) -> Reliability:
    """Return the points of a reliability diagram with their Wilson intervals.

    Outcomes that overlap are fewer than they seem: choose rows by `non_overlapping` first.

    Parameters
    ----------
    probability : float[n]
        What was said, 0 to 1.
    outcome : float[n]
        What came, 0 or 1; a true probability where a generator knows it.
    bins : int
        At most; equal probabilities stay in one bin.
    level : float
        Of the two-sided intervals, 0.95 as a rule.
    """
    p, y = _pair(probability, outcome)
    forecast, observed, share = _bin_means(p, y, bins)
    count = np.rint(share * len(p)).astype(np.int64)
    low, high = wilson(observed * count, count, level=level)
    return Reliability(forecast, observed, count, np.asarray(low), np.asarray(high))


def equal_mass(values: ArrayLike, bins: int = BINS) -> NDArray[np.int64]:
    """Number the rows' bins 0 .. b - 1 by value: of one size, but equal values stay together.

    Parameters
    ----------
    values : float[n]
    bins : int
        At most; ties leave fewer.

    Returns
    -------
    int64[n]
        Bin of each row, each of 0 .. b - 1 at least once.
    """
    array = np.asarray(values, np.float64)
    cuts = np.arange(1, bins) * len(array) // bins
    edges = np.unique(np.sort(array)[cuts]) if len(array) else array
    # ties leave bins without rows: number those that have some
    return np.unique(np.searchsorted(edges, array, side="right"), return_inverse=True)[1]


def wilson(wins: ArrayLike, count: ArrayLike, *, level: float = 0.95) -> tuple[Any, Any]:
    """Return the Wilson (1927, JASA 22) interval of a share.

    Parameters
    ----------
    wins, count : float or float[n]
        Successes among trials; fractions are allowed, as an effective count may be one.
    level : float
        Two-sided, 0.95 as a rule.

    Returns
    -------
    low, high : float or float64[n]
        0 and 1 where there was no trial.

    Raises
    ------
    ValueError
        If `wins` leaves 0 .. `count`, or `level` does not lie between 0 and 1.

    Notes
    -----
    SciPy's own takes one pair of whole numbers at a time.
    """
    w, n = np.asarray(wins, np.float64), np.asarray(count, np.float64)
    if not (np.all(n >= 0) and np.all(w >= 0) and np.all(w <= n)):
        raise ValueError("wins must lie within 0 .. count; give successes and trials")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}; 0.95 as a rule")
    z2 = float(ndtri((1 + level) / 2)) ** 2
    centre = (w + z2 / 2) / (n + z2)
    # w = 0 where n = 0: 0 / 1e-300 is 0 without a warning, and the interval all of 0 .. 1
    reach = np.sqrt(z2 * (w * (n - w) / np.maximum(n, 1e-300) + z2 / 4)) / (n + z2)
    low, high = np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0)
    return (float(low), float(high)) if low.ndim == 0 else (low, high)


def non_overlapping(position: ArrayLike, horizon: int) -> NDArray[np.bool_]:
    """Choose rows whose trades do not overlap: first come, first kept.

    Parameters
    ----------
    position : int[n]
        Bar numbers, ascending.
    horizon : int
        Trades at bars t and t + horizon just miss each other.

    Returns
    -------
    bool[n]

    Raises
    ------
    ValueError
        If positions descend or `horizon` < 1.
    """
    bars = np.asarray(position, np.int64)
    if horizon < 1 or (np.diff(bars) < 0).any():
        raise ValueError("position must ascend and horizon be >= 1; sort the rows by bar")
    chosen = np.zeros(len(bars), np.bool_)
    row = 0
    while row < len(bars):
        chosen[row] = True
        row = int(np.searchsorted(bars, bars[row] + horizon))
    return chosen


def _pair(probability: ArrayLike, outcome: ArrayLike) -> tuple[Floats, Floats]:
    p, y = np.asarray(probability, np.float64), np.asarray(outcome, np.float64)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ValueError(
            f"probability {p.shape} and outcome {y.shape} must be of one length, at least 1; "
            "choose the rows that have both"
        )
    for name, values in (("probability", p), ("outcome", y)):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} has NaN or leaves 0 .. 1; choose the rows that are known")
    return p, y


def _bin_means(p: Floats, y: Floats, bins: int) -> tuple[Floats, Floats, Floats]:
    group = equal_mass(p, bins)
    count = np.bincount(group)
    forecast, observed = np.bincount(group, p) / count, np.bincount(group, y) / count
    return forecast, observed, count / len(p)
