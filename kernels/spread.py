"""Work of independent rows spread over all GPUs that the process sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from kernels.device import Array, gpu_unavailable

Result = TypeVar("Result")
Device = AbstractContextManager[Any]

LEAST = 4096
"""Rows for which a second GPU is worth its copy of what the rows share."""


def devices() -> list[Device]:
    """Return the visible GPUs, each a context that makes it the thread's own; none without one."""
    if gpu_unavailable() is not None:
        return []
    cuda = import_module("cupy").cuda
    return [cuda.Device(number) for number in range(cuda.runtime.getDeviceCount())]


def shares(rows: int, among: Sequence[Device]) -> list[slice]:
    """Deal rows out to GPUs, one of them to all below `LEAST` rows.

    Later rows often cost more (a later query knows more): every GPU takes each n-th row.
    """
    count = max(1, len(among)) if rows >= LEAST else 1
    return [slice(first, None, count) for first in range(count)]


def spread(
    call: Callable[[slice], Result], parts: Sequence[slice], among: Sequence[Device]
) -> list[Result]:
    """Run ``call(part)`` for each part at the same time, each on its own GPU.

    Parameters
    ----------
    call : callable
        Works on the current GPU.
    parts : sequence of slice
        Of `shares`, at most one a GPU.
    among : sequence of context
        Of `devices`.

    Returns
    -------
    list
        What the calls returned, in the order of the parts. The first error of a call is raised
        after all have ended.
    """

    def run(device: Device, part: slice) -> Result:
        with device:
            return call(part)

    if len(parts) == 1:
        return [call(parts[0])]
    with ThreadPoolExecutor(len(parts)) as threads:
        futures = [threads.submit(run, *pair) for pair in zip(among, parts, strict=False)]
    return [future.result() for future in futures]


def gather(parts: Sequence[slice], pieces: Sequence[Array]) -> Array:
    """Put the rows that `shares` dealt out back into their places; NumPy arrays."""
    if len(parts) == 1:
        return pieces[0]
    rows = sum(len(piece) for piece in pieces)
    whole = np.empty((rows, *pieces[0].shape[1:]), pieces[0].dtype)
    with ThreadPoolExecutor(len(parts)) as threads:
        list(threads.map(whole.__setitem__, parts, pieces))
    return whole
