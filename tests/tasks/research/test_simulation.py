from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

from infra.market.quotes import Costs
from kernels.outcomes import outcomes
from tasks.research.simulation import TRADES, Simulation, quotes, simulate
from tests.tasks.frames import (
    START,
    bars_of,
    flat_bars,
    one_segment,
    random_bars,
    random_signals,
    signals_of,
    with_quotes,
)

COSTS = Costs(spread=0.2, slippage=0.05)
FINE = Costs(spread=0.02, slippage=0.005)
FLAT = (100.0, 100.0, 100.0, 100.0)


def run(bars: pl.DataFrame, marks: Mapping[int, str], **options: Any) -> Simulation:
    given: dict[str, Any] = {
        "segments": one_segment(bars.height),
        "horizon": 3,
        "costs": COSTS,
    } | options
    return simulate(bars, signals_of(marks, bars), **given)


def only_trade(simulation: Simulation) -> dict[str, Any]:
    assert simulation.trades.height == 1
    return simulation.trades.row(0, named=True)


def rising(n: int = 8) -> pl.DataFrame:
    """Bar i opens and closes at 99 + i."""
    return bars_of([(99.0 + i,) * 4 for i in range(n)])


def test_time_exit_long() -> None:
    trade = only_trade(run(rising(), {0: "long"}))
    assert trade["entry_time"] == rising()["timestamp"][1]
    assert trade["exit_time"] == rising()["timestamp"][4]
    assert trade["entry_price"] == pytest.approx(100.0 + 0.1 + 0.05)
    assert trade["exit_price"] == pytest.approx(103.0 - 0.1)
    assert trade["gain"] == pytest.approx((102.9 - 100.15) / 100.15)
    assert trade["gross"] == pytest.approx((103.0 - 100.0) / 100.15)
    assert trade["cost"] == pytest.approx(0.25 / 100.15)
    assert trade["exit_reason"] == "time"
    assert trade["bars_held"] == 3
    assert trade["confidence"] == 0.6


def test_time_exit_short() -> None:
    trade = only_trade(run(rising(), {0: "short"}))
    assert trade["entry_price"] == pytest.approx(100.0 - 0.1 - 0.05)
    assert trade["exit_price"] == pytest.approx(103.0 + 0.1)
    assert trade["gain"] == pytest.approx((99.85 - 103.1) / 99.85)
    assert trade["gross"] == pytest.approx((100.0 - 103.0) / 99.85)
    assert trade["cost"] == pytest.approx(0.25 / 99.85)


def test_stop_fills_at_its_level() -> None:
    bars = bars_of([FLAT, FLAT, (100.0, 100.0, 99.2, 100.0), *[FLAT] * 4])
    trade = only_trade(run(bars, {0: "long"}, stop=1.0))  # bid low 99.1, level 99.15
    assert trade["exit_price"] == pytest.approx(99.15)
    assert trade["gain"] == pytest.approx(-1.0 / 100.15)
    assert trade["cost"] == pytest.approx(0.25 / 100.15)
    assert (trade["exit_reason"], trade["bars_held"]) == ("stop", 1)
    assert trade["exit_time"] == bars["timestamp"][2]


def test_stop_is_not_touched_by_the_side_one_does_not_leave_at() -> None:
    bars = bars_of([FLAT, FLAT, (100.0, 100.0, 99.3, 100.0), *[FLAT] * 4])
    assert only_trade(run(bars, {0: "long"}, stop=1.0))["exit_reason"] == "time"


def test_stop_in_the_entry_bar() -> None:
    bars = bars_of([FLAT, (100.0, 100.0, 98.0, 100.0), *[FLAT] * 4])
    trade = only_trade(run(bars, {0: "long"}, stop=1.0))
    assert (trade["exit_reason"], trade["bars_held"]) == ("stop", 0)


def test_gap_through_the_stop_fills_at_the_open() -> None:
    bars = bars_of([FLAT, FLAT, (98.0, 98.5, 97.5, 98.0), *[FLAT] * 4])
    trade = only_trade(run(bars, {0: "long"}, stop=1.0))
    assert trade["exit_price"] == pytest.approx(97.9)
    assert trade["exit_reason"] == "stop"


def test_gap_through_the_stop_of_a_short() -> None:
    bars = bars_of([FLAT, FLAT, (102.0, 102.5, 101.5, 102.0), *[FLAT] * 4])
    trade = only_trade(run(bars, {0: "short"}, stop=1.0))
    assert trade["exit_price"] == pytest.approx(102.1)
    assert trade["gain"] == pytest.approx((99.85 - 102.1) / 99.85)


