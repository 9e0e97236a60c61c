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
from kernels.spread import LEAST, STRETCH, Part, devices, gather, put, shares, spread, take
from tests.kernels.shim import load_on_cpu
from tests.kernels.test_nearest import needs_compiler, on_shim, world
from tests.kernels.test_sweep import market, random_sets, run


@pytest.mark.parametrize("rows", [LEAST, LEAST + 1, 3 * LEAST + 2, 40 * STRETCH + 5])
@pytest.mark.parametrize("gpus", [1, 2, 3, 8])
def test_every_row_goes_to_one_gpu(rows: int, gpus: int) -> None:
    parts = shares(rows, [nullcontext()] * gpus)
    taken = [take(np.arange(rows), part) for part in parts]
    assert len(parts) == gpus
    np.testing.assert_array_equal(np.sort(np.concatenate(taken)), np.arange(rows))
    longest = max(part.stop - part.start for part in parts[0])
    assert np.ptp([len(rows) for rows in taken]) <= longest <= max(STRETCH, rows // gpus)


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

    def call(part: Part) -> tuple[int, int]:
        all_there.wait()  # raises unless three calls are under way
        return current.number, part[0].start

    among = [gpu(number) for number in range(3)]
    parts = shares(LEAST, among)
    assert spread(call, parts, among) == [(n, parts[n][0].start) for n in range(3)]


def test_rows_come_back_to_their_places() -> None:
    parts = shares(LEAST + 1, [nullcontext()] * 3)
    rows = np.arange(2.0 * (LEAST + 1)).reshape(-1, 2)
    np.testing.assert_array_equal(gather(parts, [take(rows, part) for part in parts]), rows)
    assert gather(parts[:1], [rows]) is rows
    whole = np.full_like(rows, np.nan)
    put(whole, parts[1], take(rows, parts[1]))
    assert np.isnan(whole).sum() == rows.size - take(rows, parts[1]).size


def test_an_error_of_one_gpu_is_raised() -> None:
    def call(part: Part) -> None:
        if part[0].start:
            raise MemoryError("no room")

    among = [nullcontext()] * 2
    with pytest.raises(MemoryError, match="no room"):
        spread(call, shares(LEAST, among), among)


@needs_compiler
def test_two_answer_as_one_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CUDA source and all of its host code, each half of the queries in a thread."""
    one_at_a_time = threading.Lock()  # the shim's threads and blocks are the process's

    def load(*source: str, **defines: int) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            with one_at_a_time:
                load_on_cpu(*source, **defines)(*arguments)

        return run

    gpu = Gpu(load, np, 2, lambda: 1 << 40, 80)
    monkeypatch.setattr(Gpu, "current", lambda: gpu)
    monkeypatch.setattr("kernels.spread.LEAST", 16)
    monkeypatch.setattr("kernels.nearest.devices", lambda: [nullcontext()] * 2)
    queries, *library, known = world(33, 200).values()
    two = _spread(queries, (library[0], library[1], library[2]), known, 16, 9)
    score, index = on_shim(world(33, 200), 16, 9)
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
