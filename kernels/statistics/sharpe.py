"""Sharpe ratios that know their error, their length and how many were tried.

A ratio is per row (day or trade), never annualised; kurtosis is raw: that of a normal is 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e, inf, isfinite, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import kurtosis, skew

from kernels.evaluation import Floats
from kernels.statistics.samples import level_within, refuse_constant, series, table

LEAST = 20
"""Rows below which skewness and kurtosis are noise."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Moments:
    """What the error of a Sharpe ratio hangs on.

    Attributes
    ----------
    count : int
        Rows, about independent of each other.
    sharpe : float
        Mean over deviation (n - 1), per row.
    skewness : float
    kurtosis : float
        Raw: 3 for a normal.
    """

    count: int
    sharpe: float
    skewness: float = 0.0
    kurtosis: float = 3.0

    def __post_init__(self) -> None:
        """Refuse too short a sample and moments that no distribution has.

        Raises
        ------
        ValueError
            If `count` < 2, a moment is not finite or kurtosis is less than skewness^2 + 1, as an
            excess kurtosis is.
        """
        if self.count < 2:
            raise ValueError(f"a Sharpe ratio of {self.count} rows has no error; give 2 or more")
        if not (isfinite(self.sharpe) and isfinite(self.skewness) and isfinite(self.kurtosis)):
            raise ValueError("sharpe, skewness and kurtosis must be finite")
        if self.kurtosis < self.skewness**2 + 1 - ROUNDING * (1 + self.skewness**2):
            raise ValueError(
                f"kurtosis {self.kurtosis:g} is below skewness^2 + 1 = {self.skewness**2 + 1:g}; "
                "give the raw one (3 for a normal), not the excess"
            )

    @property
    def variance(self) -> float:
        """Variance of the ratio times n - 1 (Mertens 2002): 1 + sharpe^2 / 2 for a normal."""
        bent = 1 - self.skewness * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2
        return max(bent, 0.0)


@dataclass(frozen=True)
class Deflated:
    """A Sharpe ratio held against the best that as many worthless trials would have shown.

    Attributes
    ----------
    logged : int
        Trials of the experiment log.
    effective : float
        Trials that are about independent, 1 to `logged`.
    best_logged, best_effective : float
        Expected best ratio of so many trials without edge.
    by_logged, by_effective : float
        Deflated Sharpe ratio: probability that the true ratio exceeds that best.
    """

    logged: int
    effective: float
    best_logged: float
    best_effective: float
    by_logged: float
    by_effective: float


def moments(returns: ArrayLike) -> Moments:
    """Return the moments of returns[n].

    Parameters
    ----------
    returns : float[n]
        Net returns of a day or of a trade each, which do not overlap.

    Raises
    ------
    ValueError
        If there are fewer than 20, one is NaN or infinite, or all are equal.
    """
    sample = series(returns, "returns", LEAST)
    refuse_constant(sample, "returns")
    raw = float(kurtosis(sample, fisher=False))
    return Moments(len(sample), float(sharpe_ratio(sample)), float(skew(sample)), raw)


def sharpe_ratio(returns: Floats) -> Floats:
    """Return mean over deviation (n - 1) along the first axis (Sharpe 1966), per row.

    Parameters
    ----------
    returns : float64[n] or float64[n, k]
        Checked before: finite and not constant.
    """
    ratio: Floats = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    return ratio


def probabilistic_sharpe(sample: Moments, benchmark: float = 0.0) -> float:
    """Return the probability that the true ratio exceeds `benchmark`.

    Bailey and Lopez de Prado 2012, The Sharpe ratio efficient frontier, J. Risk 15(2).

    Parameters
    ----------
    sample : Moments
    benchmark : float
        A Sharpe ratio per row, as that of the sample.
    """
    distance = (sample.sharpe - benchmark) * sqrt(sample.count - 1)
    if sample.variance == 0:
        return 0.5 if distance == 0 else float(distance > 0)
    return float(ndtr(distance / sqrt(sample.variance)))


