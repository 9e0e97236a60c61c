"""A logistic regression at each query, on its neighbours, the near ones counting more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite

import numpy as np

from kernels.device import (
    Array,
    Engine,
    array_module,
    choose_engine,
    kernel,
    launch,
    launch_blocks,
    move,
    require_array,
)
from kernels.nearest import Neighbours
from kernels.outcomes import SIDES
from kernels.spread import Part, devices, spread, take
from kernels.tally import Floats, require_rows

MOST_FEATURES = 8


def local_logistic(
    neighbours: Neighbours,
    queries: Array,
    features: Array,
    win: Array,
    *,
    base_rate: Sequence[float] | Floats,
    strength: float,
    ridge: float,
    engine: str = "auto",
) -> Array:
    """Log-odds, by side, that the trade of a query wins, fitted on its neighbours.

    Parameters
    ----------
    neighbours : Neighbours
        Of q queries; what has no row or no score is passed over.
    queries : float32[q, m]
        Features of the queries, at most 8.
    features : float32[N, m]
        Features of the library rows; a row with one that is not finite is passed over.
    win : int8[N, 2]
        Outcomes of each library row, as in `Outcomes`; -1 is unknown and passed over.
    base_rate : float64[2]
        pi of each side, between 0 and 1.
    strength : float
        Outcomes that the base rate is worth, above 0.
    ridge : float
        Penalty of the slopes, above 0, in units of one over a feature squared.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    float64[q, 2]
        Of the kind of the neighbours' arrays; NaN where no neighbour tells anything, or a feature
        of the query is not finite. A row depends on itself alone, bit for bit on one engine.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or engine, a number out of range, or an index that is no row of
        `win`.
    EngineUnavailable
        If the GPU is asked for and cannot run.

    Notes
    -----
    The intercept a of the a, b that minimise - sum K [y ln p + (1 - y) ln(1 - p)]
    + strength pi (1 - pi) (a - logit pi)^2 / 2 + ridge |b|^2 / 2 with p = expit(a + b (x - x_0)):
    Loader (1999), Local Regression and Likelihood. The kernel K is 1 - (d / D)^2 with
    d^2 = 2 - 2 score and D just beyond the farthest of k neighbours, D^2 = max d^2 (1 + 1 / k)
    (Cleveland 1979 takes the farthest itself), scaled so that its sum is (sum K)^2 / sum K^2.

    Newton's steps begin at the shrunk share of wins, are shortened to at most 1 in their longest
    coordinate, and end with one below 1e-6 (a within 1e-9 of the minimum), the tenth at the latest.
    Ten do not suffice where a slope is longer than about eight, or where features tell wins from
    losses without error and the ridge hardly holds: give features of about unit deviation.
    """
    arrays = (neighbours.index, neighbours.score, queries)
    _check(*arrays, features, win)
    prior = _prior(base_rate, strength)
    if not (isfinite(ridge) and ridge > 0):
        raise ValueError(f"ridge must be above 0 and finite, not {ridge}")
    chosen = choose_engine(engine)

    def share(part: Part) -> list[Array]:
        mine = take(arrays, part, chosen.xp)
        shared = [move(array, chosen.xp) for array in (win, features, prior)]
        return [_fit(chosen, mine, shared, ridge)]

    back = array_module(*arrays)
    among = devices() if chosen.name == "gpu" and array_module(*arrays, features, win) is np else []
    (log_odds,) = spread(share, len(queries), among)
    require_rows(neighbours.index, (log_odds == np.inf).any(axis=1), len(win))
    return move(log_odds, back)


def _check(index: Array, score: Array, queries: Array, features: Array, win: Array) -> None:
    require_array("neighbours.index", index, "int64", (None, None))
    require_array("neighbours.score", score, "float32", index.shape)
    require_array("queries", queries, "float32", (len(index), None))
    m = queries.shape[1]
    if not 1 <= m <= MOST_FEATURES:
        raise ValueError(f"queries must have 1 to {MOST_FEATURES} features, not {m}")
    require_array("features", features, "float32", (None, m))
    require_array("win", win, "int8", (len(features), len(SIDES)))


def _prior(base_rate: Sequence[float] | Floats, strength: float) -> Floats:
    """Of each side the wins and losses the base rate is worth, its log-odds and their penalty."""
    rate = np.array(base_rate, np.float64)
    require_array("base_rate", rate, "float64", (len(SIDES),))
    if not ((rate > 0) & (rate < 1)).all():
        raise ValueError(f"base_rate must be above 0 and below 1, not {rate}")
    if not (isfinite(strength) and strength > 0):
        raise ValueError(f"strength must be above 0 and finite, not {strength}")
    wins, losses = strength * rate, strength * (1 - rate)
    return np.stack([wins, losses, np.log(rate / (1 - rate)), wins * (1 - rate)], axis=1)


def _fit(engine: Engine, mine: list[Array], shared: list[Array], ridge: float) -> Array:
    """Fit the queries of one part; infinite where an index is no row."""
    index, score, queries = mine
    win, features, prior = shared
    log_odds = engine.xp.empty((len(queries), len(SIDES)))
    numbers = np.float64(ridge), np.int64(index.shape[1]), np.int64(len(win))
    arguments = (index, score, win, queries, features, prior, *numbers, log_odds)
    if engine.name == "gpu":
        load = partial(kernel, FEATURES=queries.shape[1])
        launch_blocks(load, "local", "fit", log_odds.size, *arguments)
    else:
        launch(engine, "local", "fit", log_odds.size, *arguments)
    return log_odds
