"""Speed of the sweep in sets times bars a second, after a check that it trades as it should.

The engines are compared with the bar-by-bar reference and, where vectorbt is installed, with its
`Portfolio.from_signals` on a market where both mean the same (`shared_market`). Its pins clash
with ours: give it an environment of its own and run this benchmark there.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from kernels.device import choose_engine, gpu_unavailable, move, to_host
from kernels.outcomes import Quotes
from kernels.sweep import Sweep, sweep
from kernels.sweep_sets import SweepSets
from tests import naive
from tests.benchmarks.kernels import print_hardware, timed

YEAR = 372_000
DAY = 1440
CHECKED = 600
GRIDS = {"cpu": [(10, 4, 5, 5)], "gpu": [(10, 10, 10, 10), (40, 25, 25, 40)]}
"""Thresholds, horizons, stops and targets."""

SHARED = 1_000
COLUMNS = 16
"""Sets that vectorbt is timed with: it takes each by itself, so that more only take longer."""

FORCED = 480
"""Bars between the exits that close every position of the shared market."""

SHARES = (0.1, 0.001)
"""Of bars that signal at the lowest and at the highest threshold."""


class Market(NamedTuple):
    """What `sweep` takes, in whole points."""

    quotes: Quotes
    segments: Any
    score: Any
    unit: Any
    days: Any

    def there(self, engine: str) -> Market:
        """Return it in the memory of the engine."""
        xp = choose_engine(engine).xp
        quotes = Quotes(*(move(array, xp) for array in vars(self.quotes).values()))
        return Market(quotes, *(move(array, xp) for array in self[1:]))


def main() -> list[dict[str, Any]]:
    print_hardware()
    print(f"{'sweep':<12}{'engine':<12}{'sets':>10}{'bars':>10}{'s':>10}{'sets x bars/s':>15}")
    figures = []
    for engine in ("cpu", "gpu"):
        if engine == "gpu" and (missing := gpu_unavailable()) is not None:
            print(f"gpu: {missing}")
            continue
        check(engine)
        figures += [time_engine(engine, grid) for grid in GRIDS[engine]]
    return figures + compare_with_vectorbt()


def walk_market(n: int, *, half_spread: int = 4) -> Market:
    """A year of minutes: steps of ten points, a spread of eight, scores that linger."""
    rng = np.random.default_rng(3)
    path = 110_000 + np.round(np.cumsum(rng.normal(0, 5, 4 * n + 1)))
    opens, inside = path[:-1:4], path[1:].reshape(n, 4)
    high, low = np.maximum(opens, inside.max(axis=1)), np.minimum(opens, inside.min(axis=1))
    mid = (opens, high, low, inside[:, -1].copy())
    quotes = Quotes(*(price + sign * half_spread for sign in (-1, 1) for price in mid))
    score = rng.standard_normal((n, 2))
    for t in range(1, n):
        score[t] += 0.9 * score[t - 1]
    days = (np.arange(n) // DAY).astype(np.int32)
    unit = np.full(n, 10.0)
    return Market(quotes, np.zeros(n, np.int32), score.astype(np.float32), unit, days)


def sets_of(best: Any, grid: tuple[int, int, int, int]) -> SweepSets:
    """Return a grid of sets for these highest scores of the bars."""
    thresholds, horizons, stops, targets = grid
    return SweepSets.grid(
        thresholds=thresholds_of(best, thresholds),
        horizons=np.geomspace(15, 480, horizons),
        stops=np.geomspace(4, 60, stops),
        targets=np.geomspace(4, 60, targets),
    )


def best_of(market: Market) -> Any:
    return np.fmax(market.score[:, 0], market.score[:, 1])


def thresholds_of(best: Any, count: int) -> Any:
    return np.quantile(best, 1 - np.geomspace(*SHARES, count))


def run(market: Market, sets: SweepSets, engine: str) -> Sweep:
    return sweep(*market, sets, point=1.0, engine=engine)


def check(engine: str) -> None:
    """Equal to the reference before anything is timed."""
    market = walk_market(CHECKED)
    sets = sets_of(best_of(market), (5, 4, 2, 2))
    found = run(market, sets, engine)
    for i in range(len(sets)):
        rule = (sets.threshold[i], sets.stop[i], sets.target[i], sets.horizon[i])
        quotes = vars(market.quotes)
        one = naive.sweep(quotes, *market[1:], rule=rule, point=1.0, slippage=0.0)
        if (one.trades, one.wins, one.profit, one.drawdown) != figures_of(found, i):
            raise SystemExit(f"{engine}: set {i} gives {figures_of(found, i)}, not {one}")
    if int(found.trades.sum()) < len(sets):
        raise SystemExit("the market of the check has no trades")


def figures_of(found: Sweep, i: int) -> tuple[int, int, float, float]:
    return (
        int(found.trades[i]),
        int(found.wins[i]),
        float(found.profit[i]),
        float(found.drawdown[i]),
    )


def time_engine(engine: str, grid: tuple[int, int, int, int]) -> dict[str, Any]:
    market = walk_market(YEAR)
    sets = sets_of(best_of(market), grid)
    xp, there = choose_engine(engine).xp, market.there(engine)
    moved = SweepSets(*(move(array, xp) for array in vars(sets).values()))
    run(there, moved, engine)
    seconds = timed(lambda: run(there, moved, engine), engine, runs=3)
    return report("year", engine, len(sets), seconds)


def compare_with_vectorbt() -> list[dict[str, Any]]:
    """Time both on one market and require the same trades and profits of each column."""
    if find_spec("vectorbt") is None:
        print("vectorbt: not installed; make an environment of its own and run this there")
        return []
    market = shared_market(YEAR)
    sets = shared_sets(market, COLUMNS)
    portfolio = vectorbt_portfolio(market, sets)
    ours, theirs = run(market, sets, "cpu"), portfolio()
    for name, theirs_too in theirs.items():
        np.testing.assert_allclose(to_host(getattr(ours, name)), theirs_too, rtol=1e-9)
    print(f"vectorbt: {int(ours.trades.sum()):,} trades and {COLUMNS} profits are the same")
    slow = report("shared", "vectorbt", COLUMNS, timed(portfolio, "cpu", runs=3))
    many = shared_sets(market, SHARED)
    fast = report("shared", "cpu", len(many), timed(lambda: run(market, many, "cpu"), "cpu"))
    ratio = fast["sets_bars_a_second"] / slow["sets_bars_a_second"]
    print(f"vectorbt: {ratio:,.0f}x")
    return [slow, fast | {"speed_up": ratio}]


def shared_market(n: int) -> Market:
    """A market on which vectorbt and the sweep trade alike.

    Without spread and gaps, and flat in the bar after a signal: vectorbt does not check the bar of
    an entry, fills a target beyond its price at an open, and checks stops before the exit at an
    open. Shorts have no unit, hence only close; some close everything before a time exit could.
    """
    market = walk_market(n, half_spread=0)
    score = market.score.copy()
    score[np.arange(n) % FORCED == 0, 1] = 1e6
    score[-2 * FORCED :, 0] = np.nan
    short = ~(score[:, 0] >= score[:, 1])
    acts = np.fmax(score[:, 0], score[:, 1]) >= thresholds_of(best_of(market), 1)[0]
    after = np.roll(acts, 1)
    after[0] = False
    close = np.cumsum(np.where(after, 0, market.quotes.bid_close - market.quotes.bid_open))
    opens = np.append(0, close[:-1])
    level, old = 110_000, market.quotes
    high = np.where(after, opens, opens + old.bid_high - old.bid_open)
    low = np.where(after, opens, opens + old.bid_low - old.bid_open)
    mid = [price + level for price in (opens, high, low, close)]
    unit = np.where(short, np.nan, market.unit)
    return market._replace(quotes=Quotes(*mid, *mid), score=score, unit=unit)


def shared_sets(market: Market, count: int) -> SweepSets:
    sets = sets_of(best_of(market), (10, 1, 40, 40))
    rows = np.sort(np.random.default_rng(4).choice(len(sets), count, replace=False))
    chosen = SweepSets(*(array[rows] for array in vars(sets).values()))
    return replace(chosen, horizon=np.full(count, FORCED + 1, np.int32))


def vectorbt_portfolio(market: Market, sets: SweepSets) -> Any:
    """Return a call of vectorbt that gives trades and profit of each column."""
    from_signals = import_module("vectorbt").Portfolio.from_signals
    score, price = market.score, market.quotes
    best = np.fmax(score[:, 0], score[:, 1])[:-1, None] >= sets.threshold
    short = ~(score[:-1, :1] >= score[:-1, 1:])
    entries, exits = (np.zeros((len(score), len(sets)), np.bool_) for _ in range(2))
    entries[1:], exits[1:] = best & ~short, best & short
    opens = price.bid_open[:, None]
    stop, target = (np.rint(many * np.float32(10)) / opens for many in (sets.stop, sets.target))

    def call() -> dict[str, Any]:
        portfolio = from_signals(
            price.bid_close[:, None],
            entries,
            exits,
            open=opens,
            high=price.bid_high[:, None] + 0.25,  # a touch at the very level, despite rounding
            low=price.bid_low[:, None] - 0.25,
            price=opens,
            size=1.0,
            init_cash=1e9,
            direction="longonly",
            sl_stop=stop,
            tp_stop=target,
            stop_entry_price="fillprice",
            stop_exit_price="stoplimit",
        )
        orders = portfolio.orders.values
        sold = orders["side"] == 1
        count = np.bincount(orders["col"][sold], minlength=len(sets))
        flow = np.bincount(
            orders["col"], np.where(sold, 1, -1) * orders["price"], minlength=len(sets)
        )
        return {"trades": count, "profit": flow}

    return call


def report(name: str, engine: str, count: int, seconds: float) -> dict[str, Any]:
    rate = count * YEAR / seconds
    print(f"{name:<12}{engine:<12}{count:>10,}{YEAR:>10,}{seconds:>10.3f}{rate:>15.3g}")
    return {
        "kernel": "sweep",
        "market": name,
        "engine": engine,
        "sets": count,
        "bars": YEAR,
        "seconds": seconds,
        "sets_bars_a_second": rate,
    }
