"""A grid trades as a simulation of each of its sets does, in whole points."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.market.days import trading_day
from infra.market.quotes import Costs
from kernels.device import gpu_unavailable
from kernels.outcomes import SIDES
from kernels.statistics.sharpe import effective_trials, sharpe_ratio
from tasks.research.recipe import Recipe
from tasks.research.resolve import distances
from tasks.research.simulation import quotes, simulate
from tasks.rules import swept as parts
from tasks.rules.grid import Grid, GridError, values_of
from tasks.rules.swept import Swept, point_of, swept
from tests.tasks.frames import random_bars, signals_of

NO_GPU = gpu_unavailable()
GPU = [pytest.mark.gpu, pytest.mark.skipif(NO_GPU is not None, reason=f"gpu: {NO_GPU}")]
ENGINES = ["cpu", pytest.param("gpu", marks=GPU)]
N = 1_200
COSTS = Costs(spread=0.04, slippage=0.01)
GRID = Grid((0.1, 0.6, 0.9), (3, 20), (0.7, 2.5, math.inf), (1.3, math.inf))


def metrics_of(bars: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Deviations that are missing at first, and once zero; segments that end."""
    rng = np.random.default_rng(seed)
    sigma = 1e-3 * np.exp(0.2 * rng.standard_normal(bars.height))
    sigma[:40], sigma[500] = np.nan, 0.0
    segment = np.cumsum(rng.random(bars.height) < 0.01).astype(np.int32)
    return bars.select("timestamp", "close").with_columns(sigma=sigma, segment=segment)


def case(seed: int, *, quoted: bool = False) -> tuple[pl.DataFrame, pl.DataFrame, Any, Any]:
    rng = np.random.default_rng(seed)
    bars = random_bars(N, seed=seed)
    if quoted:
        bars = bars.with_columns(pl.col("open", "high", "low", "close").round(3))
    score = rng.random((N, 2)).astype(np.float32)
    score[rng.random((N, 2)) < 0.1] = np.nan
    score[40:][np.isnan(score[40:]).all(axis=1)] = 0.0
    score[:40], score[500] = np.nan, np.nan
    return bars, metrics_of(bars, seed), score, rng.random(N) < 0.05


def simulated(seed: int, number: int) -> tuple[int, float]:
    """Trades and the sum of their moves, of the rules that a recipe of the same figures has."""
    bars, metrics, score, closing = case(seed)
    threshold, horizon, stop, target = GRID.values(number)
    recipe = Recipe(
        "PLANTED", "H1", int(horizon), COSTS.spread, COSTS.slippage,
        stop_deviations=stop, target_deviations=target,
    )  # fmt: skip
    best = np.fmax(score[:, 0], score[:, 1])
    rows = np.flatnonzero(best >= np.float32(threshold))
    sides = np.where(best[rows] == score[rows, 0], *SIDES)
    signals = signals_of(dict(zip(rows.tolist(), sides.tolist(), strict=True)), bars)
    stops, targets = distances(metrics, recipe)
    trades = simulate(
        bars,
        signals,
        segments=metrics["segment"].to_numpy(),
        horizon=recipe.horizon,
        costs=COSTS,
        stop=pl.Series(stops)[rows],
        target=pl.Series(targets)[rows],
        closing=closing,
    ).trades
    direction = np.where(trades["side"] == "long", 1, -1)
    moves = direction * (trades["exit_price"] - trades["entry_price"]).to_numpy()
    return trades.height, float(moves.sum())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(2))
def test_each_set_trades_as_a_simulation_does(engine: str, seed: int) -> None:
    bars, metrics, score, closing = case(seed)
    found = swept(bars, metrics, score, GRID, COSTS, closing=closing, engine=engine)
    assert 0 < found.rounded <= found.point <= 1e-6
    for number in range(len(GRID)):
        trades, profit = simulated(seed, number)
        assert found.result.trades[number] == trades
        assert found.result.profit[number] == pytest.approx(profit, abs=2 * found.point * trades)
    assert found.result.trades.sum() > 1_000


