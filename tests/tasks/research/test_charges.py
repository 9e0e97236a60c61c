"""Commission and swap: the same in outcomes and simulation, and the way from gross to net."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.market.financing import Financing
from infra.market.quotes import Costs
from infra.market.spreads import SHAPE
from kernels.outcomes import SIDES
from tasks.document import from_plain, to_plain
from tasks.research.knowledge import with_costs
from tasks.research.recipe import Recipe
from tasks.research.resolve import resolve
from tasks.research.simulation import Simulation, simulate
from tests.infra.market.test_financing import charged
from tests.tasks.frames import (
    START,
    bars_of,
    flat_bars,
    one_segment,
    random_bars,
    random_signals,
    signals_of,
)

N, HORIZON = 600, 30
RATES = {"swap_long": -0.4, "swap_short": 0.3}
RECIPE = Recipe.default(
    "EUR_USD", "H1", horizon=HORIZON, spread=0.02, slippage=0.005, commission=0.01,
    spread_hours=SHAPE, stop_deviations=2.0, target_deviations=1.0, weekend=True, **RATES,
)  # fmt: skip
FREE = replace(RECIPE, commission=0.0, swap_long=0.0, swap_short=0.0)


def known(bars: pl.DataFrame) -> pl.DataFrame:
    """Return what `measure` would say that counts here."""
    return bars.with_columns(sigma=1e-3, segment=pl.lit(0, pl.Int32))


def traded(recipe: Recipe, signals: pl.DataFrame, bars: pl.DataFrame, **options: Any) -> Simulation:
    segments = one_segment(bars.height)
    return simulate(
        bars, signals, segments=segments, horizon=recipe.horizon, costs=recipe.costs, **options
    )


def of_recipe(bars: pl.DataFrame, signals: pl.DataFrame) -> dict[str, pl.Series]:
    """Return stop and target of signals as the recipe has them."""
    unit = bars["close"].gather(signals["position"]) * 1e-3 * HORIZON**0.5
    return {"stop": 2.0 * unit, "target": unit}


def test_outcomes_pay_commission_twice_and_every_night() -> None:
    bars = random_bars(N, seed=3)
    paid, free = (resolve(bars, known(bars), recipe, engine="cpu") for recipe in (RECIPE, FREE))
    np.testing.assert_array_equal(paid.exit_bar, free.exit_bar)
    np.testing.assert_array_equal(paid.entry_price, free.entry_price)
    starts = bars["timestamp"].to_list()
    for t in range(N):
        for side, rate in enumerate(RATES.values()):
            if (leave := free.exit_bar[t, side]) < 0:
                assert np.isnan(paid.gain[t, side])
                assert paid.win[t, side] == -1
                continue
            gain = free.gain[t, side] - 2 * 0.01 / free.entry_price[t, side]
            gain += rate * charged(starts[t + 1], starts[leave]) / 365
            assert paid.gain[t, side] == pytest.approx(gain, abs=1e-15)
            assert paid.win[t, side] == (gain > 0)
    assert (paid.win != free.win).any()


def test_what_charges_nothing_changes_nothing() -> None:
    bars = random_bars(100, seed=3)
    days = replace(FREE, swap_days=(9,) * 7)
    one, two = (resolve(bars, known(bars), recipe, engine="cpu") for recipe in (FREE, days))
    np.testing.assert_array_equal(one.gain, two.gain)


@pytest.mark.parametrize("seed", range(3))
def test_a_simulated_trade_gains_its_outcome(seed: int) -> None:
    bars = random_bars(N, seed=seed)
    signals = random_signals(bars, seed=seed + 9, share=0.1)
    out = resolve(bars, known(bars), RECIPE, engine="cpu")
    trades = traded(RECIPE, signals, bars, **of_recipe(bars, signals)).trades
    whole = trades.filter(pl.col("exit_reason") != "opposite")
    assert {*whole["exit_reason"]} >= {"stop", "target"}
    for trade in whole.iter_rows(named=True):
        bar = int((trade["signal_time"] - START) / timedelta(hours=1))
        assert trade["gain"] == out.gain[bar, SIDES.index(trade["side"])]


@pytest.mark.parametrize("seed", range(3))
def test_every_trade_pays_its_nights_also_one_that_is_closed_early(seed: int) -> None:
    bars = random_bars(N, seed=seed)
    signals = random_signals(bars, seed=seed + 9, share=0.1)
    trades = traded(RECIPE, signals, bars).trades
    assert {*trades["exit_reason"]} == {"opposite", "time"}
    for trade in trades.iter_rows(named=True):
        days = charged(trade["entry_time"], trade["exit_time"])
        assert trade["swap"] == pytest.approx(RATES[f"swap_{trade['side']}"] * days / 365)
        assert trade["commission"] == 2 * 0.01 / trade["entry_price"]
        sign = 1 if trade["side"] == "long" else -1
        move = sign * (trade["exit_price"] - trade["entry_price"]) / trade["entry_price"]
        assert trade["gain"] == pytest.approx(move - trade["commission"] + trade["swap"])


@pytest.mark.parametrize("price", [1e-4, 1.0, 100.0, 1e5])
@pytest.mark.parametrize("barriers", [True, False])
def test_from_gross_to_net_nothing_is_missing(price: float, barriers: bool) -> None:
    bars = random_bars(N, seed=5, price=price)
    signals = random_signals(bars, seed=6)
    scale = price / 100
    recipe = replace(RECIPE, spread=0.02 * scale, slippage=0.005 * scale, commission=0.01 * scale)
    options = of_recipe(bars, signals) if barriers else {}
    trades = traded(recipe, signals, bars, **options).trades
    assert trades.height > 20
    spent = trades["spread"] + trades["slippage"] + trades["commission"] - trades["swap"]
    assert (trades["gross"] - spent - trades["gain"]).abs().max() < 1e-12  # type: ignore[operator]
    assert (trades["cost"] - spent).abs().max() < 1e-12  # type: ignore[operator]
    assert trades.select(pl.col("spread", "slippage", "commission").min() > 0).row(0) == (True,) * 3


@pytest.mark.parametrize(("side", "earned"), [("long", -3 * 0.4), ("short", 3 * 0.3)])
def test_a_night_of_wednesday_costs_a_long_and_pays_a_short(side: str, earned: float) -> None:
    bars = flat_bars(80)  # from Monday on: Wednesday 17:00 New York is bar 70
    marks = signals_of({68: side}, bars)
    costs = Costs(financing=Financing(-0.4, 0.3))
    (gain,) = simulate(bars, marks, segments=one_segment(80), horizon=1, costs=costs).trades["gain"]
    assert gain == pytest.approx(earned / 365)
    later = signals_of({69: side}, bars)
    (gain,) = simulate(bars, later, segments=one_segment(80), horizon=1, costs=costs).trades["gain"]
    assert gain == 0.0


def test_equity_is_charged_while_a_trade_is_held() -> None:
    bars = flat_bars(100)
    costs = Costs(commission=0.5, financing=Financing(-0.365))
    found = simulate(
        bars, signals_of({0: "long"}, bars), segments=one_segment(100), horizon=80, costs=costs
    )
    nights = [0] * 22 + [1] * 24 + [2] * 24 + [5] * 11  # 22:00 of each day, Wednesday threefold
    expected = [1.0] + [1 - 0.01 - 1e-3 * days for days in nights[1:]]
    assert found.equity["equity"].head(81).to_list() == pytest.approx(expected)
    assert found.equity["equity"][-1] == 1 + found.trades["gain"].item()


def test_an_entry_over_a_weekend_pays_the_first_price_after_it() -> None:
    hours = random_bars(17 * 24, seed=1)
    local = pl.col("timestamp").dt.convert_time_zone("America/New_York")
    minute = (local.dt.weekday() - 1).cast(pl.Int32) * 24 + local.dt.hour()
    bars = hours.filter((minute < 4 * 24 + 17) | (minute >= 6 * 24 + 17))
    friday = bars["timestamp"].diff().arg_max() - 1  # type: ignore[operator]
    costs = Costs(spread=0.02, slippage=0.005, hours=SHAPE)
    trade = simulate(
        bars,
        signals_of({friday: "long"}, bars),
        segments=one_segment(bars.height),
        horizon=3,
        costs=costs,
    ).trades.row(0, named=True)
    assert trade["entry_time"] - trade["signal_time"] == timedelta(hours=49)
    sunday = bars["open"][friday + 1]
    assert trade["entry_price"] == pytest.approx(sunday + 0.01 * 7.69 + 0.005)
    assert trade["spread"] * trade["entry_price"] == pytest.approx(0.01 * (7.69 + 1.15))


def test_a_bar_that_touches_stop_and_target_is_the_loss_in_outcomes_and_trades() -> None:
    flat = (100.0, 100.0, 100.0, 100.0)
    bars = bars_of([flat, (100.0, 103.0, 97.0, 100.0), *[flat] * 4])
    recipe = replace(FREE, horizon=3, stop_deviations=1.0, target_deviations=1.0)
    out = resolve(bars, known(bars).with_columns(sigma=1e-2 / 3**0.5), recipe, engine="cpu")
    assert out.win[0].tolist() == [0, 0]
    for number, side in enumerate(SIDES):
        found = traded(recipe, signals_of({0: side}, bars), bars, stop=1.0, target=1.0)
        assert found.trades["exit_reason"].to_list() == ["stop"]
        assert found.trades["gain"].item() == pytest.approx(out.gain[0, number])


def test_commission_is_a_cost_that_learners_see() -> None:
    bars = random_bars(50, seed=1)
    paid, free = (with_costs(known(bars), bars, recipe)["cost"] for recipe in (RECIPE, FREE))
    unit = 1e-3 * HORIZON**0.5 * bars["close"]
    assert (paid - free).to_list() == pytest.approx((0.02 / unit).to_list())


def test_a_recipe_of_before_has_no_charges() -> None:
    plain = to_plain(RECIPE)
    for name in ("commission", "spread_hours", "spread_source", *RATES, "swap_days"):
        del plain[name]
    assert from_plain(Recipe, plain) == replace(FREE, spread_hours=())
    assert from_plain(Recipe, to_plain(RECIPE)) == RECIPE
    with pytest.raises(ValueError, match="must not be negative"):
        replace(RECIPE, commission=-1.0)
