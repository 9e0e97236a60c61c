"""Exact nearest paths on the CPU; the arguments are those of kernels/cuda/nearest.cu.

Products are formed by tiles of the library that stay in the first cache, and each query keeps the
best so far in a heap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels.paths import DIMENSIONS

TILE = 64
"""Library rows in a tile, kept as [dimension, row]: 16 KiB."""

GROUP = 4
"""Queries multiplied with a tile at a time."""

BLOCK = 64
"""Queries of one task."""


@njit(parallel=True, cache=True)
def nearest(
    count: int,
    queries: Any,
    library: Any,
    position: Any,
    group: Any,
    known_before: Any,
    k: int,
    exclusion: int,
    score: Any,
    index: Any,
) -> None:
    """Fill score and index [count, k] with the kept neighbours of each query."""
    tiles = np.empty(((_most(known_before) + TILE - 1) // TILE, DIMENSIONS, TILE), np.float32)
    for tile in prange(len(tiles)):
        _cut(library, tile, tiles[tile])
    blocks = (count + BLOCK - 1) // BLOCK
    for task in prange(blocks):
        # Later queries know more: pair the ends so that every thread gets its share of both.
        block = task // 2 if task % 2 == 0 else blocks - 1 - task // 2
        first, last = block * BLOCK, min((block + 1) * BLOCK, count)
        found, where = score[first:last], index[first:last]
        _scan(queries[first:last], tiles, known_before[first:last], found, where)
        for i in range(last - first):
            _sort(found[i], where[i], k)
            _thin(found[i], where[i], position, group, exclusion)


@njit(cache=True)
def _most(known_before: Any) -> int:
    most = 0
    for known in known_before:
        most = max(most, known)
    return most


@njit(cache=True)
def _cut(library: Any, tile: int, out: Any) -> None:
    """Copy the rows of a tile as [64, TILE]: one dimension of them is contiguous."""
    for j in range(TILE):
        row = tile * TILE + j
        for d in range(DIMENSIONS):
            out[d, j] = library[row, d] if row < len(library) else 0


@njit(cache=True)
def _scan(queries: Any, tiles: Any, known_before: Any, score: Any, index: Any) -> None:
    for i in range(len(queries)):
        for place in range(score.shape[1]):
            score[i, place], index[i, place] = -np.inf, -1
    group = np.zeros((GROUP, DIMENSIONS), np.float32)
    product = np.empty((GROUP, TILE), np.float32)
    for tile in range((_most(known_before) + TILE - 1) // TILE):
        base = tile * TILE
        for first in range(0, len(queries), GROUP):
            last = min(first + GROUP, len(queries))
            if _most(known_before[first:last]) > base:
                for i in range(first, last):
                    for d in range(DIMENSIONS):
                        group[i - first, d] = queries[i, d]
                _multiply(group, tiles[tile], product)
                for i in range(first, last):
                    known = min(known_before[i] - base, TILE)
                    _offer(product[i - first], known, base, score[i], index[i])


@njit(cache=True, fastmath={"contract"})
def _multiply(queries: Any, tile: Any, product: Any) -> None:
    """Every score is the same chain of fused products, wherever query and row stand."""
    for i in range(GROUP):
        for j in range(TILE):
            product[i, j] = 0
    for d in range(0, DIMENSIONS, 8):
        for i in range(GROUP):
            q0, q1, q2, q3 = queries[i, d], queries[i, d + 1], queries[i, d + 2], queries[i, d + 3]
            q4, q5, q6, q7 = (
                queries[i, d + 4], queries[i, d + 5], queries[i, d + 6], queries[i, d + 7],
            )  # fmt: skip
            for j in range(TILE):
                product[i, j] += (
                    q0 * tile[d, j] + q1 * tile[d + 1, j] + q2 * tile[d + 2, j]
                    + q3 * tile[d + 3, j] + q4 * tile[d + 4, j] + q5 * tile[d + 5, j]
                    + q6 * tile[d + 6, j] + q7 * tile[d + 7, j]
                )  # fmt: skip


@njit(cache=True)
def _offer(
    product: Any,
    known: int,
    base: int,
    score: Any,
    index: Any,
) -> None:
    """Let what beats the worst of the heap take its place."""
    better = np.int32(0)
    for j in range(TILE):
        better += np.int32(product[j] > score[0])  # a sum, because it runs in SIMD lanes
    j = 0
    while better > 0 and j < known:
        if product[j] > score[0]:
            score[0], index[0] = product[j], base + j
            _sink(score, index, len(score))
            better -= 1
        j += 1


@njit(cache=True)
def _sink(score: Any, index: Any, size: int) -> None:
    """Restore the heap whose root, the worst, has changed."""
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _worse(score, index, child + 1, child):
            child += 1
        if not _worse(score, index, child, place):
            return
        score[place], score[child] = score[child], score[place]
        index[place], index[child] = index[child], index[place]
        place = child


@njit(cache=True)
def _worse(score: Any, index: Any, a: int, b: int) -> bool:
    """Of equal scores the later row is worse."""
    return bool(score[a] < score[b] or (score[a] == score[b] and index[a] > index[b]))


@njit(cache=True)
def _sort(score: Any, index: Any, k: int) -> None:
    """Turn the heap into a list, best first."""
    for last in range(k - 1, 0, -1):
        score[0], score[last] = score[last], score[0]
        index[0], index[last] = index[last], index[0]
        _sink(score, index, last)


@njit(cache=True)
def _thin(
    score: Any,
    index: Any,
    position: Any,
    group: Any,
    exclusion: int,
) -> None:
    """Drop, best first, what overlaps one already kept; close the ranks and pad."""
    kept = 0
    for place in range(len(index)):
        row = index[place]
        free = row >= 0
        for better in range(kept):
            other = index[better]
            near = abs(position[row] - position[other]) < exclusion
            free = free and not (near and group[row] == group[other])
        if free:
            score[kept], index[kept] = score[place], row
            kept += 1
    for place in range(kept, len(index)):
        score[place], index[place] = np.nan, -1
