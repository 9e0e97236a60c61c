"""Ranks, order statistics and shapes of the last n values, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def ranks(x: Any, n: int, out: Any) -> None:
    """Write the share of the last n values that is below the newest, equal ones by half.

    Parameters
    ----------
    x : float64[rows]
    n : int
    out : float64[rows]
        Written to where the last n values are numbers.
    """
    good = 0
    for t in range(len(x)):
        good = 0 if np.isnan(x[t]) else good + 1
        if good >= n:
            halves = 0.0
            newest = x[t]
            for s in range(t - n + 1, t + 1):
                halves += 0.5 if x[s] < newest else 0.0
                halves += 0.5 if x[s] <= newest else 0.0
            out[t] = halves / n


@njit(nogil=True, cache=True)
def order_statistic(x: Any, share: float, n: int, out: Any) -> None:
    """Write the value below which a share of the last n lies, between the two next to it.

    Parameters
    ----------
    x : float64[rows]
    share : float
    n : int
    out : float64[rows]
        Written to where the last n values are numbers.
    """
    ordered = np.empty(n)
    have = 0
    place = share * (n - 1)
    under = int(np.floor(place))
    above = min(under + 1, n - 1)
    part = place - under
    for t in range(len(x)):
        new = x[t]
        if np.isnan(new):
            have = 0
            continue
        if have < n:
            hole = have
            have += 1
        else:
            hole = np.searchsorted(ordered, x[t - n])
        while hole > 0 and ordered[hole - 1] > new:
            ordered[hole] = ordered[hole - 1]
            hole -= 1
        while hole < have - 1 and ordered[hole + 1] < new:
            ordered[hole] = ordered[hole + 1]
            hole += 1
        ordered[hole] = new
        if have == n:
            out[t] = ordered[under] + part * (ordered[above] - ordered[under])


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def shapes(x: Any, n: int, skew: Any, kurtosis: Any) -> None:
    """Write skewness and excess kurtosis of the last n values, from their moments about the mean.

    Parameters
    ----------
    x : float64[rows]
    n : int
    skew, kurtosis : float64[rows]
        Written to where the last n values are numbers that differ.
    """
    good = 0
    for t in range(len(x)):
        good = 0 if np.isnan(x[t]) else good + 1
        if good >= n:
            mean = 0.0
            for s in range(t - n + 1, t + 1):
                mean += x[s]
            mean /= n
            second, third, fourth = 0.0, 0.0, 0.0
            for s in range(t - n + 1, t + 1):
                apart = x[s] - mean
                square = apart * apart
                second += square
                third += square * apart
                fourth += square * square
            second /= n
            if second > 1e-24 * mean * mean:
                skew[t] = third / n / second**1.5
                kurtosis[t] = fourth / n / second**2 - 3.0
