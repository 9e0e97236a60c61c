"""Synthetic bars for the kernels' tests."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernels.bits import encode_bits, transitions, volatility
from kernels.device import to_host

SIZES = (0, 1, 63, 64, 65, 127, 128, 129, 256, 257, 258, 259, 384, 385, 1000)
LEVELS = {"EUR_USD": (1.1, 5), "USD_JPY": (150.0, 3), "XAU_USD": (2400.0, 2)}


class Inputs(NamedTuple):
    """What `damp` takes."""

    events: Any
    log_price: Any
    sigma: Any
    segments: Any

    def cut(self, start: int, stop: int) -> Inputs:
        return Inputs(*(array[start:stop] for array in self))


def walk(n: int, *, seed: int, level: float = 1.1, decimals: int = 5) -> dict[str, Any]:
    """Bars of a random walk with one-bar deviations of 1e-4, rounded to a venue's decimals."""
    rng = np.random.default_rng(seed)
    ticks = level * np.exp(np.cumsum(rng.normal(0, 0.5e-4, (n, 4)).ravel())).reshape(n, 4)
    opening, close = ticks[:, 0], ticks[:, 3]
    bars = {"open": opening, "high": ticks.max(1), "low": ticks.min(1), "close": close}
    bars = {name: np.round(price, decimals) for name, price in bars.items()}
    return bars | {"volume": rng.poisson(50, n).astype(float)}


def edges(n: int, *starts: int) -> Any:
    """Segment numbers of n bars with new segments at `starts`."""
    marks = np.zeros(n, np.int32)
    marks[list(starts)] = 1
    return np.cumsum(marks, dtype=np.int32)


def inputs(bars: dict[str, Any], segments: Any, engine: str = "cpu") -> Inputs:
    """Run the chain from bars to what `damp` takes."""
    bits, valid = encode_bits(bars, segments, engine=engine)
    log_price = np.log(bars["close"])
    sigma = volatility(log_price, segments, engine=engine)
    return Inputs(transitions(bits, valid, segments, engine=engine), log_price, sigma, segments)


def assert_same_bits(computed: Any, reference: Any) -> None:
    """Equal bit for bit, with NaN in the same places."""
    computed, reference = to_host(computed), to_host(reference)
    assert computed.dtype == reference.dtype
    assert computed.shape == reference.shape
    null = np.isnan(reference)
    np.testing.assert_array_equal(np.isnan(computed), null)
    assert computed[~null].tobytes() == reference[~null].tobytes()
