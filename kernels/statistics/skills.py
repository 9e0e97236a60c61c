"""Brier skills of many forecasts of the same rows, with intervals from the same draws."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from kernels.evaluation import Floats
from kernels.statistics.bootstrap import DRAWS, LEAST, longest_block, percentiles, stationary_draws
from kernels.statistics.samples import series, table

GROUPS = 2000
"""Stretches of rows at most: what is drawn are these, not single rows."""


@dataclass(frozen=True)
class Skills:
    """Skills of k forecasts against one reference, and their intervals.

    Attributes
    ----------
    estimate, low, high : float64[k]
    length : float
        Mean length of the blocks, in rows.
    draws : int
    """

    estimate: Floats
    low: Floats
    high: Floats
    length: float
    draws: int


def skills(
    loss: ArrayLike,
    reference: ArrayLike,
    *,
    least: float = 1.0,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Skills:
    """Return 1 - sum of a forecast's losses / sum of the reference's, by stationary draws.

    Rows are summed over `GROUPS` stretches of equal length at most, and stretches are drawn: of
    long series that costs little, and nothing where blocks are longer than a stretch.

    Parameters
    ----------
    loss : float[n, k]
        Of each forecast, rows in time; 0 in rows that do not count.
    reference : float[n]
        Of the base rate, likewise.
    least : float
        Mean length of blocks at least, in rows; the horizon where outcomes overlap.
    level : float
        Two-sided.
    draws : int
    seed : int

    Raises
    ------
    ValueError
        If there are fewer than 20 rows, a value is NaN or infinite, lengths differ, or the
        reference loses nothing in the rows or a draw of them.
    """
    lost, usual = table(loss, "loss", LEAST), series(reference, "reference", LEAST)
    if len(lost) != len(usual):
        raise ValueError(f"{len(lost)} rows of losses and {len(usual)} of the reference's")
    size = ceil(len(usual) / GROUPS)
    sums = _in_stretches(np.column_stack([usual, lost]), size)
    length = _length(sums, least / size)
    times = np.stack(
        [
            np.bincount(rows, minlength=len(sums))
            for rows in stationary_draws(len(sums), length, draws, seed)
        ]
    )
    totals = np.vstack([sums.sum(axis=0), times @ sums])
    if not (totals[:, 0] > 0).all():
        raise ValueError("the reference is never wrong in a draw; give outcomes of both kinds")
    told = 1 - totals[:, 1:] / totals[:, :1]
    low, high = percentiles(told[1:], level)
    return Skills(told[0], low, high, length * size, draws)


def _in_stretches(values: Floats, size: int) -> Floats:
    firsts = np.arange(0, len(values), size)
    return np.asarray(np.add.reduceat(values, firsts, axis=0))


def _length(sums: Floats, least: float) -> float:
    """Return the mean length of blocks, in stretches."""
    ahead = sums[:, :1] - sums[:, 1:]
    columns = np.column_stack([sums[:, 0], ahead])
    own = longest_block(columns) if (np.ptp(columns, axis=0) > 0).any() else 1.0
    return min(max(own, least, 1.0), float(len(sums)))
