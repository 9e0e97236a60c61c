"""Frames for programs: bars with all that the engine and a model say, and holes in them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl

from infra.bars import TIME
from infra.market.timeframes import bar_length
from kernels.outcomes import SIDES
from tasks.strategy.seam import Strategy

START: Final = datetime(2018, 1, 8, tzinfo=UTC)
SHARES: Final = ("entropy", "coherence", "stability", "null_ratio", "flip_ratio", "rupture_ratio")
BELIEFS: Final = ("confidence", "lower", "upper", "break_even", "expected", "margin")


def frame(
    n: int, timeframe: str = "H1", *, seed: int = 0, holes: float = 0.0, start: datetime = START
) -> pl.DataFrame:
    """Return bars of a walk with metrics, beliefs and quotes; some values are null or NaN.

    Parameters
    ----------
    n : int
    timeframe : str
    seed : int
    holes : float
        Share of null values in what is not a price.
    start : datetime
        Of the first bar.
    """
    rng = np.random.default_rng(seed)
    times = pl.datetime_range(
        start, start + bar_length(timeframe) * n, bar_length(timeframe), closed="left", eager=True
    )
    close = np.round(1.1 * np.exp(np.cumsum(rng.normal(0, 1e-3, n))), 4)
    open_ = np.concatenate([[1.1], close])[:n]
    reach = np.abs(rng.normal(0, 5e-4, (2, n)))
    columns = {
        "open": open_,
        "high": np.round(np.maximum(open_, close) + reach[0], 6),
        "low": np.round(np.minimum(open_, close) - reach[1], 6),
        "close": close,
        "volume": np.round(rng.normal(0, 3, n), 1),
        "bid_close": close - 1e-4,
        "ask_close": close + 1e-4,
        "damped_value": rng.normal(0, 1, n),
        "decay": np.full(n, 0.25),
        "steps": rng.integers(1, 17, n).astype(float),
        "converged": rng.random(n) < 0.5,
        **{name: np.round(rng.uniform(-1.2, 1.2, n), 2) for name in SHARES},
        **{f"{name}_{side}": rng.normal(0.5, 0.1, n) for name in BELIEFS for side in SIDES},
    }
    made = pl.DataFrame({"timestamp": times.cast(TIME), **columns})
    return _of_all_encoders(made if not holes else _with_holes(made, rng, holes))


def _of_all_encoders(made: pl.DataFrame) -> pl.DataFrame:
    return made.with_columns(
        pl.col(name).shift(shift).alias(f"{name}_{encoder}")
        for shift, encoder in enumerate(("volatility", "volume", "body"), 1)
        for name in (*SHARES, "damped_value", "decay", "steps", "converged")
    )


def _with_holes(made: pl.DataFrame, rng: np.random.Generator, share: float) -> pl.DataFrame:
    n = made.height
    for name in made.columns[5:]:
        gone, odd = rng.random(n) < share, rng.random(n) < share / 4
        value = pl.when(pl.Series(gone)).then(None).otherwise(pl.col(name))
        if made[name].dtype == pl.Float64:
            value = pl.when(pl.Series(odd)).then(float("nan")).otherwise(value)
        made = made.with_columns(value.alias(name))
    return made


def frames_for(
    program: Strategy, bars: int, *, seed: int = 0, holes: float = 0.0
) -> dict[str, pl.DataFrame]:
    """Return frames of all streams over the time of so many bars of the base, a walk each.

    Parameters
    ----------
    program : Strategy
    bars, seed : int
    holes : float
        Share of null values in what is not a price.
    """
    streams = program.requires.streams
    span = bars * bar_length(streams[0].timeframe)
    return {
        each.name: frame(
            span // bar_length(each.timeframe), each.timeframe, seed=seed + 10 * number, holes=holes
        )
        for number, each in enumerate(streams)
    }
