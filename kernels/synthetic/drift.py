"""Walks with a hidden, switching drift: as it is, dying half-way, and none at all.

The drift of a walk is one of (-drift, 0, +drift) one-bar deviations; at each bar it is drawn
afresh with probability `switch`, all three values alike. Nobody who reads prices sees it. What the
best reader can know is Bayes' filter on the returns (Hamilton 1989, Econometrica 57), and that is
the true probability the tests hold a confidence against.
"""

from __future__ import annotations

import numpy as np

from kernels.synthetic.draws import Draw, Streams
from kernels.synthetic.hidden import DRIFT, STATES, SWITCH, belief, trade
from kernels.synthetic.truth import Truth, by_group
from kernels.synthetic.walk import SIGMA, PlantedWalk, assemble, bars, carried, times


def planted_walk(
    n: int,
    *,
    seed: int,
    horizon: int = 8,
    sigma: float = SIGMA,
    drift: float = DRIFT,
    switch: float = SWITCH,
    cost: float = 0.5,
    start: float = 1.0,
    bar_seconds: int = 3600,
) -> PlantedWalk:
    """Draw a random walk with a hidden, switching drift and a known edge.

    Parameters
    ----------
    n : int
        Bars.
    seed : int
        Of `numpy.random.default_rng`; the same seed gives the same walk.
    horizon : int
        Bars of the time exit that the probabilities speak of.
    sigma : float
        Standard deviation of a bar's log return.
    drift : float
        Size of the drift, in one-bar deviations.
    switch : float
        Probability that a bar draws its drift afresh.
    cost : float
        Spread between bid and ask (one round trip), in one-bar deviations.
    start : float
        First open.
    bar_seconds : int
        Length of a bar.

    Returns
    -------
    PlantedWalk

    Raises
    ------
    ValueError
        If a size is not positive, or `switch` is no probability.

    Notes
    -----
    With S the log return of bars t+1 .. t+h, a long wins if S > cost and a short if -S > cost, both
    in deviations: P(win | d_t = s) = sum_D P(D | s) Phi((+-D - cost) / sqrt(h)), where D, the sum
    of the drifts of t+1 .. t+h, has at most 2 h + 1 values and its law follows from a Markov
    recursion. `true_probability` weighs the three states by the filter
    P(d_t | r_1 .. r_t) ~ N(r_t; d_t, 1) sum_s P(d_t | s) P(s | r_1 .. r_(t-1)).
    """
    _check(n, horizon, sigma, switch)
    rng = np.random.default_rng(seed)
    # one stream for all, so that a longer walk is another one; the other walks have several
    fresh = rng.random(n) < switch
    drifts = drift * STATES[carried(fresh, rng.integers(0, len(STATES), n))]
    mid = bars(rng, drifts, sigma, start)
    returns = np.diff(np.log(mid["close"]), prepend=np.log(start)) / sigma
    table = trade(horizon, drift=drift, switch=switch, cost=cost, unit=sigma)
    return assemble(
        mid,
        rng,
        spread=cost * sigma,
        time=times(n, bar_seconds),
        drift=drifts,
        truth=table.under(belief(returns, drift * STATES, switch)),
        seed=seed,
    )


def random_walk(
    n: int,
    *,
    seed: int,
    horizon: int = 8,
    sigma: float = SIGMA,
    cost: float = 0.5,
    start: float = 1.0,
    bar_seconds: int = 3600,
) -> PlantedWalk:
    """Draw a walk without drift: the null, where no confidence may beat the base rate.

    Parameters
    ----------
    n, seed, horizon : int
    sigma, cost, start : float
    bar_seconds : int
        All as in `planted_walk`.

    Returns
    -------
    PlantedWalk
        Its probabilities are Phi(-cost / sqrt(horizon)) throughout.
    """
    return planted_walk(
        n,
        seed=seed,
        horizon=horizon,
        sigma=sigma,
        drift=0.0,
        cost=cost,
        start=start,
        bar_seconds=bar_seconds,
    )


def dying_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk whose hidden drift is there up to bar n // 2 and never again.

    Parameters
    ----------
    asked : Draw

    Notes
    -----
    The reader knows when it dies: of a trade's bars only those before it have a drift.
    """
    n, drift, streams = asked.n, DRIFT * asked.size, Streams("dying", asked)
    alive = np.arange(n) < n // 2
    drifts = drift * STATES[streams.states("drift", len(STATES), SWITCH)] * alive
    levels = drift * STATES * alive[:, None]
    known = belief(streams.shocks() + drifts, levels, SWITCH)
    tables = [_of_steps(steps, asked) for steps in range(asked.horizon + 1)]
    left = np.clip(n // 2 - 1 - np.arange(n), 0, asked.horizon)
    return streams.walk(drifts, by_group(tables, left, known))


def _of_steps(steps: int, asked: Draw) -> Truth:
    """Return the truth by state of a trade of which so many bars have a drift."""
    return trade(
        asked.horizon,
        drift=DRIFT * asked.size,
        switch=SWITCH,
        cost=asked.cost,
        unit=SIGMA,
        steps=steps,
    )


def _check(n: int, horizon: int, sigma: float, switch: float) -> None:
    if n < 1 or horizon < 1 or sigma <= 0:
        raise ValueError(
            f"n, horizon and sigma must be positive, not {n}, {horizon}, {sigma}; give at least "
            "one bar, one bar of horizon and a deviation above zero"
        )
    if not 0 <= switch <= 1:
        raise ValueError(f"switch is a probability, not {switch}; give a number from 0 to 1")
