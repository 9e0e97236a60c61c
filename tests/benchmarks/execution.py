"""Signals a second that the paper broker in memory takes, after a check against the simulation.

Hours of a planted walk with a signal on every fourth bar, a stop, a target and a time exit; each
decision is an order with stop and target, and each stop is found by walking the bars. "arrays": how
many times as long as the simulation, which does the same in whole arrays and keeps no book.
"""

from __future__ import annotations

from time import perf_counter, process_time
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
    names = ("signals", "trades", "seconds", "of CPU", "signals/s", "arrays")
    print(f"{'pair':<16}" + "".join(f"{name:>10}" for name in names))
    return [report(pair, name) for pair, name in zip(PAIRS, ("drift", "gaps"), strict=True)]


def report(pair: str, name: str) -> dict[str, Any]:
    bars = bars_of(draw(name, int(SIGNALS / SHARE * 1.02), seed=1))
    signals = random_signals(bars, seed=1, share=SHARE).head(SIGNALS)
    unit = 3 * float(np.std(np.diff(bars["close"].to_numpy())))
    rule = Rule(pair, "H1", HORIZON, weekend=True, costs=Costs(slippage=unit / 50))
    distances = {"stop_distance": pl.lit(unit), "target_distance": pl.lit(1.2 * unit)}
    start, begun = perf_counter(), process_time()
    replayed = replay(bars, signals.with_columns(**distances), rule)
    taken, busy = perf_counter() - start, process_time() - begun
    arrays = check(bars, signals, rule, unit, replayed.trades)
    count, trades = len(signals), len(replayed.trades)
    shown = f"{taken:>10.1f}{busy:>10.1f}{count / taken:>10,.0f}{busy / arrays:>9,.0f}x"
    print(f"{pair:<16}{count:>10,}{trades:>10,}{shown}")
    if busy > MOST:
        raise SystemExit(f"{busy:.1f} s are more than {MOST:.0f}")
    figures = {"seconds": taken, "cpu_seconds": busy, "arrays": arrays}
    return {"pair": pair, "signals": count, "trades": trades, **figures}


def check(
    bars: pl.DataFrame, signals: pl.DataFrame, rule: Rule, unit: float, trades: pl.DataFrame
) -> float:
    """Equal to the simulation, trade for trade, before any figure is shown; its seconds of CPU."""
    start = process_time()
    simulation = simulate(
        bars,
        signals,
        segments=segments_of(bars, rule.pair, rule.timeframe),
        horizon=rule.horizon,
        costs=rule.costs,
        stop=unit,
        target=1.2 * unit,
    )
    taken = process_time() - start
    same = [name for name in TRADES if name != "profit"]
    assert_frame_equal(trades.select(same), simulation.trades.select(same), check_exact=True)
    return taken
