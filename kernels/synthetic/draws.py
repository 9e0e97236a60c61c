"""What is asked of a walk, and the random numbers it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.synthetic.truth import Truth
from kernels.synthetic.walk import (
    BLOCK,
    SIGMA,
    PlantedWalk,
    assemble,
    bars,
    carried,
    tick_noise,
    times,
)

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """What is asked of a walk.

    Attributes
    ----------
    n : int
        Bars.
    seed : int
    horizon : int
        Bars of the time exit that the truth speaks of.
    size : float
        Of the edge; 0 is none.
    cost : float
        Spread in one-bar deviations.
    bar_seconds : int
    """

    n: int
    seed: int
    horizon: int
    size: float
    cost: float
    bar_seconds: int

    def times(self, more: int = 0) -> Ints:
        """Return the starts of the bars and of some more, one after the other.

        Parameters
        ----------
        more : int
        """
        return times(self.n + more, self.bar_seconds)


class Streams:
    """Random numbers of a walk: each kind has a stream of its own.

    So the bars of a shorter walk are the first of a longer one with the same seed.

    Parameters
    ----------
    name : str
        Walks of different names have nothing in common.
    asked : Draw
    """

    def __init__(self, name: str, asked: Draw) -> None:
        self.name, self.asked = name, asked

    def of(self, kind: str) -> np.random.Generator:
        """Return the stream of a kind of numbers, from its beginning."""
        return np.random.default_rng([self.asked.seed, *f"{self.name}/{kind}".encode()])

    def shocks(self) -> Floats:
        """Return the noise of each bar, standard normal: the sum of that of its ticks."""
        n, rng = self.asked.n, self.of("ticks")
        blocks = [min(BLOCK, n - first) for first in range(0, n, BLOCK)]
        return np.concatenate([tick_noise(rng, block).sum(axis=1) for block in blocks])

    def states(self, kind: str, count: int, switch: float) -> Ints:
        """Return states 0 .. count - 1, drawn afresh with probability `switch` at each bar.

        Parameters
        ----------
        kind : str
        count : int
        switch : float
        """
        n = self.asked.n
        fresh = self.of(f"{kind} afresh").random(n) < switch
        return carried(fresh, self.of(kind).integers(0, count, n))

    def walk(
        self,
        drift: Floats,
        truth: Truth,
        *,
        deviation: float | Floats = 1.0,
        spread: float | Floats | None = None,
        time: Ints | None = None,
        jumps: float | Floats = 0.0,
        leader: PlantedWalk | None = None,
    ) -> PlantedWalk:
        """Return the walk whose bars have the noise of `shocks`.

        Parameters
        ----------
        drift : float64[n]
            In deviations of the bar.
        truth : Truth
        deviation, spread : float or float64[n], optional
            Of each bar, in one-bar deviations; the spread is what was asked unless told.
        time : int64[n], optional
            One bar after the other unless told.
        jumps : float or float64[n]
            From a bar's open on, in one-bar deviations, on top of all before.
        leader : PlantedWalk, optional
        """
        mid = bars(self.of("ticks"), drift, SIGMA * deviation, 1.0)
        behind = np.exp(SIGMA * np.cumsum(np.broadcast_to(jumps, len(drift))))
        return assemble(
            {name: price * behind for name, price in mid.items()},
            self.of("volume"),
            spread=SIGMA * (self.asked.cost if spread is None else spread),
            time=self.asked.times() if time is None else time,
            drift=drift,
            truth=truth,
            seed=self.asked.seed,
            leader=leader,
        )
