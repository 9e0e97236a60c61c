"""Exact nearest paths on the CPU; the arguments are those of kernels/cuda/nearest.cu.

Filter and refine: what the folded library (kernels/cpu/folding.py) cannot rule out is multiplied in
full. What a query keeps are keys, score above row in one integer, so that "better" is ">" and equal
scores fall to the earlier row in whatever order rows are visited.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels.cpu.folding import arrange, cut, edges, fold, principal, sides
from kernels.cpu.lanes import CHAINS, LANES, PAIR, TERMS, chained, lowest, reach
from kernels.dimensions import DIMENSIONS

MARGIN = np.float32(1e-5)
"""More than bound and score can lose to rounding. A chain of n products of vectors a, b loses at
most n 2^-24 |a| |b|: 16 for a score, 21 for a bound, whose longest vector, the corner of a box in
10 directions with its rest, has length sqrt(11): with paths 1 % too long, 6.5e-6 in all."""

BLOCK = 256
"""Most queries of one task."""

EACH = 16
"""One row in so many is searched first, for a score that k rows will very likely reach."""

MANY = 1024
"""Queries for which it pays to arrange a library."""

ROOM = 2 * LANES
"""Rows and keys that a query keeps beside the best k until it sorts them."""

LOWEST = np.int64(-(2**63))
"""The key of no row."""


@njit(parallel=True, nogil=True, cache=True)
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
    """Fill score and index [count, k] with the kept neighbours of each query.

    Parameters
    ----------
    count : int
        Queries q, at least 1.
    queries : float32[q, 64]
    library : float32[N, 64]
        Unit paths; one with a NaN has no neighbours and is nobody's.
    position : int64[N]
        Bar number of each row within its group.
    group : int32[N]
        What the row belongs to.
    known_before : int64[q]
        Number of leading rows that the query may see.
    k : int
        Rows looked at per query.
    exclusion : int
        Rows of one group closer than this many positions count as one event.
    score : float32[q, k]
        Written to: cosines, best first; NaN beyond the last neighbour.
    index : int64[q, k]
        Written to: library rows; -1 beyond the last neighbour.
    """
    least, most = _range(known_before)
    basis = principal(library[:most])
    woven = np.empty((most, DIMENSIONS), np.float32)
    folded, order = woven[:, :TERMS], np.arange(most)
    for row in prange(most):
        fold(library[row], basis, folded[row])
    edge = edges(least, most)
    for chunk in prange(len(edge) - 1 if count >= MANY else 0):
        arrange(folded, order[edge[chunk] : edge[chunk + 1]])
    whole, sample = cut(folded, order), cut(folded, np.arange(EACH // 2, most, EACH))
    for row in prange(most):
        _weave(library[row], woven[row])
    size = max(PAIR, min(BLOCK, count // 16))
    blocks = (count + size - 1) // size
    for task in prange(blocks):
        # Later queries know more: pair the ends so that every thread gets its share of both.
        block = task // 2 if task % 2 == 0 else blocks - 1 - task // 2
        first, last = block * size, min((block + 1) * size, count)
        keys = _search(
            queries[first:last], basis, whole, sample, woven, known_before[first:last], k
        )
        for i in range(first, last):
            _unpack(keys[i - first], score[i], index[i])
            _thin(score[i], index[i], position, group, exclusion)


@njit(cache=True)
def _range(known_before: Any) -> tuple[int, int]:
    least, most = known_before[0], 0
    for known in known_before:
        least, most = min(least, known), max(most, known)
    return least, most


@njit(cache=True)
def _weave(path: Any, out: Any) -> None:
    """Lay numbers out as `chained` wants them: the first of each chain, then the second."""
    for d in range(DIMENSIONS):
        out[d % CHAINS * CHAINS + d // CHAINS] = path[d]


@njit(cache=True)
def _search(
    queries: Any, basis: Any, whole: Any, sample: Any, woven: Any, known_before: Any, k: int
) -> Any:
    """Return int64[q, k + ROOM]: first the k best keys; LOWEST where there are no more."""
    count, some = len(queries), _likely(k)
    asked = np.empty((count, DIMENSIONS), np.float32)
    folded = np.full((count + 1, TERMS), np.nan, np.float32)
    for i in range(count):
        _weave(queries[i], asked[i])
        fold(queries[i], basis, folded[i])
    floor, guess = np.full(count, LOWEST), np.empty(count, np.int64)
    likely = _scan(asked, folded, sample, woven, known_before, floor, some)
    for i in range(count):
        guess[i] = likely[i, some - 1]
    keys = _scan(asked, folded, whole, woven, known_before, guess, k)
    for i in range(count):
        if keys[i, k - 1] == LOWEST and guess[i] > LOWEST:  # fewer than k lie above the guess
            one = slice(i, i + 1)
            again = _scan(asked[one], folded[i : i + 2], whole, woven, known_before[one], floor, k)
            for place in range(k):
                keys[i, place] = again[0, place]
    return keys


@njit(cache=True)
def _likely(k: int) -> int:
    """Return how many rows of the sample to look for: three deviations above its share of k."""
    return int(np.ceil(k / EACH + 3 * np.sqrt(k / EACH)))


@njit(cache=True)
def _scan(
    asked: Any, folded: Any, library: Any, woven: Any, known_before: Any, floor: Any, k: int
) -> Any:
    """Return int64[q, k + ROOM]: first the k best keys above a floor; LOWEST after the last."""
    boxes, tiles, rows, earliest = library
    count = len(asked)
    keys, best = np.empty((count, k + ROOM), np.int64), floor.copy()
    sure, filled = np.zeros(count, np.int64), np.zeros(count, np.int64)
    limits = np.full(count + 1, np.inf, np.float32)
    for i in range(count):
        limits[i] = _limit(best[i])
    sided, everyone, who = sides(folded), np.arange(count + PAIR), np.empty(count + PAIR, np.int64)
    everyone[count:] = count
    marks, words = np.empty(count + PAIR, np.int64), np.empty(count + PAIR, np.int64)
    for tile in range(len(tiles)):
        if tile % LANES == 0:
            _reach_all(boxes, tile // LANES, sided, limits, everyone, count, marks)
        chosen = _choose(marks, tile % LANES, known_before, earliest[tile], who)
        _reach_all(tiles, tile, folded, limits, who, chosen, words)
        for place in range(chosen):
            i = who[place]
            filled[i] = _note(words[place], rows, tile, known_before[i], keys, i, filled[i])
            if filled[i] > k + ROOM - LANES:
                sure[i] = _settle(asked, woven, keys, i, sure[i], filled[i], best[i])
                if sure[i] > k + LANES:
                    sure[i] = _rank(keys[i], sure[i], k)
                    best[i] = keys[i, k - 1]
                    limits[i] = _limit(best[i])
                filled[i] = sure[i]
    for i in range(count):
        last = _settle(asked, woven, keys, i, sure[i], filled[i], best[i])
        for place in range(_rank(keys[i], last, k), k):
            keys[i, place] = LOWEST
    return keys


@njit(cache=True)
def _reach_all(
    tiles: Any, tile: int, vectors: Any, limits: Any, who: Any, count: int, words: Any
) -> None:
    for first in range(0, count, PAIR):
        reach(tiles, tile, vectors, limits, who, first, words)


@njit(cache=True)
def _choose(marks: Any, bit: int, known_before: Any, earliest: int, who: Any) -> int:
    """List the queries whose mark has the bit and that know a row; return how many there are."""
    count = 0
    for i in range(len(known_before)):
        who[count] = i
        # written always, kept if it counts: no branch that a processor could guess wrong
        count += (marks[i] >> bit & 1) & (known_before[i] > earliest)
    who[count] = len(known_before)  # the partner of an odd one, whom nothing reaches
    return count


@njit(cache=True)
def _note(word: int, rows: Any, tile: int, known: int, keys: Any, i: int, filled: int) -> int:
    """Append the known rows of a word; return how far the keys are filled."""
    while word != 0:
        row = rows[tile, lowest(word)]
        word &= word - 1
        keys[i, filled] = row
        # overwritten by the next one unless known: no branch, as in `_choose`
        filled += row < known
    return filled


@njit(cache=True)
def _settle(asked: Any, woven: Any, keys: Any, i: int, sure: int, filled: int, floor: int) -> int:
    """Turn rows into keys and keep those above the floor; return how many there are."""
    for place in range(sure, filled):
        row = keys[i, place]
        key = _key(chained(asked, i, woven, row), row)
        keys[i, sure] = key
        # overwritten by the next one unless above: no branch, as in `_choose`
        sure += key > floor
    return sure


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
    # as integers negative floats order backwards: flip all their bits but the sign
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
