"""A hidden drift that switches between falling, none and rising, and the best reader's filter."""

from __future__ import annotations

from math import sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.synthetic.truth import Truth, gaussian

Floats: TypeAlias = NDArray[np.float64]

STATES: Final = np.array([-1.0, 0.0, 1.0])

DRIFT: Final = 0.25
"""Size of the drift, in one-bar deviations, unless a walk has another."""

SWITCH: Final = 0.01
"""Probability that a bar draws its state afresh."""


def belief(returns: Floats, levels: Floats, switch: float) -> Floats:
    """Return float64[n, 3]: the probability of each state at t, given the returns up to t.

    Parameters
    ----------
    returns : float64[n]
        In deviations of the bar.
    levels : float64[3] or float64[n, 3]
        Drift of each state, in deviations of the bar.
    switch : float

    Notes
    -----
    P(d_t | r_1 .. r_t) ~ N(r_t; d_t, 1) sum_s P(d_t | s) P(s | r_1 .. r_(t-1)).
    """
    likelihood = np.exp(returns[:, None] * levels - levels**2 / 2)
    keep, fresh = 1 - switch, switch / len(STATES)
    down = flat = up = 1 / len(STATES)
    beliefs = []
    for fall, stay, rise in likelihood.tolist():  # plain floats: five times as fast as arrays of 3
        down = (keep * down + fresh) * fall
        flat = (keep * flat + fresh) * stay
        up = (keep * up + fresh) * rise
        total = down + flat + up
        down, flat, up = down / total, flat / total, up / total
        beliefs.append((down, flat, up))
    return np.array(beliefs)


def sums(horizon: int) -> Floats:
    """Return the values that the sum of the next states may have."""
    return np.arange(-horizon, horizon + 1, dtype=np.float64)


def law(horizon: int, switch: float) -> Floats:
    """Return float64[3, 2 h + 1]: the law of the sum of the next h states, by the state now.

    Parameters
    ----------
    horizon : int
    switch : float
    """
    count = len(STATES)
    transition = (1 - switch) * np.eye(count) + switch / count
    joint = np.zeros((count, count, 2 * horizon + 1))
    joint[np.arange(count), np.arange(count), horizon] = 1
    for _ in range(horizon):
        moved = np.einsum("sim,ij->sjm", joint, transition)
        # nothing rolls over an end: h steps of one from the centre stay within 2 h + 1 places
        joint = np.stack([np.roll(moved[:, j], j - 1, axis=-1) for j in range(count)], axis=1)
    return np.asarray(joint.sum(axis=1))


def trade(
    horizon: int,
    *,
    drift: float,
    switch: float,
    cost: float,
    unit: float,
    steps: int | None = None,
    more: float = 0.0,
) -> Truth:
    """Return the truth of a trade by the drift at bar t: float64[3, 2].

    Parameters
    ----------
    horizon : int
    drift : float
        In `unit`.
    switch : float
    cost : float
        In `unit`.
    unit : float
        One-bar deviation.
    steps : int, optional
        How many of the horizon's bars have a drift; all unless told.
    more : float
        Variance besides that of the bars.
    """
    drifting = horizon if steps is None else steps
    whole = gaussian(drift * sums(drifting), sqrt(horizon + more), cost, unit)
    return whole.under(law(drifting, switch))
