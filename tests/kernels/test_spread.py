"""Rows dealt out to several GPUs."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest

from kernels.device import gpu_unavailable
from kernels.nearest import nearest
from kernels.spread import LEAST, devices, gather, shares, spread
from tests.kernels.test_nearest import world
from tests.kernels.test_sweep import market, random_sets, run


@pytest.mark.parametrize("rows", [LEAST, LEAST + 1, 3 * LEAST + 2])
@pytest.mark.parametrize("gpus", [1, 2, 3, 8])
def test_every_row_goes_to_one_gpu(rows: int, gpus: int) -> None:
    parts = shares(rows, [nullcontext()] * gpus)
    taken = np.concatenate([np.arange(rows)[part] for part in parts])
    assert len(parts) == gpus
    assert sorted(taken) == list(range(rows))
    assert np.ptp([len(np.arange(rows)[part]) for part in parts]) <= 1


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_few_rows_or_no_gpu_make_one_part(gpus: int) -> None:
    assert shares(LEAST - 1, [nullcontext()] * gpus) == [slice(0, None, 1)]
    assert len(shares(10 * LEAST, [])) == 1


def test_calls_run_at_once_each_on_its_gpu() -> None:
    current, all_there = threading.local(), threading.Barrier(3, timeout=10)

    @contextmanager
    def gpu(number: int) -> Any:
        current.number = number
        yield

    def call(part: slice) -> tuple[int, int]:
        all_there.wait()  # raises unless three calls are under way
        return current.number, part.start

    among = [gpu(number) for number in range(3)]
    assert spread(call, shares(LEAST, among), among) == [(0, 0), (1, 1), (2, 2)]


def test_rows_come_back_to_their_places() -> None:
    parts = shares(LEAST + 1, [nullcontext()] * 3)
    rows = np.arange(2.0 * (LEAST + 1)).reshape(-1, 2)
    np.testing.assert_array_equal(gather(parts, [rows[part] for part in parts]), rows)
    assert gather(parts[:1], [rows]) is rows


def test_an_error_of_one_gpu_is_raised() -> None:
    def call(part: slice) -> None:
        if part.start == 1:
            raise MemoryError("no room")

    among = [nullcontext()] * 2
    with pytest.raises(MemoryError, match="no room"):
        spread(call, shares(LEAST, among), among)


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
