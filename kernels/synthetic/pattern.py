"""A walk in which a certain run of up and down bars says where the next ones go."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from kernels.synthetic.draws import Draw, Streams
from kernels.synthetic.truth import Truth
from kernels.synthetic.walk import SIGMA, PlantedWalk

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

RUN: Final = 0b1101
"""Up, up, down, up: behind it bars rise; behind its mirror, down, down, up, down, they fall."""

LENGTH: Final = 4
LASTS: Final = 8
"""Bars that a run works on."""

DRIFT: Final = 0.28

_STEP: Final = 0.04
"""Width of the lattice on which the law of the next moves is summed, in deviations."""


def pattern_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk whose next eight bars have a drift behind a run of bits; the last run counts.

    Parameters
    ----------
    asked : Draw

    Notes
    -----
    A bit is 1 if the bar rose. What the reader knows is the state (last four bits, bars for which
    the last run still works); the drift is 0.28 size. The law of the next h moves by state follows
    from the recursion L_h(s) = sum over bits b of N(d_s, 1) on the half line of b, convolved with
    L_(h-1)(s after b), on a lattice whose error in the probability is about 1e-5.
    """
    streams, drift = Streams("pattern", asked), DRIFT * asked.size
    states = _follow(streams.shocks(), drift)
    before = np.concatenate([[_START], states[:-1]])
    truth = _by_state(asked.horizon, drift, asked.cost).at(states)
    return streams.walk(_drift(drift)[before], truth)


_LEFT: Final = np.arange(-LASTS, LASTS + 1)
_START: Final = LASTS
"""State in which no run works: states are bits * len(_LEFT) + place in _LEFT."""


def _drift(drift: float) -> Floats:
    """Return the drift of the bar behind each state."""
    return np.tile(drift * np.sign(_LEFT), 2**LENGTH)


def _transitions() -> Ints:
    """Return int64[states, 2]: the state after a bar that fell, and after one that rose."""
    bits, left = np.divmod(np.arange(2**LENGTH * len(_LEFT)), len(_LEFT))
    left = _LEFT[left]
    after = (2 * bits[:, None] + np.arange(2)) % 2**LENGTH
    waned = np.broadcast_to((left - np.sign(left))[:, None], after.shape)
    mirror = 2**LENGTH - 1 - RUN
    count = np.where(after == RUN, LASTS, np.where(after == mirror, -LASTS, waned))
    return after * len(_LEFT) + count + LASTS


def _follow(shocks: Floats, drift: float) -> Ints:
    # the first bits are zeros that no bar had; 0000 is part of no run that ends with them
    state, states = _START, []
    after, drifts = _transitions().tolist(), _drift(drift).tolist()
    for shock in shocks.tolist():
        state = after[state][shock + drifts[state] > 0]
        states.append(state)
    return np.array(states)


@lru_cache(maxsize=8)
def _by_state(horizon: int, drift: float, cost: float) -> Truth:
    """Return the truth behind each state: float64[states, 2]."""
    law = _law(horizon, drift)
    reach = law.shape[1] // 2
    moves = (np.arange(-reach, reach + 1) + horizon / 2) * _STEP
    edges = np.append(moves - _STEP / 2, moves[-1] + _STEP / 2)
    below = np.column_stack([np.zeros(len(law)), np.cumsum(law, axis=1)])
    high, low = (np.array([np.interp(x, edges, row) for row in below]) for x in (cost, -cost))
    growth = law @ np.exp(SIGMA * moves)
    gains = [growth * np.exp(-SIGMA * cost) - 1, 1 - growth * np.exp(SIGMA * cost)]
    return Truth(np.column_stack([1 - high, low]), np.column_stack(gains))


def _law(horizon: int, drift: float) -> Floats:
    """Return float64[states, places]: the law of the next h moves; place 0 is -places // 2."""
    from scipy.signal import fftconvolve

    after, drifts = _transitions(), _drift(drift)
    reach = int((9 * np.sqrt(horizon) + abs(drift) * horizon) / _STEP)
    law = np.zeros((len(drifts), 2 * reach + 1))
    law[:, reach] = 1
    for _ in range(horizon):
        following, law = law, np.zeros_like(law)
        for level in np.unique(drifts):
            rows = drifts == level
            for bit, kernel in enumerate(_halves(level)):
                law[rows] += fftconvolve(following[after[rows, bit]], kernel[None], "same", axes=1)
    return law


def _halves(level: float) -> tuple[Floats, Floats]:
    """Return the chances of the cells (i, i + 1) of a move: below zero, and above, else 0."""
    reach = int(9 / _STEP)
    places = np.arange(-reach, reach + 1)
    mass = ndtr((places + 1) * _STEP - level) - ndtr(places * _STEP - level)
    return np.where(places < 0, mass, 0.0), np.where(places >= 0, mass, 0.0)
