"""Speed of the kernels in bars a second, after a check that the engines agree.

The ceiling of damping is arithmetic: `VISITS` events a bar at `OPERATIONS` multiply-adds each,
against the rate of a float32 matrix product in the same run. NOTES.md tells how it came about.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from kernels.bits import encode_bits, transitions, volatility
from kernels.damping import WINDOWS, damp
from kernels.device import choose_engine, gpu_unavailable, move, to_host
from tests import naive

BARS = {"cpu": 1 << 19, "gpu": 1 << 24}
CHECKED = 400
OPERATIONS = 11
VISITS = sum(WINDOWS)
SIDE = {"cpu": 2048, "gpu": 8192}
Inputs = tuple[Any, Any, Any, Any]


def main() -> list[dict[str, Any]]:
    print_hardware()
    slow = time_reference()
    print(
        f"{'kernel':<12}{'engine':<11}{'bars':>10}{'s':>11}{'bars/s':>12}{'speed-up':>12}{'ceiling':>9}"
    )
    figures = [report("damp", "reference", CHECKED, slow * CHECKED, slow, None)]
    for engine in ("cpu", "gpu"):
        if engine == "gpu" and (missing := gpu_unavailable()) is not None:
            print(f"gpu: {missing}")
            continue
        check(engine)
        figures += time_engine(engine, slow)
    return figures


def print_hardware() -> None:
    print(f"CPU   {cpu_model()}, {len(os.sched_getaffinity(0))} cores, {platform.platform()}")
    if gpu_unavailable() is None:
        import cupy

        device = cupy.cuda.runtime.getDeviceProperties(0)
        driver = cupy.cuda.runtime.driverGetVersion()
        memory = device["totalGlobalMem"] / 2**30
        print(f"GPU   {device['name'].decode()}, {memory:.0f} GiB, CUDA driver {driver}")
    print(f"with  Python {platform.python_version()}, NumPy {np.__version__}")


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def walk(n: int) -> Any:
    steps = np.random.default_rng(2).normal(0, 1e-4, n)
    return np.round(1.1 * np.exp(np.cumsum(steps) - np.cumsum(steps).mean()), 5)


def prepare(close: Any, engine: str) -> Inputs:
    """What `damp` takes, from closes in the memory of the engine."""
    xp = choose_engine(engine).xp
    segments, log_price = xp.zeros(len(close), np.int32), xp.log(close)
    bits, valid = encode_bits({"close": close}, segments, engine=engine)
    events = transitions(bits, valid, segments, engine=engine)
    return events, log_price, volatility(log_price, segments, engine=engine), segments


def check(engine: str) -> None:
    """Equal to the reference before anything is timed."""
    reference = naive.damp(*prepare(walk(CHECKED), "cpu")).trajectory
    close = move(walk(CHECKED), choose_engine(engine).xp)
    computed = damp(*prepare(close, engine), engine=engine).trajectory
    bounds = np.array([2e-5, 2e-5, np.inf, 1e-4])
    off = np.abs(to_host(computed) - reference)
    if not (np.nanmax(off, axis=(0, 1)) <= bounds).all() or np.nanmean(off[..., 2] > 2e-5) > 1e-3:
        raise SystemExit(f"{engine}: differs from the reference by {np.nanmax(off, axis=(0, 1))}")


def time_reference() -> float:
    made = prepare(walk(CHECKED), "cpu")
    return timed(lambda: naive.damp(*made), "cpu", runs=1) / (CHECKED - 257)


def time_engine(engine: str, slow: float) -> list[dict[str, Any]]:
    n = BARS[engine]
    close = move(walk(n), choose_engine(engine).xp)
    made, most = prepare(close, engine), ceiling(engine)
    calls: dict[str, Callable[[], Any]] = {
        "prepare": lambda: prepare(close, engine),
        "damp": lambda: damp(*made, engine=engine),
        "damp half": lambda: damp(*made, dtype=np.float16, engine=engine),
        "damp last": lambda: damp(*made, output="last", engine=engine),
    }
    return [
        report(name, engine, n, timed(call, engine), slow, most) for name, call in calls.items()
    ]


def ceiling(engine: str) -> float:
    """Bars a second if every multiply-add ran at the rate of a float32 matrix product."""
    xp, side = choose_engine(engine).xp, SIDE[engine]
    a, b = (xp.random.rand(side, side).astype(np.float32) for _ in range(2))
    return float(side**3 / timed(lambda: a @ b, engine) / (VISITS * OPERATIONS))


def timed(call: Callable[[], Any], engine: str, *, runs: int = 5) -> float:
    """Seconds of the fastest run; on a GPU until its work is done."""
    wait = choose_engine(engine).xp.cuda.Stream.null.synchronize if engine == "gpu" else int
    taken = []
    for _ in range(runs):
        wait()
        start = perf_counter()
        call()
        wait()
        taken.append(perf_counter() - start)
    return min(taken)


def report(
    kernel: str, engine: str, n: int, seconds: float, slow: float, most: float | None
) -> dict[str, Any]:
    rate = n / seconds
    damps = kernel.startswith("damp")
    speed_up, share = (slow * rate if damps else None), (rate / most if damps and most else None)
    ratio = f"{speed_up:,.0f}x" if speed_up else ""
    part = f"{share:.0%}" if share else ""
    print(f"{kernel:<12}{engine:<11}{n:>10,}{seconds:>11.4f}{rate:>12.3g}{ratio:>12}{part:>9}")
    return {
        "kernel": kernel,
        "engine": engine,
        "bars": n,
        "seconds": seconds,
        "bars_a_second": rate,
        "speed_up": speed_up,
        "share_of_ceiling": share,
    }
