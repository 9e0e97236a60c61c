"""What is known of a bar at its close, as learners see it; and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Chosen: TypeAlias = NDArray[np.bool_] | Ints | slice


@dataclass(frozen=True)
class Rows:
    """Bars with all that learners may look at; nothing in it is of a bar's future.

    Attributes
    ----------
    position : int64[n]
        Bar numbers, ascending.
    time : int64[n]
        When the bars began, microseconds since 1970 UTC.
    trajectory : float32[n, 64]
        Damping trajectories.
    volatility : float64[n]
        Logarithm of the deviation of one bar beside that of the library span.
    cost : float64[n]
        Spread, slippage and commission of a round trip, in deviations of the whole horizon.
    momentum : float64[n, 3]
        Exponential averages of returns, in deviations (`kernels.momentum`).
    pattern : int64[n]
        The last bits as a number (`kernels.bits.patterns`); -1 where fewer are there.
    leads : float64[n, l]
        Damped values of other instruments, as far as they were known.
    wins : int64[n, 2]
        Of the neighbours whose outcome was known.
    k_eff : int64[n]
        Number of these; 0 without any.
    local : float64[n, 2]
        Log-odds of the locally weighted fit on the neighbours; NaN without any.
    pooled_wins : int64[n, 2]
        Of the neighbours in the pool of several pairs.
    pooled_k_eff : int64[n]
        Number of these; 0 without a pool.
    """

    position: Ints
    time: Ints
    trajectory: NDArray[np.float32]
    volatility: Floats
    cost: Floats
    momentum: Floats
    pattern: Ints
    leads: Floats
    wins: Ints
    k_eff: Ints
    local: Floats
    pooled_wins: Ints
    pooled_k_eff: Ints

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of rows must be of one length, not {lengths}")

    def __len__(self) -> int:
        return len(self.position)

    def take(self, chosen: Chosen) -> Rows:
        """Return some of the rows."""
        return Rows(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def metrics(self) -> NDArray[np.float32]:
        """Entropy, coherence, stability and damped value of the last step, float32[n, 4]."""
        return self.trajectory[:, -4:]


@dataclass(frozen=True)
class Labels:
    """What became of the trades of some bars.

    Attributes
    ----------
    win : int8[n, 2]
        1 or 0 by side, -1 where unknown.
    weight : float64[n]
        How much a row says: together as much as outcomes that do not overlap.
    """

    win: NDArray[np.int8]
    weight: Floats

    @classmethod
    def of(cls, position: Ints, win: NDArray[np.int8], horizon: int) -> Labels:
        """Weigh rows so that overlapping outcomes count as often as there are separate ones.

        Parameters
        ----------
        position : int64[n]
            Bar numbers, ascending.
        win : int8[n, 2]
        horizon : int
        """
        known = np.asarray((win >= 0).all(axis=1))
        weight = np.zeros(len(win))
        # a row weighs what the bars since the one before it add, at most one outcome
        apart = np.minimum(np.diff(position[known], prepend=position[:1] - horizon), horizon)
        weight[known] = apart / horizon
        return cls(np.where(known[:, None], win, -1).astype(np.int8), weight)

    def rate(self) -> float:
        """Return the share of wins of both sides, as of one outcome more that was half a win."""
        won = float(self.weight @ (self.win == 1).mean(axis=1))
        return (won + 0.5) / (float(self.weight.sum()) + 1)

    def rarest(self) -> float:
        """Return the number of separate outcomes of the rarer kind, over wins and losses."""
        kinds = [self.weight @ (self.win[:, side] == kind) for side in (0, 1) for kind in (0, 1)]
        return float(min(kinds))

    def only(self, chosen: NDArray[np.bool_]) -> Labels:
        """Return labels under which no other rows weigh anything."""
        return Labels(self.win, np.where(chosen, self.weight, 0.0))

    def take(self, chosen: Chosen) -> Labels:
        """Return some of the rows."""
        return Labels(self.win[chosen], self.weight[chosen])
