"""Windows: what the last n values of a series say, of these alone.

A window's sum is a tree of sums whose shape hangs on n alone. So no value depends on where the data
begin, no rounding adds up along a series, and a NaN is forgotten as soon as it leaves the window.
A NaN in the window, or fewer than n values, give NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.windows import order_statistic, ranks, shapes

CHUNK = 16_384
"""Values at a time, so that all passes over them stay in the cache."""

Floats: TypeAlias = NDArray[np.float64]
State: TypeAlias = tuple[Floats, ...]
Merge: TypeAlias = Callable[[State, State, int, int], State]
"""What a newer and an older stretch, and their lengths, give as one."""


def total(x: Floats, n: int, decay: float = 1.0) -> Floats:
    """Return sum_j decay^j x_(t-j), j = 0 .. n - 1: float64[rows].

    Parameters
    ----------
    x : float64[rows]
    n : int
        Values of a window.
    decay : float
        What a value weighs less than the next newer one, 0 to 1.
    """

    def merge(newer: State, older: State, count: int, _: int) -> State:
        return (newer[0] + decay**count * older[0],)

    def plain(newer: State, older: State, *_: int) -> State:
        return (newer[0] + older[0],)

    return _sliding((x,), n, plain if decay == 1.0 else merge)[0]


def highest(x: Floats, n: int) -> Floats:
    """Return the greatest of the last n values: float64[rows].

    Parameters
    ----------
    x : float64[rows]
    n : int
    """
    return _sliding((x,), n, lambda newer, older, *_: (np.maximum(newer[0], older[0]),))[0]


def lowest(x: Floats, n: int) -> Floats:
    """Return the least of the last n values: float64[rows].

    Parameters
    ----------
    x : float64[rows]
    n : int
    """
    return _sliding((x,), n, lambda newer, older, *_: (np.minimum(newer[0], older[0]),))[0]


def moments(x: Floats, n: int) -> tuple[Floats, Floats]:
    """Return mean and variance (divided by n) of the last n values: float64[rows] each.

    Parameters
    ----------
    x : float64[rows]
    n : int

    Notes
    -----
    Means and squares of two stretches become one as in Chan, Golub and LeVeque (1983): no
    difference of great numbers is formed.
    """

    def merge(newer: State, older: State, count: int, before: int) -> State:
        apart = older[0] - newer[0]
        both = count + before
        mean = newer[0] + apart * (before / both)
        apart *= apart
        apart *= count * before / both
        apart += newer[1]
        apart += older[1]
        return mean, apart

    mean, squares = _sliding((x, np.where(np.isnan(x), np.nan, 0.0)), n, merge)
    return mean, squares / n


def comoments(x: Floats, y: Floats, n: int) -> tuple[Floats, Floats, Floats]:
    """Return covariance and the two variances of the last n pairs: float64[rows] each.

    Parameters
    ----------
    x, y : float64[rows]
    n : int
    """

    def merge(newer: State, older: State, count: int, before: int) -> State:
        across, along = older[0] - newer[0], older[1] - newer[1]
        share, weight = before / (count + before), count * before / (count + before)
        return (
            newer[0] + across * share,
            newer[1] + along * share,
            newer[2] + older[2] + across * along * weight,
            newer[3] + older[3] + across * across * weight,
            newer[4] + older[4] + along * along * weight,
        )

    nothing = np.where(np.isnan(x) | np.isnan(y), np.nan, 0.0)
    _, _, xy, xx, yy = _sliding((x, y, nothing, nothing, nothing), n, merge)
    return xy / n, xx / n, yy / n


def drift(x: Floats, n: int) -> tuple[Floats, Floats]:
    """Return covariance with time, in bars, and variance of the last n values: float64[rows] each.

    Parameters
    ----------
    x : float64[rows]
    n : int
    """

    def merge(newer: State, older: State, count: int, before: int) -> State:
        apart, both = newer[0] - older[0], count + before
        weight = count * before / both
        return (
            newer[0] - apart * (before / both),
            newer[1] + older[1] + apart * (both / 2 * weight),
            newer[2] + older[2] + apart * apart * weight,
        )

    nothing = np.where(np.isnan(x), np.nan, 0.0)
    _, along, squares = _sliding((x, nothing, nothing), n, merge)
    return along / n, squares / n


def ramp(x: Floats, n: int) -> Floats:
    """Return the mean of the last n values, the newest weighing n and the oldest 1: float64[rows].

    Parameters
    ----------
    x : float64[rows]
    n : int
    """

    def merge(newer: State, older: State, count: int, _: int) -> State:
        return newer[0] + older[0], newer[1] + older[1] + count * older[0]

    plain, aged = _sliding((x, np.where(np.isnan(x), np.nan, 0.0)), n, merge)
    return (n * plain - aged) / (n * (n + 1) / 2)


def rank(x: Floats, n: int) -> Floats:
    """Return the share of the last n values below the newest, equal ones by half: float64[rows].

    Parameters
    ----------
    x : float64[rows]
    n : int
    """
    out = np.full(len(x), np.nan)
    ranks(np.ascontiguousarray(x, dtype=np.float64), n, out)
    return out


def percentile(x: Floats, share: float, n: int) -> Floats:
    """Return the value below which a share of the last n lies, interpolated: float64[rows].

    Parameters
    ----------
    x : float64[rows]
    share : float
        0 to 1; 0.5 for the median.
    n : int
    """
    out = np.full(len(x), np.nan)
    order_statistic(np.ascontiguousarray(x, dtype=np.float64), share, n, out)
    return out


def shape(x: Floats, n: int) -> tuple[Floats, Floats]:
    """Return skewness and excess kurtosis of the last n values: float64[rows] each.

    Parameters
    ----------
    x : float64[rows]
    n : int
    """
    skew, kurtosis = (np.full(len(x), np.nan) for _ in range(2))
    shapes(np.ascontiguousarray(x, dtype=np.float64), n, skew, kurtosis)
    return skew, kurtosis


def _sliding(leaf: State, n: int, merge: Merge) -> State:
    rows = len(leaf[0])
    out = tuple(np.full(rows, np.nan) for _ in leaf)
    step = max(CHUNK, 2 * n)
    with np.errstate(all="ignore"):
        for start in range(0, rows - n + 1, step):
            part = tuple(array[start : start + step + n - 1] for array in leaf)
            for whole, piece in zip(out, _merged(part, n, merge), strict=True):
                whole[start + n - 1 : start + n - 1 + len(piece)] = piece
    return out


def _merged(block: State, n: int, merge: Merge) -> State:
    """Join stretches of lengths 1, 2, 4 ... to those of n, of every n values that there are."""
    size, have, result = 1, 0, block
    while have < n:
        if n & size:
            length = len(result[0]) - size
            older = tuple(array[:length] for array in block)
            newer = tuple(array[size:] for array in result)
            result = merge(newer, older, have, size) if have else block
            have += size
        if have < n:
            older = tuple(array[:-size] for array in block)
            block = merge(tuple(array[size:] for array in block), older, size, size)
            size *= 2
    return result
