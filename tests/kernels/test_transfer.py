"""Large copies between host and GPU."""

from __future__ import annotations

from contextlib import nullcontext
from ctypes import memmove
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.device import gpu_unavailable, to_device, to_host
from kernels.transfer import CHUNK, LEAST, download, loads, upload

on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(gpu_unavailable() is not None, reason=f"gpu: {gpu_unavailable()}"),
]


@given(st.lists(st.integers(0, 3 * CHUNK // 1000), max_size=9))
def test_loads_hold_every_byte_once_and_fit(sizes: list[int]) -> None:
    pieces = [np.arange(1000 * size // 2, dtype=np.uint16) for size in sizes]
    expected = b"".join(piece.tobytes() for piece in pieces)
    pointer = 4096
    for load in loads(pointer, pieces):
        assert load.pointer == pointer
        size = sum(map(len, load.pieces))
        assert 0 < size <= CHUNK
        place = slice(pointer - 4096, pointer - 4096 + size)
        assert b"".join(map(bytes, load.pieces)) == expected[place]
        pointer += size
    assert pointer - 4096 == len(expected)


def test_many_small_pieces_share_a_load() -> None:
    pieces = [np.zeros(CHUNK // 256, np.uint8)] * 1024
    assert [len(load.pieces) for load in loads(0, pieces)] == [256] * 4


def test_pieces_are_views_that_can_be_written() -> None:
    whole = np.zeros((4, 3))
    for load in loads(0, [whole[1:2], whole[3:]]):
        for piece in load.pieces:
            piece[:] = 255
    np.testing.assert_array_equal(np.isnan(whole).all(axis=1), [False, True, False, True])


@pytest.mark.parametrize("seed", range(20))
def test_all_pieces_cross_both_ways(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads, buffers and threads, with host memory in place of the GPU's."""
    monkeypatch.setattr("kernels.transfer.CHUNK", 1000)
    monkeypatch.setattr("kernels.transfer.import_module", lambda _: memory_of_the_host())
    rng = np.random.default_rng(seed)
    pieces = [rng.random((size, 3)) for size in rng.integers(0, 200, 9)]
    there, other = np.zeros((sum(map(len, pieces)), 3)), np.zeros(7, np.int32)
    upload((pieces, pointed(there)), ([np.arange(7, dtype=np.int32)], pointed(other)))
    np.testing.assert_array_equal(there, np.concatenate(pieces))
    np.testing.assert_array_equal(other, np.arange(7))
    back = [np.zeros_like(piece) for piece in pieces]
    download((pointed(there), back))
    for piece, expected in zip(back, pieces, strict=True):
        np.testing.assert_array_equal(piece, expected)


def memory_of_the_host() -> Any:
    """What `kernels.transfer` needs of CuPy; its pinned buffers start with other bytes."""
    runtime = SimpleNamespace(
        memcpyAsync=lambda target, source, size, *_: memmove(target, source, size),
        memcpyHostToDevice=1,
        memcpyDeviceToHost=2,
    )
    stream = SimpleNamespace(synchronize=lambda: None, ptr=0)
    cuda = SimpleNamespace(
        Device=nullcontext,
        alloc_pinned_memory=lambda size: bytearray(b"?" * size),
        get_current_stream=lambda: stream,
        runtime=runtime,
    )
    return SimpleNamespace(cuda=cuda)


def pointed(array: Any) -> Any:
    return SimpleNamespace(data=SimpleNamespace(ptr=array.ctypes.data))


class TestGpu:
    pytestmark = on_gpu

    @pytest.mark.parametrize("size", [0, 1, LEAST - 1, LEAST, LEAST + 1, CHUNK + 1, 9 * CHUNK + 5])
    def test_there_and_back(self, size: int) -> None:
        array = np.random.default_rng(size).integers(0, 256, size, np.uint8)
        there = to_device(array)
        np.testing.assert_array_equal(there.get(), array)
        np.testing.assert_array_equal(to_host(there), array)

    @pytest.mark.parametrize("dtype", ["bool", "float16", "float32", "int64"])
    def test_shape_dtype_and_order(self, dtype: str) -> None:
        rows = 3 * LEAST // (7 * 5 * np.dtype(dtype).itemsize)
        array = np.asarray(np.arange(7 * 5 * rows).reshape(7, -1, 5) % 3, dtype)
        for given_ in (array, array.T, array[::2], array[:, ::-1]):
            there = to_device(given_)
            assert there.flags.c_contiguous
            assert (there.shape, there.dtype) == (given_.shape, given_.dtype)
            np.testing.assert_array_equal(to_host(there), given_)
            np.testing.assert_array_equal(to_host(there.T), given_.T)

    def test_several_arrays_in_pieces(self) -> None:
        xp = import_module("cupy")
        one, two = np.arange(2.5 * CHUNK), np.arange(CHUNK, dtype=np.int32).reshape(-1, 4)
        there = xp.empty(one.shape), xp.empty(two.shape, np.int32)
        upload(([one[:7], one[7:CHUNK], one[CHUNK:]], there[0]), ([two[:1], two[1:]], there[1]))
        for array, expected in zip(there, (one, two), strict=True):
            np.testing.assert_array_equal(array.get(), expected)
        back = np.zeros_like(one), np.zeros_like(two)
        download((there[0], [back[0]]), (there[1], [back[1][:9], back[1][9:]]))
        for array, expected in zip(back, (one, two), strict=True):
            np.testing.assert_array_equal(array, expected)

    def test_kernels_under_way_are_waited_for(self) -> None:
        xp = import_module("cupy")
        array = np.ones(LEAST, np.float32)
        for _ in range(10):
            there = to_device(array)
            for _ in range(50):
                there += 1
            np.testing.assert_array_equal(to_host(there), array + 50)
            with xp.cuda.Stream(non_blocking=True):
                busy = xp.zeros(LEAST, np.float32)
                for _ in range(50):
                    busy += 1
                del busy  # its memory is the next array's, its kernels are still to come
                np.testing.assert_array_equal(to_host(to_device(array)), array)

    def test_each_gpu_has_its_own(self) -> None:
        cuda = import_module("cupy").cuda
        array: Any = np.arange(LEAST / 8 + 1)
        for number in range(cuda.runtime.getDeviceCount()):
            with cuda.Device(number):
                there = to_device(array + number)
            assert there.device.id == number
            np.testing.assert_array_equal(to_host(there), array + number)
            there.device.synchronize()
            assert to_device(there).device.id == cuda.Device().id
            np.testing.assert_array_equal(to_host(to_device(there)), array + number)
