"""The nearest paths that a query may know, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels import rounds
from kernels.device import (
    Array,
    Engine,
    Gpu,
    array_module,
    choose_engine,
    launch,
    move,
    require_array,
)
from kernels.dimensions import DIMENSIONS
from kernels.plan import Plan, slices
from kernels.spread import Part, devices, spread, take


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


@dataclass(frozen=True)
class PathIndex:
    """A library in the memory of an engine, for many searches.

    Attributes
    ----------
    engine : Engine
    paths : float32[N, 64]
    position : int64[N]
    group : int32[N]
        Arrays of the engine's kind.
    """

    engine: Engine
    paths: Array
    position: Array
    group: Array
    _rows: rounds.Rows | None = None

    @classmethod
    def build(
        cls, library: Array, *, position: Array, group: Array, engine: str = "auto"
    ) -> PathIndex:
        """Move a library to an engine; see `nearest` for the arguments and errors.

        Parameters
        ----------
        library : float32[N, 64]
        position : int64[N]
        group : int32[N]
        engine : {"auto", "cpu", "gpu"}

        Returns
        -------
        PathIndex
        """
        _check_library(library, position, group)
        chosen = choose_engine(engine)
        arrays = [move(array, chosen.xp) for array in (library, position, group)]
        paths, positions, groups = arrays
        rows = None
        if chosen.name == "gpu":
            rows = rounds.load_rows(Gpu.current(), paths, positions, groups)
        else:
            _require_unit("library", paths)
        return cls(chosen, paths, positions, groups, rows)

    def nearest(
        self, queries: Array, *, known_before: Array, exclusion: int, k: int = 64
    ) -> Neighbours:
        """Search the library; see `nearest` for the arguments and errors.

        Parameters
        ----------
        queries : float32[q, 64]
        known_before : int64[q]
        exclusion : int
        k : int

        Returns
        -------
        Neighbours
            Of the kind of the queries.
        """
        _check_queries(queries, known_before, len(self.paths), exclusion, k)
        back, xp = array_module(queries), self.engine.xp
        asked, limit = move(queries, xp), move(known_before, xp)
        if self._rows is None:
            neighbours = self._scan(asked, limit, exclusion, k)
        else:
            gpu = Gpu.current()
            plan = Plan.fit(0, len(asked), k, gpu.free())
            neighbours = search_batches(gpu, asked, self._rows, limit, plan, exclusion)
        return Neighbours(*(move(array, back) for array in neighbours))

    def _scan(self, queries: Array, limit: Array, exclusion: int, k: int) -> tuple[Array, Array]:
        _require_unit("queries", queries)
        count = len(queries)
        score, index = np.empty((count, k), np.float32), np.empty((count, k), np.int64)
        arrays = (queries, self.paths, self.position, self.group, limit)
        numbers = (np.int64(k), np.int64(exclusion))
        launch(self.engine, "nearest", "nearest", count, *arrays, *numbers, score, index)
        return score, index


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
        neighbour. On a GPU it is searched in parts where it does not fit at once (`Plan`).
    position : int64[N]
        Bar number of each row within its group.
    group : int32[N]
        What the row belongs to, such as its pair.
    known_before : int64[q]
        Number of leading library rows that the query may see.
    exclusion : int
        Rows of one group closer than this many positions count as one event, the horizon as a rule.
    k : int
        Rows looked at per query, 1 to 512; what overlaps among them is dropped, not replaced.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    Neighbours
        The top k by (score descending, index ascending), less those that overlap a better one
        (docs/mathematics.md, "Paths, similarity, neighbours"); arrays of the kind that came in. A
        score is one fixed chain of float32 products, so that the answer depends, bit for bit on one
        engine, neither on the other queries nor on the rows the query may not see.

    Raises
    ------
    TypeError
        If an array has another dtype than stated.
    ValueError
        If shapes do not fit, a path is not of unit length, `k` or `exclusion` leaves its
        range, or `known_before` leaves 0 .. N.
    MemoryError
        If not even the smallest parts fit the GPU.
    """
    _check_library(library, position, group)
    _check_queries(queries, known_before, len(library), exclusion, k)
    chosen = choose_engine(engine)
    if chosen.name == "cpu":
        index = PathIndex.build(library, position=position, group=group, engine="cpu")
        return index.nearest(queries, known_before=known_before, exclusion=exclusion, k=k)
    rows = (library, position, group)
    return _spread(queries, rows, known_before, k, exclusion)


