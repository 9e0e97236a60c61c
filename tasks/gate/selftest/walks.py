"""Walks as bars, and what they are worth to who knows their truth."""

from __future__ import annotations

import polars as pl

from infra.bars import PRICES, QUOTES, TIME
from kernels.synthetic import PlantedWalk


def bars_of(walk: PlantedWalk) -> pl.DataFrame:
    """Return the walk as bars of the store."""
    columns = {name: getattr(walk, name) for name in (*PRICES, "volume", *QUOTES)}
    return pl.DataFrame({"timestamp": pl.Series(walk.time).cast(TIME), **columns})


def true_skill(walk: PlantedWalk, first: int = 0) -> float:
    """Return the Brier skill that the true probability can be expected to have.

    Against its mean, mean of both sides.

    Parameters
    ----------
    walk : PlantedWalk
    first : int
        Position of the first bar that counts.
    """
    said = walk.true_probability[first:]
    rate = said.mean(axis=0)
    return float((said.var(axis=0) / (rate * (1 - rate))).mean())


def true_gain(walk: PlantedWalk, horizon: int, first: int = 0) -> float:
    """Return the expected net gain of every trade that is worth it, one at a time, in sum.

    Parameters
    ----------
    walk : PlantedWalk
    horizon : int
        Of the trades that its truth speaks of.
    first : int
        Position of the first bar that counts.
    """
    best = walk.true_gain[first:].max(axis=1).tolist()
    gain, free = 0.0, 0
    for bar, expected in enumerate(best[: -horizon - 1]):
        if expected > 0 and bar >= free:
            gain, free = gain + expected, bar + horizon
    return gain
