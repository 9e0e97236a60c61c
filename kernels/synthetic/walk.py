"""A walk: bars with quotes, and what their generator knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.synthetic.truth import Truth

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

TICKS: Final = 8
"""Price updates inside a bar."""

BLOCK: Final = 65_536
"""Bars whose ticks are drawn at a time; bounds memory and is part of what a seed means."""

START: Final = 1_420_416_000_000_000
"""Start of the first bar: Monday, 2015-01-05 00:00 UTC, microseconds since 1970."""

SIGMA: Final = 1e-4
"""One-bar deviation of the log price, the unit of what is said of walks."""


@dataclass(frozen=True)
class PlantedWalk:
    """Bars with quotes, and what their generator knows.

    Attributes
    ----------
    open, high, low, close : float64[n]
        Mid prices; a bar opens at the close before it, but behind a gap.
    bid_open, bid_high, bid_low, bid_close, ask_open, ask_high, ask_low, ask_close : float64[n]
        Mid prices times exp(-+ spread / 2).
    volume : float64[n]
        Count of price updates; carries no information.
    time : int64[n]
        Starts of the bars, microseconds since 1970 UTC.
    drift : float64[n]
        Expected move of each bar given what its generator knew at its open, in one-bar deviations.
    true_probability : float64[n, 2]
        Probability, given the prices up to bar t, that a long (column 0) or a short (column 1)
        entered at the open of t + 1 and left at the open of t + 1 + horizon ends above zero.
    true_gain : float64[n, 2]
        Expected net return of the same trades, as a share of the entry price.
    seed : int
    leader : PlantedWalk, optional
        A second instrument at the same times, which the reader knows, too.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    bid_open: Floats
    bid_high: Floats
    bid_low: Floats
    bid_close: Floats
    ask_open: Floats
    ask_high: Floats
    ask_low: Floats
    ask_close: Floats
    volume: Floats
    time: Ints
    drift: Floats
    true_probability: Floats
    true_gain: Floats
    seed: int
    leader: PlantedWalk | None = None


def tick_noise(rng: np.random.Generator, n: int) -> Floats:
    """Return float64[n, TICKS]: noise whose sum over a bar is standard normal.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Bars.
    """
    return np.asarray(rng.standard_normal((n, TICKS)) / np.sqrt(TICKS))


def carried(fresh: NDArray[np.bool_], drawn: Ints) -> Ints:
    """Return what was drawn at the last fresh bar, of which the first is one.

    Parameters
    ----------
    fresh : bool[n]
    drawn : int64[n]
    """
    # a running maximum carries the last fresh bar forward without a loop over bars
    return drawn[np.maximum.accumulate(np.where(fresh, np.arange(len(fresh)), 0))]


def bars(
    rng: np.random.Generator, drifts: Floats, sigma: float | Floats, start: float
) -> dict[str, Floats]:
    """Return open, high, low and close of bars made of ticks.

    Parameters
    ----------
    rng : numpy.random.Generator
    drifts : float64[n]
        In deviations of the bar.
    sigma : float or float64[n]
        Deviation of each bar's log return.
    start : float
        First open.
    """
    n = len(drifts)
    scale = np.broadcast_to(sigma, n)
    opens, high, low, close = (np.empty(n) for _ in range(4))
    level = np.log(start)
    for first in range(0, n, BLOCK):
        rows = slice(first, min(first + BLOCK, n))
        noise = tick_noise(rng, len(drifts[rows]))
        ticks = scale[rows, None] * (noise + drifts[rows, None] / TICKS)
        path = np.concatenate([[level], level + np.cumsum(ticks.ravel())])
        price = np.exp(path)
        inside = np.column_stack([price[:-1:TICKS], price[1:].reshape(-1, TICKS)])
        opens[rows], close[rows] = inside[:, 0], inside[:, -1]
        high[rows], low[rows] = inside.max(axis=1), inside.min(axis=1)
        level = path[-1]
    return {"open": opens, "high": high, "low": low, "close": close}


def times(n: int, bar_seconds: int) -> Ints:
    """Return the starts of bars one after the other: int64[n].

    Parameters
    ----------
    n, bar_seconds : int
    """
    return START + np.arange(n, dtype=np.int64) * (bar_seconds * 1_000_000)


def assemble(
    mid: dict[str, Floats],
    volume: np.random.Generator,
    *,
    spread: float | Floats,
    time: Ints,
    drift: Floats,
    truth: Truth,
    seed: int,
    leader: PlantedWalk | None = None,
) -> PlantedWalk:
    """Return a walk: mid prices, quotes around them, and the truth.

    Parameters
    ----------
    mid : dict of str to float64[n]
        Open, high, low and close.
    volume : numpy.random.Generator
    spread : float or float64[n]
        Log of ask over bid.
    time : int64[n]
    drift : float64[n]
    truth : Truth
    seed : int
    leader : PlantedWalk, optional
    """
    half = np.exp(spread / 2)
    return PlantedWalk(
        **mid,
        **{f"bid_{name}": price / half for name, price in mid.items()},
        **{f"ask_{name}": price * half for name, price in mid.items()},
        volume=(1 + volume.poisson(20, len(time))).astype(np.float64),
        time=time,
        drift=drift,
        true_probability=truth.probability,
        true_gain=truth.gain,
        seed=seed,
        leader=leader,
    )
