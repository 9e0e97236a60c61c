"""What a trade is worth whose log return has a known law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Win probability and expected net return of a long and a short: float64[..., 2] each."""

    probability: Floats
    gain: Floats

    def under(self, weights: Floats) -> Truth:
        """Return the mixture of the rows (last axis but one) under these weights [..., rows]."""
        return Truth(weights @ self.probability, weights @ self.gain)

    def where(self, chosen: NDArray[np.bool_], other: Truth) -> Truth:
        """Return the rows that are chosen, and of the others those of another truth.

        Parameters
        ----------
        chosen : bool[n]
        other : Truth
        """
        mask = chosen[:, None]
        return Truth(
            np.where(mask, self.probability, other.probability),
            np.where(mask, self.gain, other.gain),
        )

    def at(self, rows: NDArray[np.int64]) -> Truth:
        """Return the rows of these places."""
        return Truth(self.probability[rows], self.gain[rows])


def gaussian(mean: Floats, deviation: float | Floats, cost: float | Floats, unit: float) -> Truth:
    """Return the truth of trades whose log return is normal.

    Parameters
    ----------
    mean, deviation : float64[...]
        Of the log return of the mid price from entry to exit, in `unit`.
    cost : float or float64[...]
        Half the spread at entry and half that at exit, in `unit`.
    unit : float
        Log return.

    Notes
    -----
    With S the log return, a long gains exp(S - cost) - 1 and wins if S > cost; a short gains
    1 - exp(S + cost) and wins if -S > cost; E exp(S) = exp(mean + variance / 2).
    """
    mean, deviation, cost = np.broadcast_arrays(mean, deviation, cost)
    sides = np.stack([mean, -mean], axis=-1)
    growth = unit * mean + (unit * deviation) ** 2 / 2
    gains = [np.expm1(growth - unit * cost), -np.expm1(growth + unit * cost)]
    return Truth(ndtr((sides - cost[..., None]) / deviation[..., None]), np.stack(gains, axis=-1))


def symmetric(win: Floats, variance: Floats, cost: Floats, unit: float) -> Truth:
    """Return the truth of trades whose law is the same for both sides, of any tails.

    Parameters
    ----------
    win : float64[...]
        Win probability of either side.
    variance, cost : float64[...]
        Of the log return, and its mean cost, in `unit` and its square.
    unit : float

    Notes
    -----
    Gains are to second order in `unit`: the exponential of a t variable has no mean.
    """
    bend = (unit**2) * (variance + cost**2) / 2
    gains = [bend - unit * cost, -bend - unit * cost]
    return Truth(np.stack([win, win], axis=-1), np.stack(gains, axis=-1))


def by_group(tables: Sequence[Truth], group: NDArray[np.int64], weights: Floats) -> Truth:
    """Return float64[n, 2]: at each bar the table [rows, 2] of its group under its weights.

    Parameters
    ----------
    tables : sequence of Truth
    group : int64[n]
    weights : float64[n, rows]
    """
    probability, gain = (np.empty((len(group), 2)) for _ in range(2))
    for place, table in enumerate(tables):
        rows = group == place
        mixed = table.under(weights[rows])
        probability[rows], gain[rows] = mixed.probability, mixed.gain
    return Truth(probability, gain)