def expected_best(trials: float) -> float:
    """Return the expected greatest of so many standard normals, about (in deviations).

    Bailey and Lopez de Prado 2014, The deflated Sharpe ratio, J. Portfolio Management 40(5). The
    approximation falls below 0 near one trial, where 0 is returned: that is what one trial expects.

    Parameters
    ----------
    trials : float
        1 or more, whole or effective.

    Raises
    ------
    ValueError
        If there is less than one trial.
    """
    if not trials >= 1:
        raise ValueError(f"{trials:g} trials: what was looked at is one at least")
    best = (1 - np.euler_gamma) * ndtri(1 - 1 / trials) + np.euler_gamma * ndtri(
        1 - 1 / (trials * e)
    )
    return max(float(best), 0.0)


def effective_trials(returns: ArrayLike) -> float:
    """Return the number of about independent trials: r + (1 - r) k, r the mean correlation.

    Lopez de Prado 2018, Advances in Financial Machine Learning, and its companion papers. A mean
    correlation below 0 counts as 0. Few rows make r noisy, but not biased.

    Parameters
    ----------
    returns : float[n, k]
        Returns of all k trials over the same n rows.

    Raises
    ------
    ValueError
        If there are fewer than 20 rows, a value is NaN or infinite, or a column constant.
    """
    trials = table(returns, "returns", LEAST)
    refuse_constant(trials, "returns")
    k = trials.shape[1]
    if k == 1:
        return 1.0
    scaled = (trials - trials.mean(axis=0)) / trials.std(axis=0)
    # the sum of all correlations is the mean square of the rows' sums
    together = float((scaled.sum(axis=1) ** 2).mean())
    mean_correlation = min(max((together - k) / (k * (k - 1)), 0.0), 1.0)
    return float(k - mean_correlation * (k - 1))


def deflated_sharpe(
    sample: Moments, trial_sharpes: ArrayLike, *, logged: int, effective: float
) -> Deflated:
    """Hold a ratio against the best of the trials it was chosen from.

    Bailey and Lopez de Prado 2014, The deflated Sharpe ratio, J. Portfolio Management 40(5).

    Parameters
    ----------
    sample : Moments
        Of the chosen trial.
    trial_sharpes : float[k]
        Ratios of the trials, per row; their variance sets the scale. At least two.
    logged : int
        Trials ever made, from the experiment log: k or more.
    effective : float
        About independent ones among them, as `effective_trials` says.

    Raises
    ------
    ValueError
        If fewer trials are logged than given, or `effective` leaves 1 .. `logged`.
    """
    ratios = series(trial_sharpes, "trial_sharpes", 2)
    if logged < len(ratios):
        raise ValueError(f"{len(ratios)} trials are given and {logged} logged; log every trial")
    if not 1 <= effective <= logged:
        raise ValueError(f"effective trials must lie within 1 .. {logged}, not {effective:g}")
    spread = float(ratios.std(ddof=1))
    best_logged = spread * expected_best(logged)
    best_effective = spread * expected_best(effective)
    return Deflated(
        logged,
        effective,
        best_logged,
        best_effective,
        probabilistic_sharpe(sample, best_logged),
        probabilistic_sharpe(sample, best_effective),
    )


def least_length(sample: Moments, benchmark: float = 0.0, *, level: float = 0.95) -> float:
    """Return the rows after which such a ratio would be told from `benchmark` (MinTRL).

    Bailey and Lopez de Prado 2012, The Sharpe ratio efficient frontier, J. Risk 15(2).

    Parameters
    ----------
    sample : Moments
    benchmark : float
        A Sharpe ratio per row.
    level : float
        Of the one-sided test.

    Returns
    -------
    float
        Infinite where the ratio is not above the benchmark.
    """
    ahead = sample.sharpe - benchmark
    quantile = float(ndtri(level_within(level)))
    return 1.0 + sample.variance * (quantile / ahead) ** 2 if ahead > 0 else inf
