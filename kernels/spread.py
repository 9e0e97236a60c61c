"""Work of independent rows spread over all GPUs that the process sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias, TypeVar

import numpy as np

from kernels.device import Array, array_module, copy_to_host, gpu_unavailable

Result = TypeVar("Result")
Device = AbstractContextManager[Any]
Part: TypeAlias = Sequence[slice]
"""Stretches of rows that one GPU has."""

LEAST = 4096
"""Rows for which a second GPU is worth its copy of what the rows share."""

STRETCH = 4096
"""Rows of one stretch at most."""

TURNS = 8
"""Stretches of each GPU at least."""


def devices() -> list[Device]:
    """Return the visible GPUs, each a context that makes it the thread's own; none without one."""
    if gpu_unavailable() is not None:
        return []
    cuda = import_module("cupy").cuda
    return [cuda.Device(number) for number in range(cuda.runtime.getDeviceCount())]


def shares(rows: int, among: Sequence[Device]) -> list[Part]:
    """Deal rows out to GPUs, one of them to all below `LEAST` rows.

    Later rows often cost more (a later query knows more): the GPUs take stretches in turn.
    """
    count = len(among)
    if count < 2 or rows < LEAST:
        return [[slice(0, rows)]]
    size = min(STRETCH, -(-rows // (TURNS * count)))
    stretches = [slice(first, min(first + size, rows)) for first in range(0, rows, size)]
    return [stretches[number::count] for number in range(count)]


def spread(
    call: Callable[[Part], Result], parts: Sequence[Part], among: Sequence[Device]
) -> list[Result]:
    """Run ``call(part)`` for each part at the same time, each on its own GPU.

    Parameters
    ----------
    call : callable
        Works on the current GPU.
    parts : sequence of Part
        Of `shares`, at most one a GPU.
    among : sequence of context
        Of `devices`.

    Returns
    -------
    list
        What the calls returned, in the order of the parts. The first error of a call is raised
        after all have ended.
    """

    def run(device: Device, part: Part) -> Result:
        with device:
            return call(part)

    if len(parts) == 1:
        return [call(parts[0])]
    with ThreadPoolExecutor(len(parts)) as threads:
        futures = [threads.submit(run, *pair) for pair in zip(among, parts, strict=False)]
    return [future.result() for future in futures]


def take(array: Array, part: Part) -> Array:
    """Return the rows of a part, one stretch after the other."""
    if len(part) == 1:
        return array[part[0]]
    return array_module(array).concatenate([array[rows] for rows in part])


def put(whole: Array, part: Part, piece: Array) -> None:
    """Put what `take` took, or what became of it, to its rows of a NumPy array."""
    first = 0
    for rows in part:
        until = first + rows.stop - rows.start
        copy_to_host(piece[first:until], whole[rows])
        first = until


def gather(parts: Sequence[Part], pieces: Sequence[Array]) -> Array:
    """Put the rows that `shares` dealt out back into their places; NumPy arrays."""
    if len(parts) == 1:
        return pieces[0]
    rows = sum(len(piece) for piece in pieces)
    whole = np.empty((rows, *pieces[0].shape[1:]), pieces[0].dtype)
    with ThreadPoolExecutor(len(parts)) as threads:
        list(threads.map(partial(put, whole), parts, pieces))
    return whole
