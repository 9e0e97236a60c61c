"""Exact nearest paths on the CPU; the arguments are those of kernels/cuda/nearest.cu.

Filter and refine: a bound of `TERMS` products rules out almost every row, and only what it leaves
is multiplied in full. What a query keeps are keys, score above row in one integer, so that "better"
is ">" and equal scores fall to the earlier row in whatever order rows are visited.

With P the projection on the `TERMS - 1` leading principal directions of the library,
q . x <= Pq . Px + |q - Pq| |x - Px| (Cauchy-Schwarz), again one dot product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels.cpu.lanes import CHAINS, LANES, PAIR, TERMS, chained, lowest, reach
from kernels.paths import DIMENSIONS

SAMPLE = 1024
"""Rows that the principal directions are taken from: they decide the speed, not the answer."""

ROUNDS = 8
"""Of the iteration."""

MARGIN = np.float32(1e-5)
"""More than bound and score can lose to rounding: (17 + 2 + 16) 2^-24 |q| |x| is 2.2e-6."""

SLACK = 1e-12
"""Added to the square of a rest: more than its float64 sums can lose."""

BLOCK = 64
"""Queries of one task."""

EACH = 8
"""One tile in so many is searched first, for a score that k rows will very likely reach."""

ROOM = 2 * LANES
"""Rows that wait to be multiplied, beside the k keys of a query."""

LOWEST = np.int64(-(2**63))
"""The key of no row."""


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
    most = _most(known_before)
    basis = _principal(library[:most])
    tiles = _aligned((most + LANES - 1) // LANES)
    woven = np.empty((most, DIMENSIONS), np.float32)
    for tile in prange(len(tiles)):
        _cut(library, basis, tile, tiles[tile], woven)
    blocks = (count + BLOCK - 1) // BLOCK
    for task in prange(blocks):
        # Later queries know more: pair the ends so that every thread gets its share of both.
        block = task // 2 if task % 2 == 0 else blocks - 1 - task // 2
        first, last = block * BLOCK, min((block + 1) * BLOCK, count)
        keys = _search(queries[first:last], basis, tiles, woven, known_before[first:last], k)
        for i in range(first, last):
            _unpack(keys[i - first], score[i], index[i])
            _thin(score[i], index[i], position, group, exclusion)


@njit(cache=True)
def _most(known_before: Any) -> int:
    most = 0
    for known in known_before:
        most = max(most, known)
    return most


@njit(cache=True)
def _principal(library: Any) -> Any:
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
def _aligned(count: int) -> Any:
    """Return float32[count, TERMS, LANES] whose vectors do not cross cache lines."""
    numbers = np.empty(count * TERMS * LANES + 16, np.float32)
    first = -(numbers.ctypes.data // 4) % 16
    return numbers[first : first + count * TERMS * LANES].reshape(count, TERMS, LANES)


@njit(cache=True)
def _fold(path: Any, basis: Any, out: Any) -> None:
    """Write the projection of a path and the length of what it leaves, rounded up."""
    wide = np.empty(DIMENSIONS)
    for d in range(DIMENSIONS):
        wide[d] = path[d]
    rest = _inner(wide, wide)
    for c in range(TERMS - 1):
        part = _inner(wide, basis[c])
        rest -= part * part
        out[c] = part
    out[TERMS - 1] = np.sqrt(max(rest, 0.0) + SLACK)


@njit(cache=True)
def _weave(path: Any, out: Any) -> None:
    """Lay numbers out as `chained` wants them: the first of each chain, then the second."""
    for d in range(DIMENSIONS):
        out[d % CHAINS * CHAINS + d // CHAINS] = path[d]


@njit(cache=True)
def _cut(library: Any, basis: Any, tile: int, folded: Any, woven: Any) -> None:
    """Fold and weave the rows of a tile."""
    part = np.empty(TERMS, np.float32)
    for row in range(tile * LANES, min((tile + 1) * LANES, len(woven))):
        _weave(library[row], woven[row])
        _fold(library[row], basis, part)
        for term in range(TERMS):
            folded[term, row - tile * LANES] = part[term]


@njit(cache=True)
def _search(queries: Any, basis: Any, tiles: Any, woven: Any, known_before: Any, k: int) -> Any:
    """Return int64[q, k]: keys of the nearest rows, best first; LOWEST where there are no more."""
    count, some = len(queries), max(1, 2 * k // EACH)
    asked = np.empty((count, DIMENSIONS), np.float32)
    folded = np.full((count + PAIR - 1, TERMS), np.nan, np.float32)
    for i in range(count):
        _weave(queries[i], asked[i])
        _fold(queries[i], basis, folded[i])
    floor, guess = np.full(count, LOWEST), np.empty(count, np.int64)
    sample = _scan(asked, folded, tiles, woven, known_before, floor, some, EACH)
    for i in range(count):
        guess[i] = sample[i, some - 1]
    keys = _scan(asked, folded, tiles, woven, known_before, guess, k, 1)
    for i in range(count):
        if keys[i, k - 1] == LOWEST and guess[i] > LOWEST:  # fewer than k lie above the guess
            one = slice(i, i + 1)
            again = _scan(asked[one], folded[i:], tiles, woven, known_before[one], floor[one], k, 1)
            for place in range(k):
                keys[i, place] = again[0, place]
    return keys


@njit(cache=True)
def _scan(
    asked: Any,
    folded: Any,
    tiles: Any,
    woven: Any,
    known_before: Any,
    floor: Any,
    k: int,
    step: int,
) -> Any:
    """Return int64[q, k + ROOM]: first the best k keys above a floor, from every `step`-th tile."""
    count = len(asked)
    keys, best = np.empty((count, k + ROOM), np.int64), floor.copy()
    sure, filled = np.zeros(count, np.int64), np.zeros(count, np.int64)
    limits = np.full(len(folded), np.inf, np.float32)
    for i in range(count):
        limits[i] = _limit(best[i])
    words = np.empty(PAIR, np.int64)
    for tile in range(0, (_most(known_before) + LANES - 1) // LANES, step):
        base = tile * LANES
        for first in range(0, count, PAIR):
            reach(tiles[tile], folded[first:], limits[first:], words)
            for i in range(first, min(first + PAIR, count)):
                word = words[i - first] & _leading(known_before[i] - base)
                filled[i] = _note(word, base, keys[i], filled[i])
                if filled[i] > k + ROOM - LANES:
                    sure[i] = _settle(asked[i], woven, keys[i], sure[i], filled[i], best[i], k)
                    filled[i] = sure[i]
                    best[i] = keys[i, k - 1] if sure[i] == k else best[i]
                    limits[i] = _limit(best[i])
    for i in range(count):
        last = _settle(asked[i], woven, keys[i], sure[i], filled[i], best[i], k)
        for place in range(last, k):
            keys[i, place] = LOWEST
    return keys


@njit(cache=True)
def _leading(count: int) -> int:
    """Return a word whose first bits are set."""
    return -1 if count >= LANES else (1 << max(count, 0)) - 1


@njit(cache=True)
def _note(word: int, base: int, keys: Any, filled: int) -> int:
    """Append the rows of a word; return how far the keys are filled."""
    while word != 0:
        keys[filled] = base + lowest(word)
        word &= word - 1
        filled += 1
    return filled


@njit(cache=True)
def _settle(query: Any, woven: Any, keys: Any, sure: int, filled: int, floor: int, k: int) -> int:
    """Turn rows into keys, keep the best k of those above the floor; return how many there are."""
    for place in range(sure, filled):
        row = keys[place]
        key = _key(chained(query, woven[row]), row)
        keys[sure] = key
        sure += key > floor
    return _rank(keys, sure, k)


@njit(cache=True)
def _rank(keys: Any, held: int, k: int) -> int:
    """Sort the best k of the keys to the front: all differ, so a rank is a count of the better."""
    old = keys[:held].copy()
    for i in range(held):
        rank = 0
        for j in range(held):
            rank += old[j] > old[i]
        if rank < k:
            keys[rank] = old[i]
    return min(held, k)


@njit(cache=True)
def _key(score: Any, row: int) -> Any:
    """Order by score, then by the earlier row."""
    bits = np.int64(np.float32(score).view(np.int32))
    return ((bits ^ ((bits >> 31) & 0x7FFFFFFF)) << 32) + 0xFFFFFFFF - row


@njit(cache=True)
def _score(key: int) -> Any:
    bits = key >> 32
    return np.int32(bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)


@njit(cache=True)
def _limit(floor: int) -> Any:
    """Return the bound below which no row has a key above the floor."""
    return np.float32(-np.inf) if floor == LOWEST else _score(floor) - MARGIN


@njit(cache=True)
def _unpack(keys: Any, score: Any, index: Any) -> None:
    for place in range(len(index)):
        some = keys[place] > LOWEST
        score[place] = _score(keys[place]) if some else np.nan
        index[place] = 0xFFFFFFFF - (keys[place] & 0xFFFFFFFF) if some else -1


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