def _spread(
    queries: Array,
    library: tuple[Array, Array, Array],
    known_before: Array,
    k: int,
    exclusion: int,
) -> Neighbours:
    """Search on all GPUs where the queries lie in host memory, on the current one otherwise."""

    def search(part: Part) -> tuple[Array, Array]:
        gpu = Gpu.current()
        asked, limit = take((queries, known_before), part, gpu.xp)
        plan = Plan.fit(len(library[0]), len(asked), k, gpu.free())
        return search_parts(gpu, asked, library, limit, plan, exclusion)

    among = devices() if array_module(queries, *library, known_before) is np else []
    if len(among) > 1:
        library = _whole_library(library, -(-len(queries) // len(among)), k)
    neighbours = spread(search, len(queries), among)
    return Neighbours(*(move(array, array_module(queries)) for array in neighbours))


def _whole_library(
    library: tuple[Array, Array, Array], queries: int, k: int
) -> tuple[Array, Array, Array]:
    """Put the library on the current GPU where it fits: others get it from there, not the host."""
    gpu = Gpu.current()
    plan = Plan.fit(len(library[0]), queries, k, gpu.free())
    if plan.part < plan.rows:
        return library
    paths, position, group = (move(array, gpu.xp) for array in library)
    return paths, position, group


def search_parts(
    gpu: Gpu,
    queries: Array,
    library: tuple[Array, Array, Array],
    known_before: Array,
    plan: Plan,
    exclusion: int,
) -> tuple[Array, Array]:
    """Search the parts of a library one after the other; halves the plan where memory runs out.

    Parameters
    ----------
    gpu : Gpu
    queries : float32[q, 64]
    library : (float32[N, 64], int64[N], int32[N])
        Paths, position and group, in host or GPU memory.
    known_before : int64[q]
    plan : Plan
    exclusion : int

    Returns
    -------
    score : float32[q, k]
    index : int64[q, k]

    Raises
    ------
    MemoryError
        If there is nothing left to halve.
    """
    while True:
        try:
            return _search_parts(gpu, queries, library, known_before, plan, exclusion)
        except MemoryError:
            plan = plan.halved()


def _search_parts(
    gpu: Gpu,
    queries: Array,
    library: tuple[Array, Array, Array],
    known_before: Array,
    plan: Plan,
    exclusion: int,
) -> tuple[Array, Array]:
    if plan.part >= plan.rows:
        rows = rounds.load_rows(gpu, *library)
        return search_batches(gpu, queries, rows, known_before, plan, exclusion)
    place = (move(library[1], gpu.xp), move(library[2], gpu.xp))
    best = (
        gpu.xp.full((plan.queries, plan.k), np.nan, np.float32),
        gpu.xp.full((plan.queries, plan.k), -1, np.int64),
    )
    for part in plan.parts():
        rows = rounds.load_rows(gpu, *(array[part] for array in library))
        visible = gpu.xp.clip(known_before - part.start, 0, len(rows.paths))
        score, index = search_batches(gpu, queries, rows, visible, plan, exclusion=0)
        index[index >= 0] += part.start
        # overlap is judged last: a row of a later part may be the better one of an event
        apart = exclusion if part.stop == plan.rows else 0
        best = rounds.merge(gpu, best, (score, index), place, exclusion=apart)
    return best


def search_batches(
    gpu: Gpu, queries: Array, rows: rounds.Rows, known_before: Array, plan: Plan, exclusion: int
) -> tuple[Array, Array]:
    """Search one part of a library, `plan.batch` queries at a time; arguments of `search_parts`.

    Parameters
    ----------
    gpu : Gpu
    queries : float32[q, 64]
    rows : Rows
        The part, in the memory of `gpu`.
    known_before : int64[q]
        Number of leading rows of the part that the query may see.
    plan : Plan
    exclusion : int

    Returns
    -------
    score : float32[q, k]
    index : int64[q, k]
        Rows of the part.
    """
    shape = (len(queries), plan.k)
    score, index = gpu.xp.empty(shape, np.float32), gpu.xp.empty(shape, np.int64)
    off = gpu.xp.zeros(1, np.uint32)
    for batch in slices(len(queries), plan.batch):
        answer = (score[batch], index[batch], off)
        rounds.search(gpu, queries[batch], rows, known_before[batch], answer, exclusion=exclusion)
    rounds.require_unit("queries", off)
    return score, index


def _check_library(library: Array, position: Array, group: Array) -> None:
    require_array("library", library, "float32", (None, DIMENSIONS))
    require_array("position", position, "int64", (len(library),))
    require_array("group", group, "int32", (len(library),))
    if len(library) >= 1 << 31:
        raise ValueError(f"library has {len(library):,} rows; pass fewer than 2^31")


def _check_queries(queries: Array, known_before: Array, n: int, exclusion: int, k: int) -> None:
    require_array("queries", queries, "float32", (None, DIMENSIONS))
    require_array("known_before", known_before, "int64", (len(queries),))
    if not 1 <= k <= rounds.MOST_NEIGHBOURS or exclusion < 0:
        most = rounds.MOST_NEIGHBOURS
        raise ValueError(f"k {k} must be 1 .. {most} and exclusion {exclusion} at least 0")
    if len(queries) and not 0 <= int(known_before.min()) <= int(known_before.max()) <= n:
        raise ValueError(f"known_before must lie within 0 .. {n}, the rows of the library")


def _require_unit(name: str, paths: Array) -> None:
    square = np.einsum("nd,nd->n", paths, paths)
    off = np.abs(np.sqrt(square) - 1)
    # fmax passes over NaN: rows that are no paths are allowed
    rounds.require_unit(name, 1e6 * np.fmax.reduce(off, initial=0, keepdims=True))
