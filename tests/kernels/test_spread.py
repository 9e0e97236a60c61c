"""Rows dealt out to several GPUs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest

from kernels.device import Gpu, gpu_unavailable
from kernels.nearest import _spread, nearest
from kernels.spread import LEAST, STRETCH, Part, devices, put, shares, spread, take
from tests.kernels.shim import load_on_cpu
from tests.kernels.test_nearest import needs_compiler, on_shim, world
from tests.kernels.test_sweep import market, random_sets, run


@pytest.mark.parametrize("rows", [LEAST, LEAST + 1, 3 * LEAST + 2, 40 * STRETCH + 5])
@pytest.mark.parametrize("gpus", [1, 2, 3, 8])
def test_every_row_goes_to_one_gpu(rows: int, gpus: int) -> None:
    parts = shares(rows, [nullcontext()] * gpus)
    taken = [take([np.arange(rows)], part, np)[0] for part in parts]
    assert len(parts) == gpus
    np.testing.assert_array_equal(np.sort(np.concatenate(taken)), np.arange(rows))
    longest = max(part.stop - part.start for part in parts[0])
    assert np.ptp([len(rows) for rows in taken]) <= longest <= max(STRETCH, rows // gpus)


@pytest.mark.parametrize("gpus", [2, 3, 8])
def test_rows_that_cost_ever_more_are_dealt_out_evenly(gpus: int) -> None:
    parts = shares(372_000, [nullcontext()] * gpus)
    costs = [int(rows_of(part).sum()) for part in parts]
    assert max(costs) < 1.001 * np.mean(costs)


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_few_rows_or_no_gpu_make_one_part(gpus: int) -> None:
    assert shares(LEAST - 1, [nullcontext()] * gpus) == [[slice(0, LEAST - 1)]]
    assert shares(0, [nullcontext()] * gpus) == [[slice(0, 0)]]
    assert len(shares(10 * LEAST, [])) == 1


def test_calls_run_at_once_each_on_its_gpu() -> None:
    current, all_there = threading.local(), threading.Barrier(3, timeout=10)

    @contextmanager
    def gpu(number: int) -> Any:
        current.number = number
        yield

    def call(part: Part) -> list[Any]:
        all_there.wait()  # raises unless three calls are under way
        return [np.full(len(rows_of(part)), current.number)]

    among = [gpu(number) for number in range(3)]
    (numbers,) = spread(call, LEAST, among)
    for number, part in enumerate(shares(LEAST, among)):
        assert set(numbers[rows_of(part)]) == {number}


@pytest.mark.parametrize("rows", [0, 1, LEAST, LEAST + 1])
@pytest.mark.parametrize("gpus", [1, 3])
def test_rows_come_back_to_their_places(rows: int, gpus: int) -> None:
    one, two = np.arange(2.0 * rows).reshape(-1, 2), np.arange(rows, dtype=np.int32)
    found = spread(lambda part: take([one, two], part, np), rows, [nullcontext()] * gpus)
    for whole, expected in zip(found, (one, two), strict=True):
        np.testing.assert_array_equal(whole, expected)
        assert whole.dtype == expected.dtype


def test_without_gpus_the_call_returns_what_it_likes() -> None:
    rows = np.arange(3.0)
    assert spread(lambda part: [rows], 3, [])[0] is rows


def test_a_part_is_put_to_its_rows_alone() -> None:
    part = shares(LEAST + 1, [nullcontext()] * 3)[1]
    rows = np.arange(LEAST + 1.0)
    whole = np.full_like(rows, np.nan)
    put([whole], part, take([rows], part, np))
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(whole)), rows_of(part))
    np.testing.assert_array_equal(whole[rows_of(part)], rows_of(part))


def test_an_error_of_one_gpu_is_raised() -> None:
    def call(part: Part) -> list[Any]:
        if part[0].start:
            raise MemoryError("no room")
        return [np.empty(len(rows_of(part)))]

    with pytest.raises(MemoryError, match="no room"):
        spread(call, LEAST, [nullcontext()] * 2)


def rows_of(part: Part) -> Any:
    return np.concatenate([np.arange(rows.start, rows.stop) for rows in part])


@needs_compiler
@pytest.mark.parametrize(("rows", "free"), [(200, 1 << 40), (9000, 3_000_000)])
def test_two_answer_as_one_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, rows: int, free: int
) -> None:
    """The CUDA source and all of its host code, half of the queries in a thread each.

    The library fits as a whole, or in parts of it.
    """
    one_at_a_time = threading.Lock()  # the shim's threads and blocks are the process's
    lengths = set()

    def load(*source: str, **defines: int) -> Callable[..., None]:
        def run(grid: Any, block: Any, arguments: Any) -> None:
            if source[1] == "halve":
                lengths.add(int(arguments[0]))
            with one_at_a_time:
                load_on_cpu(*source, **defines)(grid, block, arguments)

        return run

    gpu = Gpu(load, np, 2, lambda: free, 80)
    monkeypatch.setattr(Gpu, "current", lambda: gpu)
    monkeypatch.setattr("kernels.spread.LEAST", 16)
    monkeypatch.setattr("kernels.spread.STRETCH", 4)
    monkeypatch.setattr("kernels.nearest.devices", lambda: [nullcontext()] * 2)
    queries, *library, known = world(33, rows).values()
    two = _spread(queries, (library[0], library[1], library[2]), known, 16, 9)
    score, index = on_shim(world(33, rows), 16, 9)
    assert (lengths == {rows}) == (free == 1 << 40)
    np.testing.assert_array_equal(two.index, index)
    np.testing.assert_array_equal(two.score, score)


@pytest.mark.gpu
@pytest.mark.skipif(gpu_unavailable() is not None, reason=f"gpu: {gpu_unavailable()}")
def test_two_gpus_answer_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = world(LEAST + 1, 3000)
    one = nearest(**paths, exclusion=9, k=16, engine="gpu")
    monkeypatch.setattr("kernels.nearest.devices", two_gpus)
    two = nearest(**paths, exclusion=9, k=16, engine="gpu")
    np.testing.assert_array_equal(two.index, one.index)
    np.testing.assert_array_equal(two.score, one.score)


@pytest.mark.gpu
@pytest.mark.skipif(gpu_unavailable() is not None, reason=f"gpu: {gpu_unavailable()}")
def test_two_gpus_sweep_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    here, sets = market(2000, seed=3), random_sets(LEAST + 1, seed=4)
    one = run(here, sets, "gpu", np.asarray)
    monkeypatch.setattr("kernels.sweep.devices", two_gpus)
    two = run(here, sets, "gpu", np.asarray)
    for name, values in vars(one).items():
        np.testing.assert_array_equal(getattr(two, name), values)


def two_gpus() -> list[Any]:
    """Two of them where they are there, otherwise one twice."""
    return (devices() * 2)[:2]
