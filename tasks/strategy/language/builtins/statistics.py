"""Statistics of the last n bars, the newest included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl

from kernels import windows
from tasks.strategy.language.registry import CONDITION, Builtin, Floats, Slot, X, Y, bars, over

GROUP: Final = "Statistics over the last n bars"
FULL: Final = "null until n bars are there, and where one of them is null"
MOST_RANKED: Final = 2_000
"""Bars of windows that are gone through value by value."""
_N, _N2 = bars(), bars(low=2)
_FEW, _FEW2 = bars(high=MOST_RANKED), bars(low=2, high=MOST_RANKED)


def zscores(x: Floats, n: int) -> Floats:
    """Return deviations from the mean of the last n values: float64[rows].

    Parameters
    ----------
    x : float64[rows]
    n : int
    """
    mean, variance = windows.moments(x, n)
    return (x - mean) / _deviation(variance)


def correlations(x: Floats, y: Floats, n: int) -> Floats:
    """Return the correlation of the last n pairs, NaN where one stands still: float64[rows].

    Parameters
    ----------
    x, y : float64[rows]
    n : int
    """
    both, own, other = windows.comoments(x, y, n)
    return np.clip(both / (_deviation(own) * _deviation(other)), -1.0, 1.0)


def _deviation(variance: Floats) -> Floats:
    return np.sqrt(np.where(variance > 0, variance, np.nan))


def _beta(x: Floats, y: Floats, n: int) -> Floats:
    both, _, other = windows.comoments(x, y, n)
    return both / np.where(other > 0, other, np.nan)


def _lagged(x: Floats, lag: int, n: int) -> Floats:
    earlier = np.full(len(x), np.nan)
    earlier[lag:] = x[: max(len(x) - lag, 0)]
    return correlations(x, earlier, n)


def _over(
    name: str,
    says: str,
    units: str,
    example: str,
    kernel: Callable[..., Floats],
    *,
    slots: Any = (X, _N),
    nulls: str = FULL,
) -> Builtin:
    count = sum(not slot.constant for slot in slots)

    def build(_: Any, *given: Any) -> pl.Expr:
        return over(lambda *arrays: kernel(*arrays, *given[count:]), *given[:count])

    return Builtin(
        name,
        GROUP,
        slots,
        "number",
        says,
        units,
        example,
        build,
        role="window",
        earlier=lambda *given: given[-1] - 1,
        warmup="n - 1 bars",
        nulls=nulls,
    )


_STILL = f"{FULL}, or where all are equal"

FUNCTIONS: Final = (
    _over("mean", "The mean.", "as x", "mean(close(), 20)", lambda x, n: windows.total(x, n) / n),
    _over("sum", "The sum.", "as x", "sum(change(close(), 1), 20)", windows.total),
    _over(
        "count",
        "How many of the bars fulfil a condition.",
        "bars",
        "count(close() > open(), 20)",
        windows.total,
        slots=(CONDITION, _N),
    ),
    _over(
        "stddev",
        "The standard deviation (divided by n).",
        "as x",
        "stddev(close(), 20)",
        lambda x, n: np.sqrt(windows.moments(x, n)[1]),
        slots=(X, _N2),
    ),
    _over(
        "variance",
        "The variance (divided by n).",
        "x squared",
        "variance(close(), 20)",
        lambda x, n: windows.moments(x, n)[1],
        slots=(X, _N2),
    ),
    _over(
        "median",
        "The median.",
        "as x",
        "median(close(), 20)",
        lambda x, n: windows.percentile(x, 0.5, n),
        slots=(X, _FEW),
    ),
    _over(
        "percentile",
        "The value below which a share p of the bars lies, between the two next to it.",
        "as x",
        "percentile(volume(), 0.9, 100)",
        windows.percentile,
        slots=(X, Slot("p", constant=True, low=0.0, high=1.0), _FEW),
    ),
    _over(
        "percentile_rank",
        "The share of the bars below the newest; equal ones count by half.",
        "0 to 1",
        "percentile_rank(atr(14), 500)",
        windows.rank,
        slots=(X, _FEW),
    ),
    _over(
        "zscore",
        "Deviations from the mean.",
        "deviations",
        "zscore(close(), 20)",
        zscores,
        slots=(X, _N2),
        nulls=_STILL,
    ),
    _over(
        "skew",
        "The skewness: above 0 where the long tail lies above.",
        "a number",
        "skew(change(close(), 1), 100)",
        lambda x, n: windows.shape(x, n)[0],
        slots=(X, _FEW2),
        nulls=_STILL,
    ),
    _over(
        "kurtosis",
        "The excess kurtosis: 0 for the normal distribution.",
        "a number",
        "kurtosis(change(close(), 1), 100)",
        lambda x, n: windows.shape(x, n)[1],
        slots=(X, _FEW2),
        nulls=_STILL,
    ),
    _over(
        "correlation",
        "The correlation of x and y.",
        "-1 to 1",
        "correlation(close(), volume(), 50)",
        correlations,
        slots=(X, Y, _N2),
        nulls=_STILL,
    ),
    _over(
        "covariance",
        "The covariance (divided by n).",
        "x times y",
        "covariance(close(), volume(), 50)",
        lambda x, y, n: windows.comoments(x, y, n)[0],
        slots=(X, Y, _N2),
    ),
    _over(
        "beta",
        "By how much x moves where y moves by one: covariance over the variance of y.",
        "x per y",
        "beta(change(close(), 1), change(volume(), 1), 50)",
        _beta,
        slots=(X, Y, _N2),
        nulls=_STILL,
    ),
    Builtin(
        "autocorrelation",
        GROUP,
        (X, bars("lag"), _N2),
        "number",
        "The correlation of x with itself lag bars before.",
        "-1 to 1",
        "autocorrelation(change(close(), 1), 1, 100)",
        lambda _, x, lag, n: over(lambda a: _lagged(a, lag, n), x),
        role="window",
        earlier=lambda _, lag, n: lag + n - 1,
        warmup="lag + n - 1 bars",
        nulls=_STILL,
    ),
)
