"""Recursive averages made finite: their weights over 16 half-lives, renormalised."""

from __future__ import annotations

from math import ceil, log
from typing import Final

import polars as pl

from kernels import windows
from tasks.strategy.language.builtins.math import greatest, least
from tasks.strategy.language.registry import Bars, Floats, before, column, finite, over

HALF_LIVES: Final = 16


def memory(decay: float) -> int:
    """Return how many values an average holds whose weights decay so: 16 half-lives."""
    return 1 if decay <= 0 else ceil(HALF_LIVES * log(0.5) / log(decay))


def exponential(x: Floats, decay: float) -> Floats:
    """Return the mean of the last values, each weighing `decay` of the next newer one.

    Parameters
    ----------
    x : float64[rows]
    decay : float
        0 to 1, without 1.
    """
    n = memory(decay)
    return windows.total(x, n, decay) * ((1 - decay) / (1 - decay**n))


def by_span(n: int) -> float:
    """Return the decay of an exponential average of n bars."""
    return 1 - 2 / (n + 1)


def by_wilder(n: int) -> float:
    """Return the decay of Wilder's average of n bars."""
    return 1 - 1 / n


def ema(x: pl.Expr, decay: float) -> pl.Expr:
    """Return the finite exponential average.

    Parameters
    ----------
    x : polars.Expr
    decay : float
    """
    return over(lambda array: exponential(array, decay), x)


def true_range(given: Bars) -> pl.Expr:
    """Return the range of a bar together with the close before it."""
    high, low, close = (column(given, name) for name in ("high", "low", "close"))
    last = before(close, 1)
    return finite(greatest(high, last) - least(low, last))