def test_target_fills_at_its_level() -> None:
    bars = bars_of([FLAT, FLAT, (100.0, 101.3, 100.0, 100.0), *[FLAT] * 4])
    trade = only_trade(run(bars, {0: "long"}, target=1.0))
    assert trade["exit_price"] == pytest.approx(101.15)
    assert trade["gain"] == pytest.approx(1.0 / 100.15)
    assert trade["exit_reason"] == "target"


def test_both_touched_in_one_bar_is_the_stop() -> None:
    bars = bars_of([FLAT, FLAT, (100.0, 103.0, 97.0, 100.0), *[FLAT] * 4])
    for side in ("long", "short"):
        assert only_trade(run(bars, {0: side}, stop=1.0, target=1.0))["exit_reason"] == "stop"


def test_distances_belong_to_their_signals() -> None:
    dip = (100.0, 100.0, 98.5, 100.0)
    bars = bars_of([FLAT, FLAT, dip, FLAT, FLAT, FLAT, dip, *[FLAT] * 4])
    trades = run(bars, {0: "long", 4: "long"}, stop=pl.Series([1.0, 5.0])).trades
    assert trades["exit_reason"].to_list() == ["stop", "time"]


@pytest.mark.parametrize(("absent", "reasons"), [(None, ["stop", "time"]), (math.nan, ["stop"])])
def test_without_a_stop_is_null_and_an_unknown_stop_is_no_trade(
    absent: float | None, reasons: list[str]
) -> None:
    dip = (100.0, 100.0, 90.0, 100.0)
    bars = bars_of([FLAT, FLAT, dip, FLAT, FLAT, FLAT, dip, *[FLAT] * 4])
    stop = pl.Series([1.0, absent], dtype=pl.Float64)
    trades = run(bars, {0: "long", 4: "long"}, stop=stop).trades
    assert trades["exit_reason"].to_list() == reasons


def test_an_opposite_signal_closes_at_the_next_open_and_waits() -> None:
    trade = only_trade(run(rising(), {0: "long", 1: "short"}))
    assert trade["exit_reason"] == "opposite"
    assert trade["exit_time"] == rising()["timestamp"][2]
    assert trade["exit_price"] == pytest.approx(101.0 - 0.1)
    assert trade["gain"] == pytest.approx((100.9 - 100.15) / 100.15)
    assert trade["bars_held"] == 1


def test_the_signal_after_an_opposite_one_may_enter() -> None:
    trades = run(rising(), {0: "long", 1: "short", 2: "short"}).trades
    assert trades["side"].to_list() == ["long", "short"]
    assert trades["entry_time"].to_list() == [rising()["timestamp"][i] for i in (1, 3)]


def test_an_opposite_signal_at_the_horizon_changes_nothing() -> None:
    trade = only_trade(run(rising(), {0: "long", 3: "short"}))
    assert trade["exit_reason"] == "time"


def test_a_signal_of_the_same_side_is_ignored_while_in_a_position() -> None:
    bars = rising(12)
    trades = run(bars, dict.fromkeys(range(12), "long")).trades
    assert trades["signal_time"].to_list() == [bars["timestamp"][i] for i in (0, 4)]
    assert (trades["bars_held"] == 3).all()


def test_the_bar_of_a_stop_may_signal_again() -> None:
    bars = bars_of([FLAT, FLAT, (100.0, 100.0, 98.0, 100.0), *[FLAT] * 6])
    trades = run(bars, {0: "long", 2: "long"}, stop=1.0).trades
    assert trades["entry_time"].to_list() == [bars["timestamp"][i] for i in (1, 3)]


@pytest.mark.parametrize(("n", "trades"), [(4, 0), (5, 1)])
def test_no_trade_runs_past_the_data(n: int, trades: int) -> None:
    assert run(rising(n), {0: "long"}).trades.height == trades


def test_an_untradable_signal_still_closes_the_other_side() -> None:
    bars = rising(6)
    trade = only_trade(run(bars, {1: "long", 3: "short"}))
    assert trade["exit_reason"] == "opposite"


def test_own_quotes_are_used_instead_of_the_modelled_spread() -> None:
    quoted = with_quotes(rising(), 0.2)
    own = run(quoted, {0: "long"}, costs=Costs(spread=9.0, slippage=0.05))
    assert_frame_equal(own.trades, run(rising(), {0: "long"}).trades)


def test_bars_without_their_own_quotes_fall_back_to_the_modelled_spread() -> None:
    quoted = with_quotes(rising(), 0.6)
    row = pl.int_range(pl.len()) == 1
    holes = quoted.with_columns(pl.when(~row).then(pl.col("^(bid|ask)_.*$")).name.keep())
    trade = only_trade(run(holes, {0: "long"}))
    assert trade["entry_price"] == pytest.approx(100.0 + 0.1 + 0.05)
    assert trade["exit_price"] == pytest.approx(103.0 - 0.3)


