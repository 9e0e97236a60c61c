"""Walks without edge whose noise is not Gaussian: fat tails, and volatility that clusters."""

from __future__ import annotations

from functools import lru_cache
from math import pi, sqrt
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import kv, stdtr, stdtrit

from kernels.synthetic.draws import Draw, Streams
from kernels.synthetic.truth import symmetric
from kernels.synthetic.walk import SIGMA, PlantedWalk

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline, RectBivariateSpline

Floats: TypeAlias = NDArray[np.float64]

FAT: Final = 4
"""Degrees of freedom of the fat-tailed walk."""

FREEDOM: Final = 6
"""Degrees of freedom of the clustered walk."""

SHOCK: Final = 0.09
MEMORY: Final = 0.89
FLOOR: Final = 1 - SHOCK - MEMORY
"""GARCH(1, 1): v_(t+1) = FLOOR + SHOCK r_t^2 + MEMORY v_t, with mean 1."""

_LOG_VARIANCE: Final = np.linspace(np.log(FLOOR / (1 - MEMORY)), np.log(200.0), 49)
_MARGIN: Final = np.linspace(-10.0, 10.0, 161)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def fat_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk of t(4) moves without edge.

    Parameters
    ----------
    asked : Draw
        There is no edge to scale.

    Notes
    -----
    The ticks of a bar are normal with a deviation that is the bar's own. The win probability is
    Gil-Pelaez's inversion of the characteristic function of the sum,
    (2 u^2 K_2(2 u))^h at u over the root of 2, which gives the moves unit variance.
    """
    n, streams = asked.n, Streams("fat", asked)
    win = np.full(n, _fat_win(asked.horizon, asked.cost))
    truth = symmetric(win, np.full(n, asked.horizon), np.full(n, asked.cost), SIGMA)
    return streams.walk(np.zeros(n), truth, deviation=_scales(streams, FAT))


def clustered_walk(asked: Draw) -> PlantedWalk:
    """Draw a walk of GARCH(1, 1) volatility and t(6) moves without edge.

    Parameters
    ----------
    asked : Draw
        There is no edge to scale. The spread is `cost` deviations of the bar.

    Notes
    -----
    The reader knows the variance of the next bar from the moves so far, and nothing of its
    direction. The win probability differs from the base rate by the return of the variance to its
    mean alone; it is tabled by the recursion of `_margins`.
    """
    streams = Streams("clustered", asked)
    scale = _scales(streams, FREEDOM)
    variance = _variances(scale * streams.shocks())
    now, ahead = np.sqrt(variance[:-1]), variance[1:]
    win, spread = (spline(np.log(ahead)) for spline in _clustered(asked.horizon, asked.cost))
    decay = (SHOCK + MEMORY) ** np.arange(asked.horizon)
    total = asked.horizon + (ahead - 1) * decay.sum()
    return streams.walk(
        np.zeros(asked.n),
        symmetric(win, total, spread, SIGMA),
        deviation=now * scale,
        spread=asked.cost * now,
    )


def _scales(streams: Streams, freedom: int) -> Floats:
    """Return the deviation of each bar that makes normal noise t noise of unit variance."""
    drawn = streams.of("tails").chisquare(freedom, streams.asked.n)
    return np.asarray(np.sqrt((freedom - 2) / drawn))


def _fat_win(horizon: int, cost: float) -> float:
    from scipy.integrate import quad

    def integrand(u: float) -> float:
        scaled = u / sqrt(2)
        return float((2 * scaled**2 * kv(2, 2 * scaled)) ** horizon * np.sin(u * cost) / u)

    return 0.5 - float(quad(integrand, 1e-9, 60.0, limit=400, epsabs=1e-11)[0]) / pi


def _variances(shocks: Floats) -> Floats:
    """Return float64[n + 1]: the variance of each bar and of the one after the last."""
    variance, variances = 1.0, [1.0]
    for squared in (shocks**2).tolist():
        variance = FLOOR + (SHOCK * squared + MEMORY) * variance
        variances.append(variance)
    return np.array(variances)


@lru_cache(maxsize=8)
def _clustered(horizon: int, cost: float) -> tuple[CubicSpline, CubicSpline]:
    """Return win probability and mean cost by the log variance of the next bar."""
    from scipy.interpolate import CubicSpline

    level = np.exp(_LOG_VARIANCE / 2)
    moves, weights = _moves()
    after = _next(moves[:, None])
    spread = level
    for _ in range(horizon):
        spread = weights @ CubicSpline(_LOG_VARIANCE, spread)(after)
    win = _margins(horizon, cost)(cost / 2, _LOG_VARIANCE)[0]
    return CubicSpline(_LOG_VARIANCE, win), CubicSpline(_LOG_VARIANCE, cost * (level + spread) / 2)


def _moves() -> tuple[Floats, Floats]:
    """Return nodes and weights of the law of a standard move."""
    return stdtrit(FREEDOM, (1 + _NODES) / 2) * sqrt((FREEDOM - 2) / FREEDOM), _WEIGHTS / 2


def _next(moves: Floats) -> Floats:
    """Return the log variance after moves, in deviations, from each of the table."""
    after = np.log(FLOOR + (SHOCK * moves**2 + MEMORY) * np.exp(_LOG_VARIANCE))
    return np.clip(after, _LOG_VARIANCE[0], _LOG_VARIANCE[-1])


def _margins(horizon: int, cost: float) -> RectBivariateSpline:
    """Return P(the next h moves, less half the spread behind them, exceed u deviations | v).

    With v' the variance after a move z: F_h(u, v) = E F_(h-1)((u - z) sqrt(v / v'), v'), and
    F_1(u, v) = P(z > z*) with z* - u = cost / 2 sqrt(v' / v), which is a quadratic.
    """
    from scipy.interpolate import RectBivariateSpline

    margin = _MARGIN[:, None]
    table = _last(margin, cost)
    moves, weights = _moves()
    for _ in range(horizon - 1):
        spline, table = RectBivariateSpline(_MARGIN, _LOG_VARIANCE, table), np.zeros_like(table)
        for move, weight in zip(moves, weights, strict=True):
            after = np.broadcast_to(_next(move), table.shape)
            left = (margin - move) * np.exp((_LOG_VARIANCE - after) / 2)
            inside = np.clip(left, _MARGIN[0], _MARGIN[-1])
            table += weight * spline.ev(inside, after)
    return RectBivariateSpline(_MARGIN, _LOG_VARIANCE, table)


def _last(margin: Floats, cost: float) -> Floats:
    rest, share = MEMORY + FLOOR / np.exp(_LOG_VARIANCE), (cost / 2) ** 2
    # z - u = c sqrt(rest + SHOCK z^2), its root above u
    square, linear, constant = 1 - share * SHOCK, margin, margin**2 - share * rest
    root = (linear + np.sqrt(linear**2 - square * constant)) / square
    return np.asarray(stdtr(FREEDOM, -root / sqrt((FREEDOM - 2) / FREEDOM)))
