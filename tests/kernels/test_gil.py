"""Other threads go on while a kernel runs: a run's sign of life is such a thread."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

import numpy as np

from kernels.nearest import nearest


def longest_silence(seconds: list[float]) -> float:
    return max(after - before for before, after in pairwise(seconds))


def test_a_thread_ticks_during_a_long_kernel() -> None:
    rng = np.random.default_rng(1)
    paths = rng.normal(size=(40_000, 64)).astype(np.float32)
    paths /= np.linalg.norm(paths, axis=1, keepdims=True)
    among: dict[str, Any] = {"position": np.arange(40_000), "group": np.zeros(40_000, np.int32)}
    ticks: list[float] = []
    queries, over = paths[:4_000], threading.Event()

    def tick() -> None:
        while not over.wait(0.01):
            ticks.append(time.monotonic())

    def search(n: int) -> float:
        begin = time.monotonic()
        known = np.full(n, 40_000)
        nearest(queries[:n], paths, **among, known_before=known, exclusion=1, engine="cpu")
        return time.monotonic() - begin

    search(64)  # compiled, or read from the cache, before anything is measured
    ticks.append(time.monotonic())
    thread = threading.Thread(target=tick)
    thread.start()
    took = search(4_000)
    over.set()
    thread.join()
    assert took > 0.2
    assert longest_silence(ticks) < took / 2
