"""Walks that lean on a damped move, the exponential average of past moves: all linear, all exact.

The damped move is m_t = DAMPING m_(t-1) + (1 - DAMPING) r_t, with moves r in one-bar deviations.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from kernels.synthetic.truth import gaussian
from kernels.synthetic.walk import SIGMA, PlantedWalk, Streams, assemble, bars, times

Floats: TypeAlias = NDArray[np.float64]

DAMPING: Final = 0.9
REVERSAL: Final = 0.6
LEAD: Final = 0.8


def damped(moves: Floats, damping: float = DAMPING) -> Floats:
    """Return the damped move at each bar: y_t = damping y_(t-1) + (1 - DAMPING) moves_t."""
    return np.asarray(lfilter([1 - DAMPING], [1, -damping], moves))


def before(values: Floats) -> Floats:
    """Return what each value was a bar before; zero at first."""
    return np.concatenate([[0.0], values[:-1]])


def reversal_walk(
    n: int, *, seed: int, horizon: int, size: float, cost: float, bar_seconds: int
) -> PlantedWalk:
    """Draw a walk whose next move is biased against the damped move.

    Parameters
    ----------
    n, seed, horizon, bar_seconds : int
    size, cost : float
        As in `draw`.

    Notes
    -----
    r_(t+1) = -k m_t + z_(t+1) with k = 0.6 size, hence m_(t+1) = a m_t + (1 - DAMPING) z_(t+1) with
    a = DAMPING - (1 - DAMPING) k. With A_i = 1 + a + .. + a^(i-1), the move of t+1 .. t+h is normal
    with mean -k m_t A_h and variance sum over i < h of (1 - k (1 - DAMPING) A_i)^2.
    """
    streams, lean = Streams("reversal", seed), REVERSAL * size
    decay = DAMPING - (1 - DAMPING) * lean
    move = damped(streams.shocks(n), decay)
    drifts = -lean * before(move)
    sums = np.concatenate([[0.0], np.cumsum(decay ** np.arange(horizon))])
    deviation = np.sqrt(((1 - lean * (1 - DAMPING) * sums[:-1]) ** 2).sum())
    return assemble(
        bars(streams.of("ticks"), drifts, SIGMA, 1.0),
        streams.of("volume"),
        spread=cost * SIGMA,
        time=times(n, bar_seconds),
        drift=drifts,
        truth=gaussian(-lean * sums[-1] * move, deviation, cost, SIGMA),
        seed=seed,
    )


def lead_walk(
    n: int, *, seed: int, horizon: int, size: float, cost: float, bar_seconds: int
) -> PlantedWalk:
    """Draw a walk that follows the damped move of another, which has no edge of its own.

    Parameters
    ----------
    n, seed, horizon, bar_seconds : int
    size, cost : float
        As in `draw`.

    Notes
    -----
    r_(t+1) = k m_t + z_(t+1) with k = 0.8 size and m the leader's damped move, which decays by
    DAMPING: given m_t, the move of t+1 .. t+h is normal with mean k m_t (1 - DAMPING^h) /
    (1 - DAMPING) and variance h + k^2 sum over i < h of (1 - DAMPING^i)^2.
    """
    streams, lean = Streams("lead", seed), LEAD * size
    leader = _leader(n, seed, horizon, cost, bar_seconds)
    move = damped(Streams("leader", seed).shocks(n))
    drifts = lean * before(move)
    decay = DAMPING ** np.arange(horizon)
    deviation = np.sqrt(horizon + lean**2 * ((1 - decay) ** 2).sum())
    return assemble(
        bars(streams.of("ticks"), drifts, SIGMA, 1.0),
        streams.of("volume"),
        spread=cost * SIGMA,
        time=leader.time,
        drift=drifts,
        truth=gaussian(lean * decay.sum() * move, deviation, cost, SIGMA),
        seed=seed,
        leader=leader,
    )


def _leader(n: int, seed: int, horizon: int, cost: float, bar_seconds: int) -> PlantedWalk:
    streams = Streams("leader", seed)
    return assemble(
        bars(streams.of("ticks"), np.zeros(n), SIGMA, 1.0),
        streams.of("volume"),
        spread=cost * SIGMA,
        time=times(n, bar_seconds),
        drift=np.zeros(n),
        truth=gaussian(np.zeros(n), np.sqrt(horizon), cost, SIGMA),
        seed=seed,
    )
