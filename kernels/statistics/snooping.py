"""Is the best of many better than the benchmark, or the luckiest? Hansen's test.

The test of that name in `arch` 8.0.0 does not divide by the trials' deviations, so that one wild
trial hides a good one. This one is studentised, as the paper has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft

from kernels.evaluation import Floats
from kernels.statistics.bootstrap import DRAWS, stationary_draws
from kernels.statistics.samples import refuse_constant, table

LEAST = 20
COUNTED = 1 << 22
"""Rows times draws counted at once."""


@dataclass(frozen=True)
class SuperiorAbility:
    """Hansen's test that no trial beats the benchmark.

    Attributes
    ----------
    statistic : float
        Greatest mean gain in its own standard errors, 0 or more.
    best : int
        The column of it.
    lower, consistent, upper : float
        P-values, never 0. The consistent one is to be used: `upper` is White's, which bad trials
        blunt, `lower` takes all trials that lost as out of the race.
    length : float
        Mean length of the blocks, in rows.
    """

    statistic: float
    best: int
    lower: float
    consistent: float
    upper: float
    length: float


def superior_ability(
    gains: ArrayLike, *, length: float | None = None, draws: int = DRAWS, seed: int = 0
) -> SuperiorAbility:
    """Test whether the best of k trials beats the benchmark.

    Hansen 2005, A test for superior predictive ability, J. Business and Economic Statistics 23;
    White 2000, A reality check for data snooping, Econometrica 68.

    Parameters
    ----------
    gains : float[n, k]
        What each trial earned above the benchmark (staying out of the market: its net return), a
        row a day or bar. All trials, the bad ones too.
    length : float, optional
        Mean length of the blocks of the stationary bootstrap; sqrt(n) without it.
    draws : int
    seed : int

    Raises
    ------
    ValueError
        If there are fewer than 20 rows, a value is NaN or infinite, or a column constant.
    """
    trials = table(gains, "gains", LEAST)
    refuse_constant(trials, "gains")
    n = len(trials)
    blocks = sqrt(n) if length is None else length
    mean, deviation = trials.mean(axis=0), long_run_deviation(trials, blocks)
    t = sqrt(n) * mean / deviation
    statistic = max(float(t.max()), 0.0)
    drawn = sqrt(n) * _means(trials, blocks, draws, seed) / deviation
    centres = (np.maximum(t, 0.0), np.where(t >= -sqrt(2 * log(log(n))), t, 0.0), t)
    lower, consistent, upper = (_exceeded(drawn - each, statistic) for each in centres)
    return SuperiorAbility(statistic, int(t.argmax()), lower, consistent, upper, blocks)


def long_run_deviation(values: Floats, length: float) -> Floats:
    """Return the deviation of sqrt(n) times the mean under the stationary bootstrap, by column.

    Politis and Romano 1994, J. American Statistical Association 89, their equation for it: no draw
    is needed.

    Parameters
    ----------
    values : float64[n, k]
    length : float
        Mean length of the blocks, in rows.

    Raises
    ------
    ValueError
        If `length` leaves 1 .. n, or a column has no deviation.
    """
    n = len(values)
    if not 1 <= length <= n:
        raise ValueError(f"length must lie within 1 .. {n} rows, not {length:g}")
    lag, stay = np.arange(1, n), 1 - 1 / length
    kernel = (1 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
    covariance = _covariances(values)
    variance = covariance[0] + 2 * kernel @ covariance[1:]
    if not (variance > 0).all():
        raise ValueError(f"{int((variance <= 0).sum())} columns have no long-run deviation")
    deviation: Floats = np.sqrt(variance)
    return deviation


def _covariances(values: Floats) -> Floats:
    n = len(values)
    size = next_fast_len(2 * n, real=True)
    spectrum = rfft(values - values.mean(axis=0), size, axis=0)
    covariance: Floats = irfft(np.abs(spectrum) ** 2, size, axis=0)[:n] / n
    return covariance


def _means(values: Floats, length: float, draws: int, seed: int) -> Floats:
    """Return the means of the draws [draws, k]: how often each row was drawn, times the rows."""
    n, step = len(values), max(COUNTED // len(values), 1)
    rows = stationary_draws(n, length, draws, seed)
    means = np.empty((draws, values.shape[1]))
    for first in range(0, draws, step):
        count = min(step, draws - first)
        often = np.stack([np.bincount(next(rows), minlength=n) for _ in range(count)])
        means[first : first + count] = often.astype(np.float64) @ values / n
    return means


def _exceeded(drawn: Floats, statistic: float) -> float:
    greatest = np.maximum(drawn.max(axis=1), 0.0)
    return (1 + int((greatest >= statistic).sum())) / (1 + len(drawn))
