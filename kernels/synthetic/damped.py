"""Walks that lean on a damped move, the exponential average of past moves: all linear, all exact.

The damped move is m_t = DAMPING m_(t-1) + (1 - DAMPING) r_t, with moves r in one-bar deviations.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.synthetic.draws import Draw, Streams
from kernels.synthetic.truth import gaussian
from kernels.synthetic.walk import SIGMA, PlantedWalk

Floats: TypeAlias = NDArray[np.float64]

DAMPING: Final = 0.9
REVERSAL: Final = 0.5
LEAD: Final = 0.8


def damped(moves: Floats, damping: float = DAMPING) -> Floats:
    """Return y_t = damping y_(t-1) + (1 - DAMPING) moves_t at each bar.

    Parameters
    ----------
    moves : float64[n]
    damping : float
    """
    from scipy.signal import lfilter

    return np.asarray(lfilter([1 - DAMPING], [1, -damping], moves))


def before(values: Floats) -> Floats:
    """Return what each value was a bar before; zero at first."""
    return np.concatenate([[0.0], values[:-1]])


def reversal_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk whose next move is biased against the damped move.

    Parameters
    ----------
    asked : Draw

    Notes
    -----
    r_(t+1) = -k m_t + z_(t+1) with k = 0.5 size, hence m_(t+1) = a m_t + (1 - DAMPING) z_(t+1) with
    a = DAMPING - (1 - DAMPING) k. With A_i = 1 + a + .. + a^(i-1), the move of t+1 .. t+h is normal
    with mean -k m_t A_h and variance sum over i < h of (1 - k (1 - DAMPING) A_i)^2.
    """
    streams, lean = Streams("reversal", asked), REVERSAL * asked.size
    decay = DAMPING - (1 - DAMPING) * lean
    move = damped(streams.shocks(), decay)
    sums = np.concatenate([[0.0], np.cumsum(decay ** np.arange(asked.horizon))])
    deviation = np.sqrt(((1 - lean * (1 - DAMPING) * sums[:-1]) ** 2).sum())
    truth = gaussian(-lean * sums[-1] * move, deviation, asked.cost, SIGMA)
    return streams.walk(-lean * before(move), truth)


def lead_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk that follows the damped move of another, which has no edge of its own.

    Parameters
    ----------
    asked : Draw

    Notes
    -----
    r_(t+1) = k m_t + z_(t+1) with k = 0.8 size and m the leader's damped move, which decays by
    DAMPING: given m_t, the move of t+1 .. t+h is normal with mean k m_t (1 - DAMPING^h) /
    (1 - DAMPING) and variance h + k^2 sum over i < h of (1 - DAMPING^i)^2.
    """
    streams, lean = Streams("lead", asked), LEAD * asked.size
    move = damped(Streams("leader", asked).shocks())
    decay = DAMPING ** np.arange(asked.horizon)
    deviation = np.sqrt(asked.horizon + lean**2 * ((1 - decay) ** 2).sum())
    truth = gaussian(lean * decay.sum() * move, deviation, asked.cost, SIGMA)
    return streams.walk(lean * before(move), truth, leader=_leader(asked))


def _leader(asked: Draw) -> PlantedWalk:
    still = np.zeros(asked.n)
    truth = gaussian(still, np.sqrt(asked.horizon), asked.cost, SIGMA)
    return Streams("leader", asked).walk(still, truth)
