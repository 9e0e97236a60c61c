"""A library folded to few dimensions, and arranged so that whole tiles can be ruled out.

With P the projection on the `TERMS - 1` leading principal directions of the library,
q . x <= Pq . Px + |q - Pq| |x - Px| (Cauchy-Schwarz): a dot product of `TERMS` numbers. So is its
most over a box of rows: with r = (TERMS - 1) / 2 directions, q_d x_d <= max(q_d, 0) high_d +
min(q_d, 0) low_d.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from kernels.cpu.lanes import LANES, TERMS
from kernels.dimensions import DIMENSIONS

SAMPLE = 1024
"""Rows that the principal directions are taken from: they decide the speed, not the answer."""

ROUNDS = 8
"""Of the iteration that finds them."""

SLACK = 1e-12
"""Added to the square of a rest: more than its float64 sums can lose."""

CHUNK = 16384
"""Rows that are arranged together at least."""

LOOK = 128
"""Rows looked at to find the direction to divide."""

ROUNDED_UP = 1 + 2**-20
"""Of a length: more than its float32 parts can lose."""

BOX = (TERMS - 1) // 2
"""Directions of a box."""


@njit(cache=True)
def principal(library: Any) -> Any:
    """Return float64[TERMS - 1, 64]: leading directions of a sample, by orthogonal iteration."""
    moment = _moment(library)
    basis, turned = moment[: TERMS - 1].copy(), np.empty((TERMS - 1, DIMENSIONS))
    for _ in range(ROUNDS):
        _orthogonalise(basis)
        for c in range(TERMS - 1):
            for e in range(DIMENSIONS):
                turned[c, e] = 0
            for d in range(DIMENSIONS):
                for e in range(DIMENSIONS):
                    turned[c, e] += basis[c, d] * moment[d, e]
        basis, turned = turned, basis
    _orthogonalise(basis)
    return basis


@njit(cache=True)
def _moment(library: Any) -> Any:
    moment = np.zeros((DIMENSIONS, DIMENSIONS))
    for row in range(0, len(library), max(1, len(library) // SAMPLE)):
        total = np.float32(0)
        for d in range(DIMENSIONS):
            total += library[row, d]
        if np.isfinite(total):
            for d in range(DIMENSIONS):
                for e in range(DIMENSIONS):
                    moment[d, e] += np.float64(library[row, d]) * np.float64(library[row, e])
    return moment


@njit(cache=True)
def _orthogonalise(rows: Any) -> None:
    """Gram-Schmidt, twice, which is enough; a row that depends on others becomes zero."""
    for c in range(len(rows)):
        for other in range(2 * c):
            part = _inner(rows[c], rows[other % c])
            for d in range(DIMENSIONS):
                rows[c, d] -= part * rows[other % c, d]
        length = np.sqrt(_inner(rows[c], rows[c]))
        for d in range(DIMENSIONS):
            rows[c, d] = rows[c, d] / length if length > 0 else 0.0


@njit(cache=True, fastmath={"contract", "reassoc"})
def _inner(a: Any, b: Any) -> float:
    total = 0.0
    for d in range(DIMENSIONS):
        total += a[d] * b[d]
    return total


@njit(cache=True)
def fold(path: Any, basis: Any, out: Any) -> None:
    """Write the projection of a path and the length of what it leaves; that is NaN for no path.

    Parameters
    ----------
    path : float32[64]
        A unit path, or one with a NaN.
    basis : float64[TERMS - 1, 64]
        Of `principal`.
    out : float32[TERMS]
        Written to: the projection, then the length of the rest.
    """
    wide = np.empty(DIMENSIONS)
    for d in range(DIMENSIONS):
        wide[d] = path[d]
    square = _inner(wide, wide)
    some = np.isfinite(square)
    rest = square
    for c in range(TERMS - 1):
        part = _inner(wide, basis[c])
        rest -= part * part
        out[c] = part if some else 0.0
    out[TERMS - 1] = np.sqrt(max(rest, 0.0) + SLACK) if some else np.nan


@njit(cache=True)
def sides(folded: Any) -> Any:
    """Return float32[n, TERMS]: what a box is multiplied with."""
    out = np.zeros(folded.shape, np.float32)
    for i in range(len(folded)):
        rest = np.float64(folded[i, TERMS - 1]) ** 2
        for c in range(BOX):
            out[i, c] = max(folded[i, c], np.float32(0))
            out[i, BOX + c] = min(folded[i, c], np.float32(0))
            rest += np.float64(folded[i, BOX + c]) ** 2
        out[i, TERMS - 1] = np.sqrt(rest) * ROUNDED_UP
    return out


@njit(cache=True)
def edges(least: int, most: int) -> Any:
    """Return where chunks begin and end: what all queries know, then twice as much each time.

    Parameters
    ----------
    least, most : int
        Rows that the query that knows fewest, and the one that knows most, may see.

    Returns
    -------
    int64[c + 1]
        Edges of c chunks: 0 first, `most` last.
    """
    starts = [0]
    edge = max(CHUNK, least // LANES * LANES)
    while edge < most:
        starts.append(edge)
        edge *= 2
    starts.append(most)
    return np.array(starts)


@njit(cache=True)
def arrange(folded: Any, order: Any) -> None:
    """Order rows so that those of a tile are near each other: a tree of medians.

    Parameters
    ----------
    folded : float32[N, TERMS]
        Of `fold`, for every row.
    order : int64[m]
        Row numbers, put in order here.
    """
    waiting = [(0, len(order))]
    while len(waiting) > 0:
        first, last = waiting.pop()
        if last - first > LANES:
            middle = first + (last - first + 2 * LANES - 1) // (2 * LANES) * LANES
            _divide(folded[:, _widest(folded, order[first:last])], order, first, last - 1, middle)
            waiting.append((first, middle))
            waiting.append((middle, last))


@njit(cache=True)
def _widest(folded: Any, order: Any) -> int:
    best, widest = -1.0, 0
    step = max(1, len(order) // LOOK)
    for c in range(TERMS - 1):
        total = squares = 0.0
        for row in order[::step]:
            total += folded[row, c]
            squares += folded[row, c] * folded[row, c]
        spread = squares - total * total / len(order[::step])
        if spread > best:
            best, widest = spread, c
    return widest


@njit(cache=True)
def _divide(value: Any, order: Any, first: int, last: int, middle: int) -> None:
    """Move the smaller values before the middle: Hoare's selection."""
    while first < last:
        pivot = value[order[(first + last) // 2]]
        i, j = first, last
        while i <= j:
            while value[order[i]] < pivot:
                i += 1
            while value[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i, j = i + 1, j - 1
        if j < middle:
            first = i
        if i > middle:
            last = j


@njit(cache=True)
def cut(folded: Any, order: Any) -> Any:
    """Return boxes [n, TERMS, LANES], tiles [m, TERMS, LANES], rows [m, LANES], earliest [m].

    Parameters
    ----------
    folded : float32[N, TERMS]
        Of `fold`, for every row.
    order : int64[r]
        Numbers of the rows to cut, `LANES` to a tile.

    Returns
    -------
    boxes : float32[n, TERMS, LANES]
        Of each tile what `sides` is multiplied with: highs, lows and the longest rest.
    tiles : float32[m, TERMS, LANES]
        The folded rows; NaN in lanes without one.
    rows : int64[m, LANES]
        Number of the row in each lane.
    earliest : int64[m]
        Least row number of each tile.
    """
    count = (len(order) + LANES - 1) // LANES
    tiles, boxes = _aligned(count), _aligned((count + LANES - 1) // LANES)
    rows, earliest = np.empty((count, LANES), np.int64), np.empty(count, np.int64)
    for tile in range(count):
        some = order[tile * LANES : (tile + 1) * LANES]
        earliest[tile] = some.min()
        for lane in range(LANES):
            rows[tile, lane] = some[min(lane, len(some) - 1)]
            for term in range(TERMS):
                # NaN reaches no limit: an empty lane is never found
                tiles[tile, term, lane] = folded[some[lane], term] if lane < len(some) else np.nan
        _box(tiles[tile], boxes[tile // LANES, :, tile % LANES])
    return boxes, tiles, rows, earliest


@njit(cache=True)
def _box(tile: Any, box: Any) -> None:
    """Write highs, lows and the longest rest of the rows of a tile that are paths."""
    rest = 0.0
    for c in range(BOX):
        box[c], box[BOX + c] = -np.inf, np.inf
    for lane in range(LANES):
        if tile[TERMS - 1, lane] >= 0:
            square = np.float64(tile[TERMS - 1, lane]) ** 2
            for c in range(BOX):
                box[c] = max(box[c], tile[c, lane])
                box[BOX + c] = min(box[BOX + c], tile[c, lane])
                square += np.float64(tile[BOX + c, lane]) ** 2
            rest = max(rest, square)
    box[TERMS - 1] = np.sqrt(rest) * ROUNDED_UP


@njit(cache=True)
def _aligned(count: int) -> Any:
    """Return float32[count, TERMS, LANES] whose vectors do not cross cache lines."""
    numbers = np.empty(count * TERMS * LANES + 16, np.float32)
    first = -(numbers.ctypes.data // 4) % 16
    return numbers[first : first + count * TERMS * LANES].reshape(count, TERMS, LANES)