def test_equity_is_marked_where_one_would_leave_and_compounds() -> None:
    equity = run(rising(12), {0: "long", 4: "short"}).equity["equity"].to_list()
    first = 1 + (102.9 - 100.15) / 100.15
    entry = 104.0 - 0.1 - 0.05
    second = first * (1 + (entry - 107.1) / entry)
    assert equity[0] == 1.0
    assert equity[1] == pytest.approx(1 + (99.9 - 100.15) / 100.15)
    assert equity[3] == pytest.approx(1 + (101.9 - 100.15) / 100.15)
    assert equity[4] == pytest.approx(first)
    assert equity[5] == pytest.approx(first * (1 + (entry - 104.1) / entry))
    assert equity[8:] == pytest.approx([second] * 4)


def test_drawdown_is_measured_from_the_peak() -> None:
    simulation = run(rising(12), {0: "long", 4: "short"})
    equity = simulation.equity["equity"].to_numpy()
    assert simulation.equity["drawdown"].to_numpy() == pytest.approx(
        [value / max(equity[: i + 1]) - 1 for i, value in enumerate(equity)]
    )
    assert simulation.equity["drawdown"].min() == pytest.approx(equity[-1] / equity[4] - 1)


def test_no_signals_no_trades() -> None:
    simulation = run(flat_bars(5), {})
    assert simulation.trades.schema == TRADES
    assert simulation.trades.is_empty()
    assert simulation.equity["equity"].to_list() == [1.0] * 5
    assert simulation.equity["drawdown"].to_list() == [0.0] * 5


def test_no_bars_no_trades() -> None:
    simulation = run(flat_bars(0), {})
    assert simulation.trades.is_empty()
    assert simulation.equity.columns == ["timestamp", "equity", "drawdown"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_bars_without_a_price_are_refused(value: float | None) -> None:
    row = pl.int_range(pl.len()) == 2
    bars = flat_bars(6).with_columns(low=pl.when(row).then(pl.lit(value)).otherwise("low"))
    with pytest.raises(ValueError, match=r"bid_low of the bar at 2018-01-08 02:00.* ingest"):
        run(bars, {0: "long"})


def test_signals_that_do_not_fit_the_bars_are_refused() -> None:
    bars = flat_bars(8)
    rule: dict[str, Any] = {"horizon": 3, "costs": COSTS}
    with pytest.raises(ValueError, match="lies on no bar"):
        simulate(bars.slice(2), signals_of({0: "long"}, bars), segments=one_segment(6), **rule)
    twice = pl.concat([signals_of({1: "long"}, bars)] * 2)
    with pytest.raises(ValueError, match="must ascend"):
        simulate(bars, twice, segments=one_segment(8), **rule)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["spread", "slippage"])
def test_costs_are_never_negative(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is"):
        Costs(**{name: bad})  # type: ignore[arg-type]


def test_a_trade_that_runs_its_rule_gains_exactly_its_outcome() -> None:
    bars = random_bars(400, seed=5)
    signals = random_signals(bars, seed=6, share=0.1)
    segments = one_segment(400)
    options: dict[str, Any] = {"stop": np.full(400, 0.15), "target": np.full(400, 0.3)}
    results = outcomes(
        quotes(bars, FINE), segments, horizon=6, slippage=FINE.slippage, engine="cpu", **options
    )
    simulation = simulate(
        bars, signals, segments=segments, horizon=6, costs=FINE, stop=0.15, target=0.3
    )
    whole = simulation.trades.filter(pl.col("exit_reason") != "opposite")
    assert set(whole["exit_reason"]) == {"time", "stop", "target"}
    for trade in whole.iter_rows(named=True):
        bar = int((trade["signal_time"] - START).total_seconds() // 3600)
        assert trade["gain"] == results.gain[bar, int(trade["side"] == "short")]


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 60, 133, 199, 200])
def test_truncation_keeps_closed_trades_and_equity(cut: int) -> None:
    horizon, bars = 6, random_bars(200, seed=7)
    signals = random_signals(bars, seed=8)
    segments = np.repeat(np.arange(8, dtype=np.int32), 25)
    closing = np.random.default_rng(9).random(200) < 0.1
    options: dict[str, Any] = {"horizon": horizon, "costs": COSTS, "stop": 0.2}
    whole = simulate(bars, signals, segments=segments, closing=closing, **options)
    known = signals.filter(pl.col("position") < cut)
    part = simulate(
        bars.head(cut), known, segments=segments[:cut], closing=closing[:cut], **options
    )
    last = bars["timestamp"].head(max(0, cut - horizon - 1))
    assert_frame_equal(
        part.trades, whole.trades.filter(pl.col("signal_time").is_in(last.implode()))
    )
    assert_frame_equal(part.equity.head(last.len()), whole.equity.head(last.len()))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("barriers", [(None, None), (0.15, None), (None, 0.2), (0.1, 0.15)])
