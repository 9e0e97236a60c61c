"""Large copies between host and GPU memory: threads pass them through small pinned buffers.

A GPU reaches pinned memory only. For any other array the driver takes one thread to copy it there
and back, and CuPy a pinned array of its size, whose making takes longer than the copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Pieces: TypeAlias = Sequence[NDArray[Any]]
"""C-contiguous arrays in host memory."""

CHUNK = 4 << 20
"""Bytes of one pinned buffer."""

THREADS = 8
"""Threads of one transfer at most: what the memory of a large host feeds."""

LEAST = 16 << 20
"""Bytes from which threads are worth starting for one array."""


class Load(NamedTuple):
    """What passes through a pinned buffer at once."""

    pointer: int
    pieces: list[Bytes]

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(map(len, self.pieces))


def upload(*moves: tuple[Pieces, Any]) -> None:
    """Copy arrays of the host, one after the other, into an array of a GPU.

    Parameters
    ----------
    *moves : (pieces, target)
        C-contiguous arrays of as many bytes in all as the C-contiguous CuPy array, which must be
        on the current device.
    """
    _transfer(_up, [load for pieces, target in moves for load in loads(target.data.ptr, pieces)])


def download(*moves: tuple[Any, Pieces]) -> None:
    """Copy an array of a GPU into arrays of the host; `upload` the other way."""
    _transfer(_down, [load for source, pieces in moves for load in loads(source.data.ptr, pieces)])


def loads(pointer: int, pieces: Pieces) -> Iterator[Load]:
    """Cut and gather pieces into loads of at most `CHUNK` bytes, from an address on.

    Parameters
    ----------
    pointer : int
        Address on the GPU.
    pieces : sequence of array
        C-contiguous arrays in host memory.

    Returns
    -------
    iterator of Load
        In the order of the pieces, without gaps between their addresses.
    """
    held: list[Bytes] = []
    size = 0
    for piece in _cut(pieces):
        if size + len(piece) > CHUNK:
            yield Load(pointer, held)
            pointer, held, size = pointer + size, [], 0
        held.append(piece)
        size += len(piece)
    if held:
        yield Load(pointer, held)


def _cut(pieces: Pieces) -> Iterator[Bytes]:
    for piece in pieces:
        flat = piece.reshape(-1).view(np.uint8)
        yield from (flat[first : first + CHUNK] for first in range(0, len(flat), CHUNK))


def _transfer(way: Callable[[Load, Bytes, Any], None], every: list[Load]) -> None:
    """Deal the loads out to threads; what the current stream does has ended before."""
    cuda = import_module("cupy").cuda
    device, stream = cuda.Device(), cuda.get_current_stream()
    count = min(THREADS, len(every), len(os.sched_getaffinity(0)))
    stream.synchronize()

    def work(number: int) -> None:
        with device:
            stage = np.frombuffer(cuda.alloc_pinned_memory(CHUNK), np.uint8, CHUNK)
            for load in every[number::count]:
                way(load, stage, stream)

    with ThreadPoolExecutor(max(count, 1)) as threads:
        list(threads.map(work, range(count)))


def _up(load: Load, stage: Bytes, stream: Any) -> None:
    for piece, place in _placed(load, stage):
        place[:] = piece
    _copy(load.pointer, stage.ctypes.data, load.size, "memcpyHostToDevice", stream)


def _down(load: Load, stage: Bytes, stream: Any) -> None:
    _copy(stage.ctypes.data, load.pointer, load.size, "memcpyDeviceToHost", stream)
    for piece, place in _placed(load, stage):
        piece[:] = place


def _placed(load: Load, stage: Bytes) -> Iterator[tuple[Bytes, Bytes]]:
    """Yield each piece and its place in the buffer."""
    first = 0
    for piece in load.pieces:
        yield piece, stage[first : first + len(piece)]
        first += len(piece)


def _copy(target: int, source: int, size: int, kind: str, stream: Any) -> None:
    runtime = import_module("cupy").cuda.runtime
    runtime.memcpyAsync(target, source, size, getattr(runtime, kind), stream.ptr)
    stream.synchronize()
