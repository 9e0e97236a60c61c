"""Combinatorial purged cross-validation: what choosing brings on days that had no say in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernels.evaluation import Floats
from kernels.statistics.samples import refuse_constant, table
from kernels.statistics.sharpe import LEAST

GROUPS = 6
TESTED = 2
"""C(6, 2) = 15 splits, 5 paths."""
LEAST_ROWS = 4
"""Of a group."""


@dataclass(frozen=True)
class Paths:
    """What choosing the best brings, along several ways through the same rows.

    Attributes
    ----------
    sharpe : float64[paths]
        Of each path, per row; 0 where it stood still.
    returns : float64[paths, n]
        Each row's return of the trial that was best on the groups trained on.
    chosen : int64[splits]
        Trial that was best, by split.
    """

    sharpe: Floats
    returns: Floats
    chosen: NDArray[np.int64]


def combinatorial_paths(
    returns: ArrayLike,
    *,
    groups: int = GROUPS,
    tested: int = TESTED,
    purge: int = 0,
    embargo: int = 0,
) -> Paths:
    """Choose the best of k trials on all groups of rows but `tested`, and follow it on those.

    Lopez de Prado 2018, Advances in Financial Machine Learning, chapter 12: each group is tested
    in C(groups - 1, tested - 1) splits, which make as many paths over all rows.

    Parameters
    ----------
    returns : float[n, k]
        Net returns of all k trials over the same n rows.
    groups, tested : int
        Groups of rows of about equal length, and how many of them are tested at once.
    purge : int
        Rows before each tested group that are not trained on: a trade's length.
    embargo : int
        Rows after each of them that are not.

    Raises
    ------
    ValueError
        If groups and tested do not fit, there are too few rows or trials, a value is NaN or
        infinite, or a column constant.
    """
    if not 1 <= tested < groups or min(purge, embargo) < 0:
        raise ValueError(
            f"1 <= tested < groups, purge and embargo from 0 on, not {tested}, {groups}"
        )
    trials = table(returns, "returns", max(LEAST, groups * LEAST_ROWS))
    refuse_constant(trials, "returns")
    edges = np.linspace(0, len(trials), groups + 1).astype(int)
    taken = np.zeros(groups, np.int64)
    found = np.zeros((comb(groups - 1, tested - 1), len(trials)))
    chosen = []
    for test in combinations(range(groups), tested):
        best = _best(trials[_trained(edges, test, purge, embargo)])
        chosen.append(best)
        for group in test:
            rows = slice(edges[group], edges[group + 1])
            found[taken[group], rows] = trials[rows, best]
            taken[group] += 1
    return Paths(_ratios(found.T), found, np.array(chosen))


def _trained(
    edges: NDArray[np.int64], test: tuple[int, ...], purge: int, embargo: int
) -> NDArray[np.int64]:
    kept: NDArray[np.bool_] = np.ones(edges[-1], bool)
    for group in test:
        kept[max(0, edges[group] - purge) : edges[group + 1] + embargo] = False
    if kept.sum() < LEAST_ROWS:
        raise ValueError("purge and embargo leave nothing to choose on; give more rows")
    return np.flatnonzero(kept)


def _best(rows: Floats) -> int:
    return int(_ratios(rows).argmax())


def _ratios(rows: Floats) -> Floats:
    deviation = rows.std(axis=0, ddof=1)
    still = np.ptp(rows, axis=0) == 0
    ratio: Floats = np.where(still, 0.0, rows.mean(axis=0) / np.where(still, 1.0, deviation))
    return ratio