def run(**options: Any) -> Swept:
    bars, metrics, score, closing = case(1, quoted=True)
    return swept(bars, metrics, score, GRID, COSTS, closing=closing, engine="cpu", **options)


def test_daily_returns_are_shares_of_the_price_at_which_a_day_opened() -> None:
    bars, found = case(1, quoted=True)[0], run()
    assert found.daily is not None
    assert (found.point, found.rounded) == (1e-3, 0.0)
    assert found.daily.shape == (len(found.days), len(GRID))
    opens = bars.group_by(trading_day(bars["timestamp"]).alias("day"), maintain_order=True).agg(
        pl.first("open")
    )
    assert opens["day"].to_list() == list(found.days)
    moves = (found.daily * opens["open"].to_numpy()[:, None]).sum(axis=0)
    np.testing.assert_allclose(moves, found.result.profit, atol=1e-5)
    np.testing.assert_allclose(found.net, found.daily.sum(axis=0))
    np.testing.assert_allclose(found.sharpe, sharpe_ratio(found.daily))
    assert found.sharpe[found.best] == found.sharpe.max() == found.sharpe[found.ranked(3)[0]]
    np.testing.assert_array_equal(found.best_daily, found.daily[:, found.best])
    assert found.effective == pytest.approx(effective_trials(found.daily))


def test_parts_are_told_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run()
    shares: list[float] = []
    monkeypatch.setattr(parts, "CELLS", 7 * len(whole.days))
    found = run(daily=False, progress=shares.append)
    assert found.daily is None
    assert shares == [7 / 36, 14 / 36, 21 / 36, 28 / 36, 35 / 36, 1.0]
    for name in ("sharpe", "net", "drawdown", "best_daily"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    for name in ("trades", "wins", "profit", "day_sum"):
        np.testing.assert_array_equal(getattr(found.result, name), getattr(whole.result, name))
    assert found.best == whole.best
    assert found.effective == pytest.approx(whole.effective)
    assert found.deflated().best_logged == pytest.approx(whole.deflated().best_logged)


def test_sets_are_all_combinations_in_deviations_of_their_own_horizon() -> None:
    sets = GRID.sets()
    assert GRID.shape == (3, 2, 3, 2)
    assert len(GRID) == len(sets) == 36
    for number, (threshold, horizon, stop, target) in enumerate(product(*GRID.axes)):
        assert GRID.values(number) == (threshold, horizon, stop, target)
        assert GRID.at(number).axes == ((threshold,), (horizon,), (stop,), (target,))
        assert sets.horizon[number] == horizon
        assert sets.stop[number] == pytest.approx(stop * math.sqrt(horizon))
        assert sets.target[number] == pytest.approx(target * math.sqrt(horizon))


def test_neighbours_lie_one_step_away() -> None:
    corner = GRID.neighbours(0)
    assert [GRID.values(number) for number in corner] == [
        (0.6, 3, 0.7, 1.3), (0.1, 20, 0.7, 1.3), (0.1, 3, 2.5, 1.3), (0.1, 3, 0.7, math.inf),
    ]  # fmt: skip
    middle = int(np.ravel_multi_index((1, 0, 1, 0), GRID.shape))
    assert len(GRID.neighbours(middle)) == 6
    assert GRID.at(3).neighbours(0) == []


def test_a_spike_is_told_from_a_plateau() -> None:
    found = run()
    found.sharpe[:] = 0.1
    number = int(np.ravel_multi_index((1, 0, 1, 0), GRID.shape))
    found.sharpe[number] = 0.5
    found.sharpe[GRID.neighbours(number)[0]] = -0.2
    found.sharpe[GRID.neighbours(number)[1]] = np.nan
    spike = found.plateau(number)
    assert spike.mean == pytest.approx((0.4 - 0.2) / 6)
    assert (spike.least, spike.count) == (-0.2, 6)


def test_defaults_are_a_few_thousand_sets_around_the_horizon() -> None:
    grid = Grid.default(8, case(0)[2])
    assert 2_000 <= len(grid) <= 5_000
    assert grid.horizons[0] == 2
    assert grid.horizons[-1] == 32
    assert 8 in grid.horizons
    assert 0.0 in grid.thresholds
    best = np.fmax(*case(0)[2].T)
    best = best[np.isfinite(best)]
    assert (best >= grid.thresholds[-1]).mean() == pytest.approx(0.005, abs=0.003)
    assert Grid.default(1).horizons == (1, 2, 3, 4)
    with pytest.raises(GridError, match="no bar has a score"):
        Grid.default(8, np.full((4, 2), np.nan))


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (((), (3,)), "no threshold is given"),
        (((0.1,), ()), "no horizon is given"),
        (((0.1,), (3,), ()), "no stop is given"),
        (((0.1,), (3,), (1.0,), ()), "no target is given"),
        (((0.2, 0.1), (3,)), "threshold must ascend"),
        (((math.nan,), (3,)), "threshold must be finite"),
        (((0.1,), (0, 3)), "horizon must be above zero"),
        (((0.1,), (3,), (-1.0, 1.0)), "stop must be above zero"),
        (((0.1,), (3,), (math.nan,)), "stop must be above zero"),
    ],
)
def test_what_is_no_grid_is_refused(axes: Any, said: str) -> None:
    with pytest.raises(GridError, match=said):
        Grid(*axes)


