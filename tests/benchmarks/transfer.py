"""Copies of large arrays between host and GPU memory, beside CuPy's own and a pinned copy.

The ceiling is a copy of an array that is pinned already. First calls are timed too: an array is
moved once as a rule, and making pinned memory of its size takes longer than copying it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np

from kernels.device import gpu_unavailable, to_device, to_host
from tests.benchmarks.kernels import print_hardware

BYTES = [1 << 20, 1 << 23, 1 << 26, 1 << 29, 1 << 30]
RUNS = 5


def main() -> list[dict[str, Any]]:
    if (missing := gpu_unavailable()) is not None:
        print(f"gpu: {missing}")
        return []
    print_hardware()
    print(f"{'MiB':<6}{'way':<8}{'by':<10}{'first GB/s':>11}{'GB/s':>8}", end="")
    print(f"{'of CuPy':>9}{'of pinned':>11}")
    return [figure for size in BYTES for figure in measure(size)]


def measure(size: int) -> list[dict[str, Any]]:
    """Time copies of so many bytes both ways; what arrives must be what was sent."""
    xp = import_module("cupy")
    here = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    there = to_device(here)
    np.testing.assert_array_equal(to_host(there), here)
    np.testing.assert_array_equal(xp.asnumpy(there), here)
    pinned = np.frombuffer(xp.cuda.alloc_pinned_memory(size), np.uint8, size)
    ways: dict[str, dict[str, Callable[[], Any]]] = {
        "to GPU": {
            "ours": lambda: to_device(here),
            "CuPy": lambda: xp.asarray(here),
            "pinned": lambda: there.set(pinned),
        },
        "to host": {
            "ours": lambda: to_host(there),
            "CuPy": lambda: xp.asnumpy(there),
            "pinned": lambda: there.get(out=pinned),
        },
    }
    figures = [
        {"bytes": size, "way": way, "by": by, **rates(call, size)}
        for way, calls in ways.items()
        for by, call in calls.items()
    ]
    for way in ways:
        show([figure for figure in figures if figure["way"] == way])
    return figures


def rates(call: Callable[[], Any], size: int) -> dict[str, float]:
    """Bytes a second of the first call, with no pinned memory at hand, and of the best."""
    xp = import_module("cupy")
    xp.get_default_pinned_memory_pool().free_all_blocks()
    seconds = []
    for _ in range(RUNS):
        xp.cuda.Device().synchronize()
        begin = perf_counter()
        call()
        xp.cuda.Device().synchronize()
        seconds.append(perf_counter() - begin)
    return {"first_bytes_per_s": size / seconds[0], "bytes_per_s": size / min(seconds)}


def show(figures: list[dict[str, Any]]) -> None:
    rate = {figure["by"]: figure["bytes_per_s"] for figure in figures}
    for figure in figures:
        first, best = figure["first_bytes_per_s"], figure["bytes_per_s"]
        print(
            f"{figure['bytes'] >> 20:<6}{figure['way']:<8}{figure['by']:<10}{first / 1e9:>11.2f}"
            f"{best / 1e9:>8.2f}{best / rate['CuPy']:>9.2f}{best / rate['pinned']:>11.2f}"
        )
