"""Walks that keep to a clock: a drift by the hour of the week, and a market that closes."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.synthetic import hidden
from kernels.synthetic.market import is_open
from kernels.synthetic.truth import by_group, gaussian
from kernels.synthetic.walk import SIGMA, START, PlantedWalk, Streams, assemble, bars, times

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

HOURS: Final = 0.18
DAYS: Final = np.array([1, -1, -1, 1, -1, 1, 1])
"""Whether mornings rise, Monday first; in the afternoon it is the other way round."""

DRIFT: Final = 0.25
SWITCH: Final = 0.01
JUMP: Final = 4.0
"""Deviation of the jump over a closure."""

_HOUR: Final = 3_600_000_000


def hours_walk(
    n: int, *, seed: int, horizon: int, size: float, cost: float, bar_seconds: int
) -> PlantedWalk:
    """Draw a walk whose drift depends on the hour of the week (UTC) in which a bar starts.

    Parameters
    ----------
    n, seed, horizon, bar_seconds : int
    size, cost : float
        As in `draw`.

    Notes
    -----
    The drift is 0.18 size from midnight to noon and -0.18 size from noon on, with the sign of the
    day. A reader who knows that knows the law of the next moves: normal.
    """
    streams = Streams("hours", seed)
    time = times(n + horizon, bar_seconds)
    hour = (time - START) // _HOUR % 168
    drifts = HOURS * size * DAYS[hour // 24] * np.where(hour % 24 < 12, 1, -1)
    total = np.lib.stride_tricks.sliding_window_view(drifts[1:], horizon).sum(axis=1)
    return assemble(
        bars(streams.of("ticks"), drifts[:n], SIGMA, 1.0),
        streams.of("volume"),
        spread=cost * SIGMA,
        time=time[:n],
        drift=drifts[:n],
        truth=gaussian(total, np.sqrt(horizon), cost, SIGMA),
        seed=seed,
    )


def gaps_walk(
    n: int, *, seed: int, horizon: int, size: float, cost: float, bar_seconds: int
) -> PlantedWalk:
    """Draw a walk with hidden drift that has bars in the forex week alone.

    Parameters
    ----------
    n, seed, horizon, bar_seconds : int
    size, cost : float
        As in `draw`.

    Notes
    -----
    Over a closure the price jumps by a normal move of four deviations, of which nobody knows the
    sign. The truth counts bars: a trade that is open over a closure has its jump in the variance.
    """
    streams, drift = Streams("gaps", seed), DRIFT * size
    time = _open_times(n + horizon + 1, bar_seconds)
    behind = np.diff(time, prepend=time[0] - bar_seconds * 1_000_000) > bar_seconds * 1_000_000
    states = hidden.STATES[streams.states(n, len(hidden.STATES), SWITCH)]
    belief = hidden.belief(streams.shocks(n) + drift * states, drift * hidden.STATES, SWITCH)
    jumps = JUMP * SIGMA * streams.of("jumps").standard_normal(n) * behind[:n]
    mid = bars(streams.of("ticks"), drift * states, SIGMA, 1.0)
    passed = np.cumsum(behind)
    crossed = _ahead(passed, n, horizon)
    tables = [
        hidden.trade(
            horizon, drift=drift, switch=SWITCH, cost=cost, unit=SIGMA, more=JUMP**2 * count
        )
        for count in range(int(crossed.max()) + 1)
    ]
    return assemble(
        {name: price * np.exp(np.cumsum(jumps)) for name, price in mid.items()},
        streams.of("volume"),
        spread=cost * SIGMA,
        time=time[:n],
        drift=drift * states,
        truth=by_group(tables, crossed, belief),
        seed=seed,
    )


def _ahead(passed: Ints, n: int, horizon: int) -> Ints:
    """Return how many closures lie between the opens of t + 1 and t + 1 + h."""
    return passed[horizon + 1 : horizon + 1 + n] - passed[1 : n + 1]


def _open_times(n: int, bar_seconds: int) -> Ints:
    """Return the starts of the first bars that begin while the market is open."""
    # five days of seven are open, but for holidays; more is drawn than is needed
    candidates = times(2 * n + 14 * 86_400 // bar_seconds + 1, bar_seconds)
    return candidates[is_open(candidates)][:n]