@pytest.mark.parametrize(
    ("text", "axis", "values"),
    [
        ("0:0.3:4", "threshold", (0.0, 0.1, 0.2, 0.3)),
        ("-0.1:-0.1:1", "threshold", (-0.1,)),
        ("1:4:10", "horizon", (1, 2, 3, 4)),
        ("2, 1,none", "stop", (1.0, 2.0, math.inf)),
    ],
)
def test_values_are_spaced_or_listed(text: str, axis: str, values: tuple[float, ...]) -> None:
    assert values_of(text, axis) == values


@pytest.mark.parametrize(
    "text", ["", "1:2", "1:2:0", "2:1:3", "-inf:1:3", "1:inf:3", "1:2:3:4", "a"]
)
def test_values_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(GridError, match="neither low:high:count"):
        values_of(text, "stop")


def test_sets_that_traded_alike_are_ranked_once() -> None:
    found = run()
    far = replace(found, sharpe=np.repeat(found.sharpe, 2), net=np.repeat(found.net, 2))
    twice = replace(far, result=replace(found.result, trades=np.repeat(found.result.trades, 2)))
    distinct = [2 * number for number in found.ranked(36)]
    assert len(distinct) > 20
    assert twice.ranked(100) == distinct


def test_points_are_those_of_the_quotes_or_the_finest_that_fit() -> None:
    bars = random_bars(200, seed=1).with_columns(pl.col("open", "high", "low", "close").round(2))
    assert point_of(quotes(bars, Costs())) == 1e-2
    assert point_of(quotes(bars, Costs(spread=0.03))) == 1e-3
    assert point_of(quotes(bars, Costs(spread=0.02)), 0.0001) == 1e-4
    assert point_of(quotes(bars, Costs(spread_share=1e-5))) <= 1e-6
    assert point_of(quotes(bars.with_columns(pl.lit(7000.0).alias("open")), Costs())) == 1e-2
    below_one = bars.select(pl.col("timestamp"), pl.col("^(open|high|low|close)$") / 1e6)
    assert point_of(quotes(below_one, Costs())) == 1e-8


def test_where_nothing_can_be_said_the_reason_is() -> None:
    bars, metrics, score, _ = case(0)
    with pytest.raises(GridError, match="no bars"):
        swept(bars.head(0), metrics.head(0), score[:0], GRID, COSTS)
    silent = swept(bars, metrics, np.full((N, 2), np.nan), GRID, COSTS, engine="cpu")
    assert silent.ranked() == []
    assert not silent.result.trades.any()
    with pytest.raises(GridError, match="0 of 36 sets traded"):
        silent.deflated()
    few = swept(bars[:300], metrics[:300], score[:300], GRID, COSTS, engine="cpu")
    with pytest.raises(GridError, match=r"13 rows of at least 20: 7 are missing"):
        few.deflated()
