"""Work of independent rows spread over all GPUs that the process sees."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from kernels.device import Array, array_module, await_kernels, gpu_unavailable, move
from kernels.transfer import download, upload

Device = AbstractContextManager[Any]
Part: TypeAlias = Sequence[slice]
"""Stretches of rows that one GPU has."""

LEAST = 4096
"""Rows for which a second GPU is worth its copy of what the rows share."""

STRETCH = 128
"""Rows of one stretch at least."""

TURNS = 16
"""Stretches of each GPU at most."""


def devices() -> list[Device]:
    """Return the visible GPUs, each a context that makes it the thread's own; none without one.

    The current one comes first.
    """
    if gpu_unavailable() is not None:
        return []
    cuda = import_module("cupy").cuda
    current = cuda.Device().id
    numbers = sorted(range(cuda.runtime.getDeviceCount()), key=lambda number: number != current)
    return [cuda.Device(number) for number in numbers]


def shares(rows: int, among: Sequence[Device]) -> list[Part]:
    """Deal rows out to GPUs, one of them to all below `LEAST` rows.

    Later rows often cost more (a later query knows more): the GPUs take stretches in turn, the
    last first in every second turn.

    Parameters
    ----------
    rows : int
        Rows in all.
    among : sequence of context
        Of `devices`.

    Returns
    -------
    list of sequence of slice
        One part a GPU that takes some, ascending within; together they are all rows, each once.
    """
    count = min(len(among), LEAST // STRETCH)
    if count < 2 or rows < LEAST:
        return [[slice(0, rows)]]
    size = max(-(-rows // (TURNS * count)), STRETCH)
    stretches = [slice(first, min(first + size, rows)) for first in range(0, rows, size)]
    there, back = list(range(count)), list(reversed(range(count)))
    takers = (there + back) * TURNS
    return [
        [taken for taken, taker in zip(stretches, takers, strict=False) if taker == number]
        for number in range(count)
    ]


def spread(
    call: Callable[[Part], Sequence[Array]], rows: int, among: Sequence[Device]
) -> Sequence[Array]:
    """Run ``call(part)`` for a share of the rows on each GPU at the same time.

    Parameters
    ----------
    call : callable
        Works on the current GPU and returns arrays with a row for each row of its part.
    rows : int
    among : sequence of context
        Of `devices`; with none of them, one call has all rows, where the caller is.

    Returns
    -------
    sequence of array
        What the calls returned, all rows in their places: NumPy arrays, or what the one call
        returned where no devices were given. The first error of a call is raised after all have
        ended.
    """
    if not among:
        return call([slice(0, rows)])
    parts, whole = shares(rows, among), _Whole(rows)
    if gpu_unavailable() is None:
        await_kernels()  # what the caller put on a GPU is there for all

    def run(device: Device, part: Part) -> None:
        with device:
            whole.fill(part, call(part))

    with ThreadPoolExecutor(len(parts)) as threads:
        futures = [threads.submit(run, *pair) for pair in zip(among, parts, strict=False)]
    for future in futures:
        future.result()
    return whole.arrays


class _Whole:
    """Host arrays that fill up with the rows of all parts."""

    def __init__(self, rows: int) -> None:
        self.arrays: list[Array] = []
        self._rows = rows
        self._first = threading.Lock()

    def fill(self, part: Part, pieces: Sequence[Array]) -> None:
        with self._first:
            if not self.arrays:
                shapes = [(self._rows, *piece.shape[1:]) for piece in pieces]
                kinds = [piece.dtype for piece in pieces]
                self.arrays = [np.empty(*like) for like in zip(shapes, kinds, strict=True)]
        put(self.arrays, part, pieces)


def take(arrays: Sequence[Array], part: Part, xp: Any) -> list[Array]:
    """Return the rows of a part of each array, one stretch after the other, as arrays of `xp`.

    Several stretches are those of host arrays.

    Parameters
    ----------
    arrays : sequence of array
        Of n rows each.
    part : sequence of slice
        Stretches of rows, as `shares` deals them.
    xp : module
        numpy or cupy.

    Returns
    -------
    list of array
        C-contiguous, in the order of `arrays`.
    """
    if len(part) == 1:
        return [move(array[part[0]], xp) for array in arrays]
    stretches = [[np.ascontiguousarray(array[rows]) for rows in part] for array in arrays]
    if xp is np:
        return [np.concatenate(some) for some in stretches]
    count = sum(rows.stop - rows.start for rows in part)
    taken = [xp.empty((count, *array.shape[1:]), array.dtype) for array in arrays]
    upload(*zip(stretches, taken, strict=True))
    return taken


def put(wholes: Sequence[Array], part: Part, pieces: Sequence[Array]) -> None:
    """Put what `take` took, or what became of it, to its rows of NumPy arrays.

    Parameters
    ----------
    wholes : sequence of array
        NumPy arrays of all rows, written to.
    part : sequence of slice
        Stretches of rows, as `take` had them.
    pieces : sequence of array
        One for each of `wholes`, with the rows of the part; NumPy or CuPy.
    """
    places = [[whole[rows] for rows in part] for whole in wholes]
    xp = array_module(*pieces)
    if xp is not np:
        download(*zip(map(xp.ascontiguousarray, pieces), places, strict=True))
        return
    for piece, some in zip(pieces, places, strict=True):
        ends = np.cumsum([len(place) for place in some])[:-1]
        for place, rows in zip(some, np.split(piece, ends), strict=True):
            place[...] = rows
