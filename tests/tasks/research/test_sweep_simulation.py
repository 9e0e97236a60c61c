"""The sweep's trades are those of a simulation of each set."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.market.quotes import Costs
from kernels.outcomes import Quotes
from kernels.sweep import sweep
from kernels.sweep_sets import SweepSets
from tasks.research.simulation import simulate
from tests.tasks.frames import random_bars, signals_of

PRICES = ("open", "high", "low", "close")
SLIPPAGE = 2.0
SETS = 40


def whole_bars(n: int, seed: int) -> pl.DataFrame:
    """Bid and ask in whole points, so that the simulation's sums are exact, too."""
    rng = np.random.default_rng(seed)
    mid = random_bars(n, seed=seed, price=1e5).with_columns(pl.col(PRICES).round())
    half = pl.Series(rng.integers(1, 30, n))
    return mid.with_columns(
        **{f"bid_{name}": pl.col(name) - half for name in PRICES},
        **{f"ask_{name}": pl.col(name) + half for name in PRICES},
    )


def random_sets(rng: np.random.Generator) -> SweepSets:
    stop, target = np.exp(rng.normal(0.2, 0.7, (2, SETS))).astype(np.float32)
    stop[::5], target[::7] = np.inf, np.inf
    return SweepSets(
        threshold=rng.choice([0.3, 0.6, 0.9, 0.97], SETS).astype(np.float32),
        stop=stop,
        target=target,
        horizon=rng.integers(1, 40, SETS).astype(np.int32),
    )


@pytest.mark.parametrize("seed", range(3))
def test_trades_are_those_of_the_simulation(seed: int) -> None:
    n, rng = 700, np.random.default_rng(seed)
    bars, sets = whole_bars(n, seed), random_sets(rng)
    segments = np.cumsum(rng.random(n) < 0.03).astype(np.int32)
    score, unit = rng.random((n, 2)).astype(np.float32), rng.uniform(30, 200, n)
    quotes = Quotes(
        **{f"{side}_{name}": bars[f"{side}_{name}"].to_numpy()
           for side in ("bid", "ask") for name in PRICES}
    )  # fmt: skip
    days, closing = (np.arange(n) // 24).astype(np.int32), rng.random(n) < 0.05
    heard = np.where(closing[:, None], np.float32(np.nan), score)
    found = sweep(
        quotes, segments, heard, unit, days, sets, point=1.0, slippage=SLIPPAGE, engine="cpu"
    )
    for i in range(SETS):
        counted = simulated(bars, segments, closing, score, unit, sets, i)
        assert (found.trades[i], found.wins[i], found.profit[i]) == counted
    assert found.trades.sum() > 1000


def simulated(
    bars: pl.DataFrame,
    segments: Any,
    closing: Any,
    score: Any,
    unit: Any,
    sets: SweepSets,
    i: int,
) -> tuple[int, int, float]:
    rows = np.flatnonzero(score.max(axis=1) >= sets.threshold[i])
    sides = np.where(score[rows, 0] >= score[rows, 1], "long", "short")
    signals = signals_of(dict(zip(rows.tolist(), sides.tolist(), strict=True)), bars)
    stop, target = (
        pl.Series(np.maximum(np.rint(many * unit[rows].astype(np.float32)), 1).astype(np.float64))
        for many in (sets.stop[i], sets.target[i])
    )
    trades = simulate(
        bars,
        signals,
        segments=segments,
        closing=closing,
        horizon=int(sets.horizon[i]),
        costs=Costs(slippage=SLIPPAGE),
        stop=stop,
        target=target,
    ).trades
    direction = np.where(trades["side"] == "long", 1, -1)
    moves = direction * (trades["exit_price"] - trades["entry_price"]).to_numpy()
    return trades.height, int((moves > 0).sum()), float(moves.sum())
