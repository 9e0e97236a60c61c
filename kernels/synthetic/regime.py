"""Walks in calm and in wild times: momentum or reversal by them, and a spread that rises in them.

Whether a bar is calm or wild is drawn afresh as often as a hidden drift. The spread of its quotes
shows which it is, and the ranges of the last bars nearly as well.
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.synthetic.damped import DAMPING, before
from kernels.synthetic.draws import Draw, Streams
from kernels.synthetic.hidden import STATES, SWITCH, belief, law, sums
from kernels.synthetic.truth import Truth, by_group, gaussian
from kernels.synthetic.walk import SIGMA, PlantedWalk

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

DEVIATIONS: Final = np.array([0.6, 1.8])
"""Of a calm and of a wild bar, in the walk's unit."""

REVERSAL: Final = 1.5
MOMENTUM: Final = 0.8
"""What part of the damped move the next bar takes back in calm times, and goes on with in wild."""

CHANGES: Final = 3
"""Most changes within a trade that the truth looks at."""

DRIFT: Final = 0.28
SPREADS: Final = np.array([0.5, 4.0])
"""Of the costly walk, calm and wild, in the spreads of other walks."""

COSTLY: Final = np.array([0.8, 1.4])
"""Deviations of the costly walk, calm and wild."""

_EDGE: Final = np.linspace(-12.0, 12.0, 1201)
"""Damped moves of which the truth is tabled; beyond them it is that of the last."""


def regime_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk with momentum in wild times and reversal in calm ones.

    Parameters
    ----------
    asked : Draw
        The spread is `cost` deviations of the bar.

    Notes
    -----
    In deviations of the bar, r_(t+1) = k m_t + z_(t+1) with m the damped move and k by the state of
    t + 1: -1.5 size if calm, 1 - 0.2^size if wild (below 1, or the walk would explode). The reader
    knows the state from the spread, so no filter is needed. Given the states of t+1 .. t+h+1 the
    move is normal, with a mean proportional to m_t; the truth is the mixture over all paths of at
    most three changes, which leaves out a probability of about (h switch / 2)^4 / 24 (below 2e-7
    at h = 8), by cubic interpolation in a table over m_t.
    """
    streams = Streams("regime", asked)
    lean = np.array([-REVERSAL * asked.size, 1 - (1 - MOMENTUM) ** asked.size])
    states = streams.states("regime", 2, SWITCH)
    move = _damped(streams.shocks(), lean[states])
    tables = [_tabled(state, asked, lean, move) for state in range(2)]
    return streams.walk(
        lean[states] * before(move),
        tables[0].where(states == 0, tables[1]),
        deviation=DEVIATIONS[states],
        spread=asked.cost * DEVIATIONS[states],
    )


def costly_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk with hidden drift whose spread rises faster than its volatility.

    Parameters
    ----------
    asked : Draw

    Notes
    -----
    The drift is 0.28 size units, in calm as in wild times. The reader sees the state of bar t in
    its spread and filters the drift; the truth is the mixture over the states at entry and exit,
    the wild bars between, and the sum of drifts.
    """
    streams, drift = Streams("costly", asked), DRIFT * asked.size
    states = streams.states("regime", 2, SWITCH)
    deviation = COSTLY[states]
    drifts = drift * STATES[streams.states("drift", len(STATES), SWITCH)] / deviation
    levels = drift * STATES / deviation[:, None]
    known = belief(streams.shocks() + drifts, levels, SWITCH)
    tables = [_costly(state, asked.horizon, drift, asked.cost) for state in range(2)]
    return streams.walk(
        drifts,
        by_group(tables, states, known),
        deviation=deviation,
        spread=asked.cost * SPREADS[states],
    )


def _damped(shocks: Floats, lean: Floats) -> Floats:
    """Return the damped moves where each bar leans by another part on the one before."""
    decays = DAMPING + (1 - DAMPING) * lean
    move, moves = 0.0, []
    for decay, shock in zip(decays.tolist(), shocks.tolist(), strict=True):
        move = decay * move + (1 - DAMPING) * shock
        moves.append(move)
    return np.array(moves)


def _tabled(state: int, asked: Draw, lean: Floats, move: Floats) -> Truth:
    """Return the truth at each damped move, as if all bars were in one state."""
    from scipy.interpolate import CubicSpline

    table = _by_paths(state, asked.horizon, lean, asked.cost)
    inside = np.clip(move, _EDGE[0], _EDGE[-1])
    return Truth(
        CubicSpline(_EDGE, table.probability)(inside), CubicSpline(_EDGE, table.gain)(inside)
    )


def _by_paths(state: int, horizon: int, lean: Floats, cost: float) -> Truth:
    paths, weights = _paths(state, horizon + 1)
    bar, exits = DEVIATIONS[paths[:, :-1]], DEVIATIONS[paths[:, -1]]
    part = lean[paths[:, :-1]]
    decay = DAMPING + (1 - DAMPING) * part
    mean, variance = np.zeros(len(paths)), np.zeros(len(paths))
    for i in reversed(range(horizon)):  # `mean`: of all moves behind bar i, per damped move at i
        variance += (bar[:, i] + (1 - DAMPING) * mean) ** 2
        mean = bar[:, i] * part[:, i] + decay[:, i] * mean
    spread = cost * (bar[:, 0] + exits) / 2
    return gaussian(_EDGE[:, None] * mean, np.sqrt(variance), spread, SIGMA).under(weights)


def _paths(state: int, length: int) -> tuple[Ints, Floats]:
    """Return the next states, int64[paths, length], and their probabilities."""
    change = SWITCH / 2
    paths, weights = [], []
    for count in range(min(CHANGES, length) + 1):
        for places in combinations(range(length), count):
            turns = np.zeros(length, np.int64)
            turns[list(places)] = 1
            paths.append((state + np.cumsum(turns)) % 2)
            weights.append(change**count * (1 - change) ** (length - count))
    return np.array(paths), np.array(weights) / sum(weights)


def _costly(state: int, horizon: int, drift: float, cost: float) -> Truth:
    """Return the truth by the drift at bar t, float64[3, 2], in one state of bar t."""
    by_state, mean = law(horizon, SWITCH), drift * sums(horizon)
    probability, gain = np.zeros((3, 2)), np.zeros((3, 2))
    for (entry, wild, leave), weight in np.ndenumerate(_occupation(state, horizon)):
        variance = (horizon - wild) * COSTLY[0] ** 2 + wild * COSTLY[1] ** 2
        spread = cost * (SPREADS[entry] + SPREADS[leave]) / 2
        part = gaussian(mean, sqrt(variance), spread, SIGMA).under(by_state)
        probability, gain = probability + weight * part.probability, gain + weight * part.gain
    return Truth(probability, gain)


def _occupation(state: int, horizon: int) -> Floats:
    """Return float64[2, h + 1, 2]: the law of state at entry, wild bars, and state at exit."""
    transition = (1 - SWITCH) * np.eye(2) + SWITCH / 2
    joint = np.zeros((2, horizon + 1, 2))
    for entry in range(2):
        joint[entry, entry, entry] = transition[state, entry]
    for _ in range(horizon - 1):
        moved = joint @ transition
        moved[:, 1:, 1], moved[:, 0, 1] = moved[:, :-1, 1].copy(), 0.0
        joint = moved
    return joint @ transition
