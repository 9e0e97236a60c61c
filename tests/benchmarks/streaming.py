"""Microseconds from a new bar to its numbers, after a check that they are the batch's to the bit.

The bars are a random walk of minutes with a short gap in a hundred, read one by one on one thread.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from kernels.bits import COLUMNS, encode_bits, transitions, volatility
from kernels.damping import Damping, damp
from kernels.segments import segments
from kernels.streaming import Bar, Reading, State, update
from tests.benchmarks.kernels import print_hardware

BARS, PRIMED, WARM, SECONDS = 10_000, 1000, 50, 60


def main() -> list[dict[str, Any]]:
    print_hardware()
    bars, history = series()
    print(f"{'encoder':<14}{'bars':>10}{'p50 us':>10}{'p99 us':>10}{'max us':>10}")
    return [report(encoder, bars, history) for encoder in COLUMNS]


def series() -> tuple[list[Bar], dict[str, Any]]:
    """Bars, and the same as arrays."""
    rng = np.random.default_rng(3)
    ticks = 1.1 * np.exp(np.cumsum(rng.normal(0, 0.5e-4, (BARS, 4)).ravel())).reshape(BARS, 4)
    minutes = np.cumsum(rng.choice([1, 3], BARS, p=[0.99, 0.01]))
    history = {
        "timestamp": minutes * SECONDS * 1_000_000,
        "open": ticks[:, 0].copy(),
        "high": ticks.max(1),
        "low": ticks.min(1),
        "close": ticks[:, 3].copy(),
        "volume": rng.poisson(50, BARS).astype(float),
    }
    columns = (column.tolist() for column in history.values())
    return [Bar(*values) for values in zip(*columns, strict=True)], history


def report(encoder: str, bars: list[Bar], history: dict[str, Any]) -> dict[str, Any]:
    state = prime(encoder, history)
    readings, taken = [], []
    for bar in bars[PRIMED:]:
        start = perf_counter()
        state, reading = update(state, bar)
        taken.append(perf_counter() - start)
        readings.append(reading)
    check(encoder, readings, history)
    p50, p99, most = np.percentile(np.array(taken[WARM:]) * 1e6, [50, 99, 100]).tolist()
    print(f"{encoder:<14}{len(taken) - WARM:>10,}{p50:>10.0f}{p99:>10.0f}{most:>10.0f}")
    return {"encoder": encoder, "bars": len(taken) - WARM, "p50": p50, "p99": p99, "max": most}


def prime(encoder: str, history: dict[str, Any]) -> State:
    early = {name: column[:PRIMED] for name, column in history.items()}
    stamps = early.pop("timestamp")
    return State.from_bars(stamps, early, encoder=encoder, bar_seconds=SECONDS)


def check(encoder: str, readings: list[Reading], history: dict[str, Any]) -> None:
    """Equal to the batch, bit for bit, before any figure is shown."""
    events, sigma, damping = batch(encoder, history)
    expected = {"event": events, "sigma": sigma, **vars(damping)}
    for name, column in expected.items():
        computed = np.array([getattr(reading, name) for reading in readings], column.dtype)
        if computed.tobytes() != column[PRIMED:].tobytes():
            raise SystemExit(f"{encoder}: {name} differs from the batch")


def batch(encoder: str, history: dict[str, Any]) -> tuple[Any, Any, Damping]:
    numbers = segments(history["timestamp"], bar_seconds=SECONDS)
    bits, valid = encode_bits(history, numbers, encoder=encoder, engine="cpu")
    events = transitions(bits, valid, numbers, engine="cpu")
    log_price = np.log(history["close"])
    sigma = volatility(log_price, numbers, engine="cpu")
    return events, sigma, damp(events, log_price, sigma, numbers, engine="cpu")
