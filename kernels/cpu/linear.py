"""Products of rows with many vectors, in one fixed order, on the CPU."""

from __future__ import annotations

from typing import Any

from numba import njit, prange

FEW = 1024
"""Rows for which a second thread comes too late."""


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
    (_few if len(rows) <= FEW else _many)(rows, vectors, out)


@njit(nogil=True, cache=True)
def _few(rows: Any, vectors: Any, out: Any) -> None:
    for row in range(len(rows)):
        _one(rows[row], vectors, out[row])


@njit(parallel=True, nogil=True, cache=True)
def _many(rows: Any, vectors: Any, out: Any) -> None:
    for row in prange(len(rows)):
        _one(rows[row], vectors, out[row])


@njit(cache=True)
def _one(row: Any, vectors: Any, out: Any) -> None:
    out[:] = 0.0
    for column in range(vectors.shape[0]):
        for vector in range(vectors.shape[1]):
            out[vector] += row[column] * vectors[column, vector]
