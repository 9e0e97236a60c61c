"""Products of rows with many vectors, in one fixed order, on the CPU."""

from __future__ import annotations

from typing import Any

from numba import njit, prange


@njit(parallel=True, nogil=True, cache=True)
def products(rows: Any, vectors: Any, out: Any) -> None:
    """Multiply each row by each vector: a row's bits hang on no other row.

    Parameters
    ----------
    rows : float64[n, d]
    vectors : float64[d, v]
        Vectors in columns, so that their sums are lanes.
    out : float64[n, v]
        Written to.
    """
    for row in prange(len(rows)):
        out[row] = 0.0
        for column in range(vectors.shape[0]):
            value = rows[row, column]
            for vector in range(vectors.shape[1]):
                out[row, vector] += value * vectors[column, vector]
