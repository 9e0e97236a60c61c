"""Resampling of series whose rows depend on their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, isfinite, log10, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernels.evaluation import Floats
from kernels.statistics.samples import level_within, refuse_constant, series

DRAWS = 1000
LEAST = 20
"""Rows below which no block length can be told."""


@dataclass(frozen=True)
class Interval:
    """A statistic and its interval by percentiles of stationary draws.

    Attributes
    ----------
    estimate, low, high : float
    draws : int
    length : float
        Mean length of the blocks, in rows.
    """

    estimate: float
    low: float
    high: float
    draws: int
    length: float


def block_length(values: ArrayLike) -> float:
    """Return the mean length of blocks of least error for the mean of values[n], in rows.

    Politis and White 2004, Econometric Reviews 23; Patton, Politis and White 2009, Econometric
    Reviews 28.

    Parameters
    ----------
    values : float[n]
        In time.

    Returns
    -------
    float
        1, single rows, to min(3 sqrt(n), n / 3), rounded up.

    Raises
    ------
    ValueError
        If there are fewer than 20, one is NaN or infinite, or all are equal.
    """
    x = series(values, "values", LEAST)
    refuse_constant(x, "values")
    n, lags = len(x), np.arange(1, _memory(x) + 1)
    taper = np.minimum(1.0, 2 * (1 - lags / lags[-1]))
    covariance = _covariances(x, int(lags[-1]))
    slope = 2 * float((taper * lags * covariance[1:]).sum())
    long_run = float(covariance[0] + 2 * (taper * covariance[1:]).sum())
    longest = float(ceil(min(3 * sqrt(n), n / 3)))
    if long_run == 0:
        return longest
    best: float = (slope**2 / long_run**2 * n) ** (1 / 3)
    return min(max(best, 1.0), longest)


def stationary_draws(
    rows: int, length: float, draws: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers int64[rows], a draw at a time.

    Politis and Romano 1994, J. American Statistical Association 89: blocks of geometric length
    that begin anywhere and go on from the first row after the last.

    Parameters
    ----------
    rows : int
        1 or more.
    length : float
        Mean length of the blocks, 1 (single rows) to `rows`.
    draws : int
        1 or more.
    seed : int
        The same seed draws the same.

    Raises
    ------
    ValueError
        If one of them is out of its bounds.
    """
    if rows < 1 or draws < 1 or not 1 <= length <= rows:
        raise ValueError(
            f"length must lie within 1 .. {rows} rows and draws be 1 or more, "
            f"not {length:g} and {draws}"
        )
    rng, row = np.random.default_rng(seed), np.arange(rows)
    return (_stationary(rng, row, length) for _ in range(draws))


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[Floats], float],
    *,
    length: float | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Return a statistic of rows with its percentile interval over stationary draws.

    Parameters
    ----------
    values : float[n] or float[n, k]
        Rows in time; columns stay together.
    statistic : Callable
        Of so many rows; finite for every draw.
    length : float, optional
        Mean length of the blocks; without it the greatest that `block_length` says of a column.
        Where outcomes overlap, give their horizon at least.
    level : float
        Two-sided.
    draws : int
    seed : int

    Raises
    ------
    ValueError
        If there are fewer than 20 rows, a value is NaN or infinite, all rows are alike, or the
        statistic is not finite for the rows or a draw of them.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim > 1:
        sample = np.stack([series(each, "values", LEAST) for each in sample.T], axis=1)
    else:
        sample = series(sample, "values", LEAST)
    blocks = longest_block(sample) if length is None else length
    told = [
        statistic(sample[chosen]) for chosen in stationary_draws(len(sample), blocks, draws, seed)
    ]
    estimate = float(statistic(sample))
    if not (isfinite(estimate) and np.isfinite(told).all()):
        failed = int((~np.isfinite(told)).sum())
        raise ValueError(f"the statistic is not finite for {failed} of {draws} draws")
    low, high = percentiles(np.array(told), level)
    return Interval(estimate, float(low), float(high), draws, blocks)


def longest_block(values: Floats) -> float:
    """Return the greatest `block_length` among the columns that vary.

    Parameters
    ----------
    values : float64[n] or float64[n, k]

    Raises
    ------
    ValueError
        If no column varies, or as `block_length`.
    """
    columns = values.reshape(len(values), -1).T
    varying = [each for each in columns if np.ptp(each) > 0]
    if not varying:
        raise ValueError(f"all {len(values)} rows are alike; they must vary")
    return max(block_length(each) for each in varying)


def percentiles(draws: Floats, level: float) -> Floats:
    """Return the two-sided percentile bounds [2, ...] over the first axis.

    Parameters
    ----------
    draws : float64[draws, ...]
    level : float
        Two-sided, 0.95 as a rule.
    """
    tail = (1 - level_within(level)) / 2
    bounds: Floats = np.quantile(draws, [tail, 1 - tail], axis=0)
    return bounds


def _stationary(
    rng: np.random.Generator, row: NDArray[np.int64], length: float
) -> NDArray[np.int64]:
    begins = rng.random(len(row)) < 1 / length
    first = np.maximum.accumulate(np.where(begins, row, 0))
    start = rng.integers(len(row), size=len(row))
    drawn: NDArray[np.int64] = (start[first] + row - first) % len(row)
    return drawn


def _memory(x: Floats) -> int:
    """Return twice the first lag from which on a few correlations in a row are nothing."""
    n = len(x)
    run = max(5, int(log10(n)))
    most = ceil(sqrt(n)) + run
    centred = x - x.mean()
    small = np.array([abs(_correlation(centred, lag)) for lag in range(1, most + 1)]) < (
        2 * sqrt(log10(n) / n)
    )
    for first in range(len(small) - run + 1):
        if small[first : first + run].all():
            return min(2 * (first + 1), most)
    return most


def _correlation(centred: Floats, lag: int) -> float:
    late, early = centred[lag:], centred[: len(centred) - lag]
    scale = sqrt(float(late @ late) * float(early @ early))
    return float(late @ early) / scale if scale else 0.0


def _covariances(x: Floats, last: int) -> Floats:
    centred, n = x - x.mean(), len(x)
    return np.array([centred[lag:] @ centred[: n - lag] / n for lag in range(last + 1)])
