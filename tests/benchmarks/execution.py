"""Signals a second that the paper broker in memory takes, after a check against the simulation.

Hours of a planted walk with a signal on every fourth bar, a stop, a target and a time exit; each
decision is an order with stop and target, and each stop is found by walking the bars.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from infra.market.quotes import Costs
from kernels.synthetic import draw
from tasks.research.measure import segments_of
from tasks.research.simulation import simulate
from tasks.trading.replay import TRADES, Rule, replay
from tests.benchmarks.kernels import print_hardware
from tests.tasks.frames import random_signals
from tests.tasks.research.walks import bars_of

SIGNALS, SHARE, HORIZON, MOST = 100_000, 0.25, 8, 60.0
PAIRS = ("PLANTED", "PLANTED_GAPS")


def main() -> list[dict[str, Any]]:
    print_hardware()
    print(f"{'pair':<16}{'signals':>10}{'trades':>10}{'seconds':>10}{'signals/s':>12}")
    return [report(pair, name) for pair, name in zip(PAIRS, ("drift", "gaps"), strict=True)]


def report(pair: str, name: str) -> dict[str, Any]:
    bars = bars_of(draw(name, int(SIGNALS / SHARE * 1.02), seed=1))
    signals = random_signals(bars, seed=1, share=SHARE).head(SIGNALS)
    unit = 3 * float(np.std(np.diff(bars["close"].to_numpy())))
    rule = Rule(pair, "H1", HORIZON, weekend=True, costs=Costs(slippage=unit / 50))
    distances = {"stop_distance": pl.lit(unit), "target_distance": pl.lit(1.2 * unit)}
    start = perf_counter()
    replayed = replay(bars, signals.with_columns(**distances), rule)
    taken = perf_counter() - start
    check(bars, signals, rule, unit, replayed.trades)
    trades = len(replayed.trades)
    rate = len(signals) / taken
    print(f"{pair:<16}{len(signals):>10,}{trades:>10,}{taken:>10.1f}{rate:>12,.0f}")
    if taken > MOST:
        raise SystemExit(f"{taken:.1f} s are more than {MOST:.0f}")
    return {"pair": pair, "signals": len(signals), "trades": trades, "seconds": taken}


def check(
    bars: pl.DataFrame, signals: pl.DataFrame, rule: Rule, unit: float, trades: pl.DataFrame
) -> None:
    """Equal to the simulation, trade for trade, before any figure is shown."""
    simulation = simulate(
        bars,
        signals,
        segments=segments_of(bars, rule.pair, rule.timeframe),
        horizon=rule.horizon,
        costs=rule.costs,
        stop=unit,
        target=1.2 * unit,
    )
    same = [name for name in TRADES if name != "profit"]
    assert_frame_equal(trades.select(same), simulation.trades.select(same), check_exact=True)
