"""What speaks for a model: returns of bars it had not seen, and all that was tried before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.gate.stress import delayed_net, wider_net
from tasks.reports.calibration import calibration
from tasks.research.returns import daily_returns, days_of
from tasks.research.simulation import Simulation
from tasks.rules.bench import Bench

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Unseen:
    """What a model did on bars that its training had not seen.

    Attributes
    ----------
    daily : tuple of float
        Net return of each trading day.
    trades : int
        One at a time, so that they do not overlap.
    net, delayed, wider : float
        Sum of net gains; with every signal a bar late; at 1.5 times the spread.
    skill, skill_low, skill_high : float or None
        Brier skill against the base rate that was known before, with its 95 % interval.
    """

    daily: tuple[float, ...]
    trades: int
    net: float
    delayed: float
    wider: float
    skill: float | None
    skill_low: float | None
    skill_high: float | None


def unseen(
    bench: Bench,
    predictions: pl.DataFrame,
    signals: pl.DataFrame,
    simulation: Simulation,
    horizon: int,
    *,
    seed: int = 0,
) -> Unseen:
    """Return what a model did on the span of a bench.

    Parameters
    ----------
    bench : Bench
    predictions : polars.DataFrame
        The metrics frame of the first rule; its rows of the split "test" are judged.
    signals : polars.DataFrame
    simulation : Simulation
        What trading them brought.
    horizon : int
        Bars a trade of the first rule is held.
    seed : int
        Of the bootstrap.
    """
    judged = calibration(predictions, horizon, seed=seed)
    low, high = judged.get("skill_bounds") or (None, None)
    return Unseen(
        daily=tuple(daily_returns(simulation.trades, days_of(bench.bars["timestamp"])).tolist()),
        trades=simulation.trades.height,
        net=float(simulation.trades["gain"].sum()),
        delayed=delayed_net(bench, signals),
        wider=wider_net(bench, signals),
        skill=judged["brier_skill"],
        skill_low=low,
        skill_high=high,
    )


@dataclass(frozen=True)
class Search:
    """What was tried before a model was chosen.

    Attributes
    ----------
    returns : float64[days, k]
        Net returns of the sets that training compared, over the same days of the past; those
        that never traded are left out.
    sets : int
        N of the experiment log: every set, those of earlier runs and openings too.
    effective : float
        About independent ones among them.
    """

    returns: Floats
    sets: int
    effective: float
