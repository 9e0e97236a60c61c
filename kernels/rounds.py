"""The search of kernels/cuda/nearest.cu from the host's side: rounds over ever more rows.

Arrays are of the module `gpu.xp`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernels.device import BLOCK, Array, Gpu, launch_blocks, move
from kernels.dimensions import DIMENSIONS

CAPACITY = 2048
"""Candidates a query holds."""

MOST_NEIGHBOURS = 512
"""Greatest k."""

TILE = 64
"""Library rows in one stage of shared memory."""

FEW = {"TILES": 2, "QUERY_WARPS": 1}
"""Shape of a block for up to 32 queries: its four warps share the rows."""

MANY = {"TILES": 4, "QUERY_WARPS": 4}
"""Shape of a block for 256 queries: each warp has 64 of them and sees every row."""

TENSOR_CORES, HOPPER = 80, 90
"""Compute capabilities: the first with the tensor cores of `MANY`, and the one with its own."""

LENGTH_TOLERANCE = 0.01
"""What MARGIN in the kernel allows for."""


@dataclass(frozen=True)
class Rows:
    """Library rows in the memory of the kernels.

    Attributes
    ----------
    paths : float32[N, 64]
    halves : uint16[N, 64]
        The same in half precision, as bits.
    position : int64[N]
    group : int32[N]
    """

    paths: Array
    halves: Array
    position: Array
    group: Array


def bytes_a_row() -> int:
    """Device memory of one library row."""
    return DIMENSIONS * (4 + 2) + 8 + 4


def bytes_a_query(k: int) -> int:
    """Device memory of one query of a batch: itself, its candidates and its answer."""
    return DIMENSIONS * (4 + 2) + CAPACITY * 8 + k * 12 + 32


def halve(gpu: Gpu, paths: Array) -> Array:
    """Round unit paths to half precision.

    Parameters
    ----------
    gpu : Gpu
        Of the paths.
    paths : float32[N, 64]
        In the memory of `gpu`.

    Returns
    -------
    uint16[N, 64]
        NaN throughout where a path holds one.

    Raises
    ------
    ValueError
        If a row is not of unit length.
    """
    halves = gpu.xp.empty(paths.shape, np.uint16)
    off = gpu.xp.zeros(1, np.uint32)
    launch_blocks(gpu.load, "nearest", "halve", len(paths), paths, halves, off)
    require_unit("library", off)
    return halves


def require_unit(name: str, off: Array) -> None:
    """Refuse paths whose length is further from 1 than the kernels allow for.

    Parameters
    ----------
    name : str
        Of the paths, for the message.
    off : uint32[1] or float[1]
        Greatest distance of a row's length from 1, in millionths.

    Raises
    ------
    ValueError
        If it is more than `LENGTH_TOLERANCE`.
    """
    if int(off[0]) > LENGTH_TOLERANCE * 1e6:
        raise ValueError(f"{name} must have rows of length 1 within 1 %; take them from unit_paths")


def load_rows(gpu: Gpu, paths: Array, position: Array, group: Array) -> Rows:
    """Move library rows to the GPU and round them; ValueError as `halve`.

    Parameters
    ----------
    gpu : Gpu
    paths : float32[N, 64]
        Unit paths.
    position : int64[N]
        Bar number of each row within its group.
    group : int32[N]
        All in host or GPU memory.

    Returns
    -------
    Rows
    """
    there, *rest = (move(array, gpu.xp) for array in (paths, position, group))
    return Rows(there, halve(gpu, there), *rest)


def search(
    gpu: Gpu,
    queries: Array,
    rows: Rows,
    known_before: Array,
    answer: tuple[Array, Array, Array],
    *,
    exclusion: int,
) -> None:
    """Find the nearest rows of one batch of queries.

    Parameters
    ----------
    gpu : Gpu
    queries : float32[q, 64]
    rows : Rows
    known_before : int64[q]
    answer : (float32[q, k], int64[q, k], uint32[1])
        Scores and rows are written here, and how far a query's length is from 1: `require_unit`
        waits for it.
    exclusion : int
    """
    score, index, off = answer
    count, k = score.shape
    if not count:
        return
    batch = _Batch.begin(gpu, queries, known_before, off)
    if gpu.capability >= TENSOR_CORES:
        for stride, denser in rounds(len(rows.paths), k):
            batch.collect(gpu, rows, stride, denser)
            batch.tighten(gpu, k, last=stride == 1)
        batch.collect(gpu, rows, 1, 0)  # for what found more than it could hold
    else:
        # as if too many were found: `exhaust` then scores every row in full
        batch.count[:] = CAPACITY + 1
    where = (rows.paths, rows.position, rows.group)
    numbers = (np.int64(k), np.int64(exclusion))
    arguments = (queries, *where, *numbers, batch.count, batch.row, batch.score, score, index)
    gpu.load("nearest", "finish")((count,), (BLOCK,), arguments)
    rest = (queries, *where, known_before, *numbers, batch.count, score, index)
    launch_blocks(gpu.load, "nearest", "exhaust", count, *rest)


def merge(
    gpu: Gpu,
    one: tuple[Array, Array],
    other: tuple[Array, Array],
    rows: tuple[Array, Array],
    *,
    exclusion: int,
) -> tuple[Array, Array]:
    """Take the best of two answers, each of other library rows.

    Parameters
    ----------
    gpu : Gpu
    one, other : (float32[q, k], int64[q, k])
        Scores and indices.
    rows : (int64[N], int32[N])
        Position and group of the rows that the indices mean.
    exclusion : int
        Rows of one group closer than this many positions count as one event; 0 keeps all.

    Returns
    -------
    score : float32[q, k]
    index : int64[q, k]
    """
    count, k = one[0].shape
    score, index = gpu.xp.empty_like(one[0]), gpu.xp.empty_like(one[1])
    arguments = (*one, *other, *rows, np.int64(k), np.int64(exclusion), score, index)
    if count:
        gpu.load("nearest", "merge")((count,), (BLOCK,), arguments)
    return score, index


def rounds(rows: int, k: int) -> Iterator[tuple[int, int]]:
    """Distances between the rows of each round, falling to 1, and how much denser it is.

    The first round, with denser = 0, sees at most 8 k rows; each next one leaves out what rounds
    before it saw. About denser x k of its rows are expected to reach the k-th best so far.

    Parameters
    ----------
    rows : int
        Library rows in the GPU's memory.
    k : int
        Neighbours looked for, 1 to `MOST_NEIGHBOURS`.

    Returns
    -------
    iterator of (int, int)
        Distance and how much denser, for `collect`.
    """
    # what is expected fills half of CAPACITY at most: the rest is for luck
    denser = min(8, 1 << (CAPACITY // (2 * k)).bit_length() - 1)
    count = 0
    while rows > denser * k * denser**count:
        count += 1
    return ((denser**i, denser if i < count else 0) for i in range(count, -1, -1))


@dataclass(frozen=True)
class _Batch:
    """Queries under way; fields are one a query where nothing else is said."""

    halves: Array  # uint16[q, 64]
    known_before: Array
    limit: Array  # a candidate's least score
    count: Array  # of candidates found, more than CAPACITY where some were lost
    open: Array  # whether the next `collect` looks at it
    row: Array  # int32[q, CAPACITY]
    score: Array  # float32[q, CAPACITY]

    @classmethod
    def begin(cls, gpu: Gpu, queries: Array, known_before: Array, off: Array) -> _Batch:
        n, xp = len(queries), gpu.xp
        batch = cls(
            halves=xp.empty((n, DIMENSIONS), np.uint16),
            known_before=known_before,
            limit=xp.empty(n, np.float32),
            count=xp.empty(n, np.int32),
            open=xp.empty(n, np.uint8),
            row=xp.empty((n, CAPACITY), np.int32),
            score=xp.empty((n, CAPACITY), np.float32),
        )
        state = (batch.limit, batch.count, batch.open, off)
        launch_blocks(gpu.load, "nearest", "begin", n, queries, batch.halves, *state)
        return batch

    def collect(self, gpu: Gpu, rows: Rows, stride: int, denser: int) -> None:
        count = len(self.limit)
        shape = FEW if count <= 32 else MANY | {"HOPPER": int(gpu.capability == HOPPER)}
        blocks = -(-count // (16 * shape["TILES"] * shape["QUERY_WARPS"]))
        steps = -(-len(rows.paths) // (TILE * stride))
        slices = max(1, min(24 * gpu.processors // blocks, steps // 4, 65_535))
        shapes = (np.int64(count), np.int64(len(rows.paths)), np.int64(stride), np.int64(denser))
        inputs = (self.halves, rows.halves, self.known_before, self.limit, self.open)
        arguments = (*shapes, *inputs, self.count, self.row, self.score)
        gpu.load("nearest", "collect", **shape)((blocks, slices), (BLOCK,), arguments)

    def tighten(self, gpu: Gpu, k: int, *, last: bool) -> None:
        lists = (self.row, self.score, self.limit, self.count, self.open)
        arguments = (np.int64(k), np.bool_(last), *lists)
        gpu.load("nearest", "tighten")((len(self.limit),), (BLOCK,), arguments)
