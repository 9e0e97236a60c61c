"""The nearest paths that a query may know, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.device import Array, array_module, choose_engine, launch, move, require_array
from kernels.paths import DIMENSIONS


@dataclass(frozen=True)
class Neighbours:
    """Kept neighbours of each query, best first.

    Attributes
    ----------
    score : float32[q, k]
        Cosine; NaN beyond the last neighbour.
    index : int64[q, k]
        Row of the library; -1 beyond the last neighbour.
    """

    score: Array
    index: Array


def nearest(
    queries: Array,
    library: Array,
    *,
    position: Array,
    group: Array,
    known_before: Array,
    exclusion: int,
    k: int = 64,
    engine: str = "auto",
) -> Neighbours:
    """Find the nearest library paths of each query among those it may know.

    Parameters
    ----------
    queries : float32[q, 64]
        Unit paths; a query with a NaN has no neighbours.
    library : float32[N, 64]
        Unit paths, sorted by the time their outcome became known; a row with a NaN is nobody's
        neighbour.
    position : int64[N]
        Bar number of each row within its group.
    group : int32[N]
        What the row belongs to, such as its pair.
    known_before : int64[q]
        Number of leading library rows that the query may see.
    exclusion : int
        Rows of one group closer than this many positions count as one event, the horizon as a rule.
    k : int
        Rows looked at per query; what overlaps among them is dropped, not replaced.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    Neighbours
        The top k by (score descending, index ascending), less those that overlap a better one
        (section 5); arrays of the kind that came in. A score is one fixed chain of float32
        products, so that the answer depends, bit for bit on one engine, neither on the other
        queries nor on the rows the query may not see.

    Raises
    ------
    TypeError
        If an array has another dtype than stated.
    ValueError
        If shapes do not fit, `k` or `exclusion` is below its least value, or `known_before`
        leaves 0 .. N.
    """
    _check(queries, library, position, group, known_before, exclusion, k)
    chosen = choose_engine(engine)
    back, xp, count = array_module(queries), chosen.xp, len(queries)
    arrays = [move(a, xp) for a in (queries, library, position, group, known_before)]
    numbers = (np.int64(k), np.int64(exclusion))
    score, index = xp.empty((count, k), xp.float32), xp.empty((count, k), xp.int64)
    launch(chosen, "nearest", "nearest", count, *arrays, *numbers, score, index)
    return Neighbours(move(score, back), move(index, back))


def _check(
    queries: Array,
    library: Array,
    position: Array,
    group: Array,
    known_before: Array,
    exclusion: int,
    k: int,
) -> None:
    require_array("queries", queries, "float32", (None, DIMENSIONS))
    require_array("library", library, "float32", (None, DIMENSIONS))
    n = len(library)
    require_array("position", position, "int64", (n,))
    require_array("group", group, "int32", (n,))
    require_array("known_before", known_before, "int64", (len(queries),))
    if k < 1 or exclusion < 0:
        raise ValueError(f"k {k} must be >= 1 and exclusion {exclusion} >= 0")
    if len(queries) and not 0 <= int(known_before.min()) <= int(known_before.max()) <= n:
        raise ValueError(f"known_before must lie within 0 .. {n}, the rows of the library")
