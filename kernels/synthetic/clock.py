"""Walks that keep to a clock: a drift by the hour of the week, and a market that closes."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.synthetic.draws import Draw, Streams
from kernels.synthetic.hidden import DRIFT, STATES, SWITCH, belief, trade
from kernels.synthetic.market import is_open
from kernels.synthetic.truth import Truth, by_group, gaussian
from kernels.synthetic.walk import SIGMA, START, PlantedWalk, times

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

HOURS: Final = 0.18
DAYS: Final = np.array([1, -1, -1, 1, -1, 1, 1])
"""Whether mornings rise, Monday first; in the afternoon it is the other way round."""

JUMP: Final = 4.0
"""Deviation of the jump over a closure."""

_HOUR: Final = 3_600_000_000


def hours_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk whose drift depends on the hour of the week (UTC) in which a bar starts.

    Parameters
    ----------
    asked : Draw

    Notes
    -----
    The drift is 0.18 size from midnight to noon and -0.18 size from noon on, with the sign of the
    day. A reader who knows that knows the law of the next moves: normal.
    """
    n, horizon = asked.n, asked.horizon
    hour = (asked.times(horizon) - START) // _HOUR % 168
    drifts = HOURS * asked.size * DAYS[hour // 24] * np.where(hour % 24 < 12, 1, -1)
    total = np.lib.stride_tricks.sliding_window_view(drifts[1:], horizon).sum(axis=1)
    truth = gaussian(total, np.sqrt(horizon), asked.cost, SIGMA)
    return Streams("hours", asked).walk(drifts[:n], truth)


def gaps_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk with hidden drift that has bars in the forex week alone.

    Parameters
    ----------
    asked : Draw

    Notes
    -----
    Over a closure the price jumps by a normal move of four deviations, of which nobody knows the
    sign. The truth counts bars: a trade that is open over a closure has its jump in the variance.
    """
    n, drift, streams = asked.n, DRIFT * asked.size, Streams("gaps", asked)
    time = _open_times(n + asked.horizon + 1, asked.bar_seconds)
    length = asked.bar_seconds * 1_000_000
    behind = np.diff(time, prepend=time[0] - length) > length
    drifts = drift * STATES[streams.states("drift", len(STATES), SWITCH)]
    known = belief(streams.shocks() + drifts, drift * STATES, SWITCH)
    crossed = _crossed(behind, asked)
    tables = [_across(count, asked) for count in range(int(crossed.max()) + 1)]
    jumps = JUMP * streams.of("jumps").standard_normal(n) * behind[:n]
    return streams.walk(drifts, by_group(tables, crossed, known), time=time[:n], jumps=jumps)


def _crossed(behind: NDArray[np.bool_], asked: Draw) -> Ints:
    """Return how many closures lie between the opens of t + 1 and t + 1 + h."""
    passed = np.cumsum(behind.astype(np.int64))
    return passed[asked.horizon + 1 :] - passed[1 : asked.n + 1]


def _across(closures: int, asked: Draw) -> Truth:
    """Return the truth by state of a trade that is open over so many closures."""
    return trade(
        asked.horizon,
        drift=DRIFT * asked.size,
        switch=SWITCH,
        cost=asked.cost,
        unit=SIGMA,
        more=JUMP**2 * closures,
    )


def _open_times(n: int, bar_seconds: int) -> Ints:
    """Return the starts of the first bars that begin while the market is open."""
    # five days of seven are open, but for holidays; more is drawn than is needed
    candidates = times(2 * n + 14 * 86_400 // bar_seconds + 1, bar_seconds)
    return candidates[is_open(candidates)][:n]