def test_trades_equal_those_of_a_bar_by_bar_replay(
    seed: int, barriers: tuple[float | None, float | None]
) -> None:
    horizon, bars = 1 + seed % 7, random_bars(150, seed=seed)
    signals = random_signals(bars, seed=seed + 100, share=(0.1, 0.3, 0.8)[seed % 3])
    segments = (np.arange(150) // (4 + 3 * seed)).astype(np.int32)
    closing = np.random.default_rng(seed).random(150) < 0.1
    stop, target = barriers
    market: dict[str, Any] = {"segments": segments, "closing": closing}
    simulation = simulate(
        bars, signals, horizon=horizon, costs=FINE, stop=stop, target=target, **market
    )
    spoken = signals.filter(~closing[signals["position"].to_numpy()])
    replayed = Replay(bars, spoken, segments, horizon, stop, target).trades()
    found = simulation.trades.select(
        "side", "entry_price", "exit_price", "bars_held", "exit_reason"
    )
    names = ("side", "bars_held", "exit_reason")
    assert found.select(names).rows() == [trade[2:] for trade in replayed]
    prices = found.select("entry_price", "exit_price").to_numpy()
    assert prices == pytest.approx(np.array([trade[:2] for trade in replayed]), rel=1e-12)
    growth = np.prod(1 + simulation.trades["gain"].to_numpy())
    assert simulation.equity["equity"][-1] == pytest.approx(growth)


class Replay:
    """The trading rule read bar by bar, as a broker would live it."""

    def __init__(
        self,
        bars: pl.DataFrame,
        signals: pl.DataFrame,
        segments: NDArray[np.int32],
        horizon: int,
        stop: float | None,
        target: float | None,
    ) -> None:
        self.bars = bars.rows(named=True)
        self.wanted = dict(zip(signals["position"], signals["side"], strict=True))
        self.segments, self.horizon = segments, horizon
        self.stop, self.target = stop or math.inf, target or math.inf

    def trades(self) -> list[tuple[Any, ...]]:
        closed, bar = [], 0
        while bar < len(self.bars):
            side = self.wanted.get(bar)
            if side is None or not self.fits(bar):
                bar += 1
                continue
            price, leave, reason = self.leave(bar, side)
            closed.append((self.entry(bar, side), price, side, leave - bar - 1, reason))
            bar = leave
        return closed

    def fits(self, bar: int) -> bool:
        last = bar + 1 + self.horizon
        return last < len(self.bars) and self.segments[bar] == self.segments[bar + 1]

    def entry(self, bar: int, side: str) -> float:
        paid = 0.01 + 0.005
        return float(self.bars[bar + 1]["open"] + (paid if side == "long" else -paid))

    def leave(self, bar: int, side: str) -> tuple[float, int, str]:
        sign = 1 if side == "long" else -1
        entry, first = self.entry(bar, side), bar + 1
        for now in range(first, first + self.horizon + 1):
            row = {k: self.bars[now][k] - sign * 0.01 for k in ("open", "high", "low")}
            if self.segments[now] != self.segments[first]:
                return row["open"], now, "hole"
            if now == first + self.horizon:
                return row["open"], now, "time"
            if now > first and self.wanted.get(now - 1, side) != side:
                return row["open"], now, "opposite"
            worst, best = (row["low"], row["high"]) if sign > 0 else (row["high"], row["low"])
            if sign * (worst - entry) <= -self.stop:
                level = entry - sign * self.stop
                return sign * min(sign * row["open"], sign * level), now, "stop"
            if sign * (best - entry) >= self.target:
                return entry + sign * self.target, now, "target"
        raise AssertionError("the horizon ends every trade")


def test_each_signal_has_its_own_horizon_and_a_close_enters_nothing() -> None:
    bars = random_bars(60, seed=4)
    given: dict[str, Any] = {"segments": one_segment(60), "costs": Costs(0.0, 0.0)}
    rows = [(2, "long", 3), (10, "short", 20), (15, None, 1), (17, "short", 4), (30, None, 1)]
    signals = signals_of({bar: side or "long" for bar, side, _ in rows}, bars).with_columns(
        side=pl.Series([side for _, side, _ in rows], dtype=pl.String)
    )
    horizons = pl.Series([horizon for *_, horizon in rows])
    trades = simulate(bars, signals, horizon=horizons, **given).trades
    assert trades["bars_held"].to_list() == [3, 5, 4]
    assert trades["exit_reason"].to_list() == ["time", "opposite", "time"]
    assert trades["side"].to_list() == ["long", "short", "short"]
    alone = simulate(bars, signals[:1], horizon=3, **given).trades
    assert_frame_equal(trades[:1], alone)
