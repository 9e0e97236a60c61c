"""Counts of neighbours, shrunk; the arguments are those of kernels/cuda/confidence.cu."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange


@njit(parallel=True, nogil=True, cache=True)
def tally(
    n: int,
    index: Any,
    win: Any,
    prior: Any,
    strength: Any,
    k: int,
    rows: int,
    sides: int,
    wins: Any,
    k_eff: Any,
    posterior: Any,
) -> None:
    """Count one query and side a lane; `k_eff` is -1 where an index leaves the rows.

    Parameters
    ----------
    n : int
        Lanes: q queries times `sides`.
    index : int64[q, k]
        Library rows of the neighbours; -1 for none.
    win : int8[N, sides]
        Outcome of each library row: 1, 0, or -1 where unknown (not counted).
    prior : float64[sides]
        m pi, or pi where m is inf.
    strength : float64[sides]
        m of each side; inf is the base rate alone.
    k, rows, sides : int
        Columns of `index`; rows and columns of `win`.
    wins, k_eff : int64[q, sides]
        Written to.
    posterior : float64[q, sides]
        Written to: shrunk share of wins; NaN where k_eff is not above 0.
    """
    for t in prange(n):
        query, side = t // sides, t % sides
        won, resolved = 0, 0
        for j in range(k):
            row = index[query, j]
            if row < -1 or row >= rows:
                won, resolved = 0, -1
                break
            if row >= 0:
                won += win[row, side] == 1
                resolved += win[row, side] >= 0
        mean = np.nan
        if resolved > 0:
            alone = np.isinf(strength[side])
            mean = prior[side] if alone else (won + prior[side]) / (resolved + strength[side])
        wins[query, side], k_eff[query, side], posterior[query, side] = won, resolved, mean
