"""The sweep against a bar-by-bar replay of each set, exactly, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest

from kernels.device import launch_blocks, to_host
from kernels.outcomes import Quotes
from kernels.sweep import Sweep, sweep
from kernels.sweep_sets import SweepSets
from kernels.synthetic import random_walk
from tests import naive
from tests.kernels.shim import load_on_cpu, no_compiler

Native = Callable[[Any], Any]
POINT = 1e-5
NAMES = [field.name for field in fields(Quotes)]
EXACT = ("trades", "wins", "profit", "drawdown", "day_sum", "day_square_sum")
SIZES = [0, 1, 2, 63, 64, 65, 127, 128, 129, 300]


@dataclass(frozen=True)
class Market:
    quotes: dict[str, Any]
    segments: Any
    score: Any
    unit: Any
    days: Any

    def cut(self, n: int) -> Market:
        rest = (getattr(self, field.name)[:n] for field in fields(self)[1:])
        return Market({name: values[:n] for name, values in self.quotes.items()}, *rest)


def market(n: int, seed: int, *, edges: float = 0.01, nights: float = 0.03) -> Market:
    """Opens jump away from the close before them; some bars have no score or no unit."""
    rng = np.random.default_rng(seed)
    bars = random_walk(max(n, 1), seed=seed, sigma=3e-4)
    quotes: dict[str, Any] = {}
    for side, sign in (("bid", -1), ("ask", 1)):
        arrays = {name: getattr(bars, name)[:n] for name in ("open", "high", "low", "close")}
        arrays["open"] = arrays["open"] * np.exp(2e-4 * rng.standard_normal(n))
        arrays["high"] = np.maximum(arrays["open"], arrays["high"])
        arrays["low"] = np.minimum(arrays["open"], arrays["low"])
        half = POINT * rng.integers(1, 6, n)
        quotes |= {
            f"{side}_{name}": POINT * np.rint((price + sign * half) / POINT)
            for name, price in arrays.items()
        }
    score = np.round(rng.random((n, 2)), 2).astype(np.float32)  # with ties
    score[rng.random((n, 2)) < 0.1] = np.nan
    unit = 3e-4 * np.exp(0.3 * rng.standard_normal(n))
    unit[rng.random(n) < 0.05] = np.nan
    segments, days = (np.cumsum(rng.random(n) < p).astype(np.int32) for p in (edges, nights))
    return Market(quotes, segments, score, unit, 5 + 3 * days)


def random_sets(count: int, seed: int) -> SweepSets:
    rng = np.random.default_rng(seed)
    stop, target = np.exp(rng.normal(0.3, 0.8, (2, count)))
    stop[rng.random(count) < 0.2] = np.inf
    target[rng.random(count) < 0.2] = np.inf
    return SweepSets(
        threshold=rng.choice([0.5, 0.8, 0.9, 0.97, 0.99], count).astype(np.float32),
        stop=stop.astype(np.float32),
        target=target.astype(np.float32),
        horizon=np.ceil(np.exp(rng.uniform(0, 5, count))).astype(np.int32),
    )


def run(here: Market, sets: SweepSets, engine: str, native: Native, **options: Any) -> Sweep:
    given = {"point": POINT, "slippage": 2 * POINT, "daily": True} | options
    quotes = Quotes(**{name: native(values) for name, values in here.quotes.items()})
    bars = (native(a) for a in (here.segments, here.score, here.unit, here.days))
    segments, score, unit, days = bars
    there = SweepSets(**{field.name: native(getattr(sets, field.name)) for field in fields(sets)})
    return sweep(quotes, segments, score, unit, days, there, engine=engine, **given)


def replayed(here: Market, sets: SweepSets) -> list[naive.Swept]:
    rules = zip(sets.threshold, sets.stop, sets.target, sets.horizon, strict=True)
    return [
        naive.sweep(
            here.quotes, here.segments, here.score, here.unit, here.days,
            rule=rule, point=POINT, slippage=2 * POINT,
        )
        for rule in rules
    ]  # fmt: skip


def assert_replayed(found: Sweep, expected: list[naive.Swept]) -> None:
    """Counts are equal and prices are the same number of points."""

    def points(values: Any, point: float = POINT) -> Any:
        return np.rint(np.asarray(to_host(values), np.float64) / point).tolist()

    assert to_host(found.trades).tolist() == [one.trades for one in expected]
    assert to_host(found.wins).tolist() == [one.wins for one in expected]
    assert points(found.profit) == points([one.profit for one in expected])
    assert points(found.drawdown) == points([one.drawdown for one in expected])
    changes = np.array([one.daily for one in expected]).reshape(len(expected), found.days)
    assert points(found.daily) == points(changes)
    assert points(found.day_sum) == points(changes.sum(axis=1))
    squares = (np.rint(changes / POINT) ** 2).sum(axis=1)
    assert points(found.day_square_sum, POINT**2) == squares.tolist()


@pytest.mark.parametrize("n", SIZES)
def test_a_sweep_is_a_replay_of_each_set(engine: str, native: Native, n: int) -> None:
    here, sets = market(n, seed=n), random_sets(40, seed=n)
    found = run(here, sets, engine, native)
    assert_replayed(found, replayed(here, sets))


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129])
def test_any_number_of_sets(engine: str, native: Native, count: int) -> None:
    here, sets = market(150, seed=1), random_sets(count, seed=2)
    assert_replayed(run(here, sets, engine, native), replayed(here, sets))


@pytest.mark.parametrize("seed", range(4))
def test_long_trades_over_many_bars(engine: str, native: Native, seed: int) -> None:
    here = market(1500, seed=seed, edges=0.001, nights=0.005)
    sets = random_sets(24, seed=seed)
    wide = replace(sets, stop=sets.stop * 8, target=sets.target * 8)
    found = run(here, wide, engine, native)
    assert_replayed(found, replayed(here, wide))
    assert int(found.trades.sum()) > 100


@pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))
@pytest.mark.parametrize("n", SIZES)
def test_the_cuda_source_is_a_replay_of_each_set(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(_: Any, module: str, name: str, n: int, *arguments: Any) -> None:
        launch_blocks(load_on_cpu, module, name, n, *arguments)

    monkeypatch.setattr("kernels.sweep.launch", launch)
    test_a_sweep_is_a_replay_of_each_set("cpu", np.ascontiguousarray, n)


def last_known_day(here: Market, cut: int) -> int:
    """Days that end before bar `cut`."""
    return int(np.unique(here.days[: cut + 1]).size) - 1


@pytest.mark.parametrize("cut", [160, 250, 399])
def test_truncation_changes_no_day_whose_trades_are_whole(
    engine: str, native: Native, cut: int
) -> None:
    here, sets = market(400, seed=11, edges=0), random_sets(30, seed=12)
    short = replace(sets, horizon=np.minimum(sets.horizon, 20).astype(np.int32))
    whole, part = (run(m, short, engine, native) for m in (here, here.cut(cut)))
    known = last_known_day(here, cut - 21)
    assert known > 1
    before = to_host(part.daily)[:, :known]
    np.testing.assert_array_equal(before, to_host(whole.daily)[:, :known])
    assert before.any()


@pytest.mark.parametrize("cut", [130, 200, 350])
def test_poison_changes_nothing_before_it(engine: str, native: Native, cut: int) -> None:
    here, other, sets = market(400, seed=11), market(400, seed=13), random_sets(30, seed=12)
    quotes = {
        name: np.concatenate([values[:cut], 10 + other.quotes[name][cut:]])
        for name, values in here.quotes.items()
    }
    score, unit = (
        np.concatenate([getattr(here, name)[:cut], getattr(other, name)[cut:]])
        for name in ("score", "unit")
    )
    poisoned = replace(here, quotes=quotes, score=score, unit=unit)
    known = last_known_day(here, cut)
    clean, changed = (to_host(run(m, sets, engine, native).daily) for m in (here, poisoned))
    np.testing.assert_array_equal(changed[:, :known], clean[:, :known])
    assert (changed != clean).any()


def flat_market(n: int, price: float = 1.0) -> Market:
    return Market(
        quotes={name: np.full(n, price + (name[0] == "a") * POINT) for name in NAMES},
        segments=np.zeros(n, np.int32),
        score=np.full((n, 2), np.nan, np.float32),
        unit=np.full(n, 10 * POINT),
        days=np.zeros(n, np.int32),
    )


def one_set(horizon: int = 3, stop: float = np.inf, target: float = np.inf) -> SweepSets:
    return SweepSets.grid(thresholds=[0.5], horizons=[horizon], stops=[stop], targets=[target])


def test_what_a_long_earns_and_how_far_it_falls(engine: str, native: Native) -> None:
    here = flat_market(8)
    here.score[0, 0] = 0.5
    here.quotes["bid_close"][2] -= 7 * POINT
    here.quotes["bid_open"][4] += 9 * POINT
    found = run(here, one_set(), engine, native, slippage=2 * POINT)
    assert (int(found.trades[0]), int(found.wins[0]), found.days) == (1, 1, 1)
    assert float(found.profit[0]) == pytest.approx(6 * POINT)
    assert float(found.drawdown[0]) == pytest.approx(10 * POINT)
    assert float(found.hit_rate[0]) == 1


def test_a_hole_closes_at_the_first_open_after_it(engine: str, native: Native) -> None:
    here = replace(flat_market(10), segments=(np.arange(10) >= 4).astype(np.int32))
    here.score[0, 0], here.score[3, 0] = 1, 1  # the second one right before the hole
    here.quotes["bid_open"][4] -= 90 * POINT
    found = run(here, one_set(horizon=6, stop=1), engine, native, slippage=0)
    assert int(found.trades[0]) == 1
    assert float(found.profit[0]) == pytest.approx(-91 * POINT)
    here.score[0, 0] = np.nan
    assert int(run(here, one_set(horizon=6), engine, native).trades[0]) == 0


@pytest.mark.parametrize(("horizon", "trades"), [(7, 1), (8, 1), (9, 0)])
def test_a_rule_that_reaches_past_the_end_is_not_traded(
    engine: str, native: Native, horizon: int, trades: int
) -> None:
    here = replace(flat_market(10), segments=(np.arange(10) >= 4).astype(np.int32))
    here.score[0, 1] = 1
    found = run(here, one_set(horizon=horizon), engine, native)
    assert int(found.trades[0]) == trades


def test_a_stop_is_at_least_a_point_away(engine: str, native: Native) -> None:
    here = flat_market(8)
    here.score[0, 1] = 1
    found = run(here, one_set(stop=1e-6), engine, native, slippage=0)
    assert float(found.profit[0]) == pytest.approx(-POINT)  # the spread alone touches it


def test_an_untraded_signal_still_closes_the_other_side(engine: str, native: Native) -> None:
    here = flat_market(12)
    here.score[0, 0], here.score[2, 1] = 1, 1
    here.unit[2] = np.nan
    here.quotes["bid_open"][3] += 5 * POINT
    found = run(here, one_set(horizon=8), engine, native, slippage=0)
    assert float(found.profit[0]) == pytest.approx(4 * POINT)
    assert int(found.trades[0]) == 1


def test_daily_numbers_are_those_of_the_table(engine: str, native: Native) -> None:
    found = run(market(300, seed=3), random_sets(20, seed=3), engine, native)
    table = to_host(found.daily).astype(np.float64)
    np.testing.assert_allclose(to_host(found.mean), table.mean(axis=1), rtol=1e-6, atol=1e-12)
    deviation = table.std(axis=1, ddof=1)
    np.testing.assert_allclose(to_host(found.deviation), deviation, rtol=1e-6)
    varies = deviation > 0
    sharpe = table.mean(axis=1)[varies] / deviation[varies]
    np.testing.assert_allclose(to_host(found.sharpe)[varies], sharpe, rtol=1e-6, atol=1e-9)
    plain = run(market(300, seed=3), random_sets(20, seed=3), engine, native, daily=False)
    assert plain.daily is None
    assert to_host(plain.day_sum).tolist() == to_host(found.day_sum).tolist()


def test_sums_beyond_what_float32_counts_are_exact(engine: str, native: Native) -> None:
    here = flat_market(400)
    here.score[:, 0] = 1
    for name in ("ask_open", "ask_high"):
        here.quotes[name] += 200_000 * POINT
    found = run(here, one_set(horizon=1), engine, native, slippage=0)
    trades = int(found.trades[0])
    assert trades * 200_001 > 1 << 24
    assert round(float(found.profit[0]) / POINT) == -trades * 200_001
    assert round(float(found.drawdown[0]) / POINT) == trades * 200_001


def test_a_grid_is_the_product_with_thresholds_slowest() -> None:
    sets = SweepSets.grid(thresholds=[0.5, 0.6], horizons=[5, 9], stops=[1, 2, 3], targets=[4])
    assert len(sets) == 12
    assert sets.threshold.tolist() == [0.5] * 6 + [np.float32(0.6)] * 6
    assert sets.horizon.tolist() == [5, 5, 5, 9, 9, 9] * 2
    assert sets.stop.tolist() == [1, 2, 3] * 4
    assert set(sets.target.tolist()) == {4}


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"score": np.zeros((9, 2))}, TypeError, "score"),
        ({"score": np.zeros((9, 1), np.float32)}, ValueError, "score"),
        ({"unit": np.zeros(9)}, ValueError, "unit"),
        ({"unit": np.full(9, np.inf)}, ValueError, "unit"),
        ({"days": np.arange(9, 0, -1, dtype=np.int32)}, ValueError, "days"),
        ({"days": np.zeros(8, np.int32)}, ValueError, "days"),
        ({"segments": np.zeros(9)}, TypeError, "segments"),
        ({"segments": np.arange(9, 0, -1, dtype=np.int32)}, ValueError, "segments"),
    ],
)
def test_bad_bars_are_named(
    engine: str, native: Native, change: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        run(replace(flat_market(9), **change), one_set(), engine, native)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"point": 0.0}, "point 0.0"),
        ({"slippage": -POINT}, "slippage"),
        ({"slippage": POINT / 2}, "slippage .* whole number of points"),
        ({"point": 3 * POINT, "slippage": 0.0}, "bid_open of bar 0 .* finest step"),
        ({"point": 1e-9}, "range over"),
    ],
)
def test_bad_numbers_are_named(
    engine: str, native: Native, options: dict[str, Any], message: str
) -> None:
    here = flat_market(9)
    here.quotes["ask_high"][3] = 2.0
    with pytest.raises(ValueError, match=message):
        run(here, one_set(), engine, native, **options)


@pytest.mark.parametrize("price", [np.nan, np.inf, 1 + POINT / 2])
def test_a_price_off_the_grid_is_named(engine: str, native: Native, price: float) -> None:
    here = flat_market(9)
    here.quotes["ask_low"][4] = price
    with pytest.raises(ValueError, match=r"ask_low of bar 4"):
        run(here, one_set(), engine, native)


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"threshold": np.array([np.nan], np.float32)}, ValueError, "threshold"),
        ({"threshold": np.array([0.5])}, TypeError, "threshold"),
        ({"stop": np.zeros(1, np.float32)}, ValueError, "stop"),
        ({"target": np.array([np.nan], np.float32)}, ValueError, "target"),
        ({"target": np.ones(2, np.float32)}, ValueError, "target"),
        ({"horizon": np.zeros(1, np.int32)}, ValueError, "horizon"),
    ],
)
def test_bad_sets_are_named(change: dict[str, Any], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        replace(one_set(), **change)


def test_a_table_that_is_too_large_is_refused(engine: str, native: Native) -> None:
    here = replace(flat_market(2000), days=np.arange(2000, dtype=np.int32))
    sets = SweepSets.grid(thresholds=np.linspace(0, 1, 1000), horizons=range(1, 1001))
    with pytest.raises(ValueError, match=r"daily needs 7\.5 GiB"):
        run(here, sets, engine, native)
