"""Baselines: what each may know, and that it tells what it can."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from kernels.evaluation import brier_skill
from tasks.reports.baselines import BASELINES, History, baselines
from tests.tasks.frames import predictions_of, random_predictions

HORIZON = 2
N = 8000
SPLIT = np.repeat(["library", "calibration", "test"], [N // 2, N // 4, N // 4])
SLOW = ("random neighbours",)


def history(moves: NDArray[np.float64], long: NDArray[np.bool_]) -> History:
    """Bars of such log returns, whose long trade wins or loses, and the short one otherwise."""
    close = 100 * np.exp(np.cumsum(moves))
    wins = {"win_long": long.astype(int), "win_short": (~long).astype(int)}
    return History.of(predictions_of(N, close=close, split=SPLIT, **wins), HORIZON, seed=0)


def skill(given: History, name: str) -> float:
    test, said = given.rows("test"), baselines(given)[name]
    return brier_skill(said[:, 0], given.win[test, 0], given.base()[0])


def follows(weight: float, seed: int = 1) -> History:
    """Trades that win the more often, the further the last two bars moved their way."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 1e-3, N)
    last = moves + np.concatenate([[0], moves[:-1]])
    return history(moves, rng.random(N) < 0.5 + weight * np.sign(last))


def test_persistence_and_reversal_tell_their_own_way_alone() -> None:
    along, against = follows(0.2), follows(-0.2)
    assert skill(along, "sign persistence") > 0.1
    assert skill(along, "sign reversal") == 0.0
    assert skill(against, "sign reversal") > 0.1
    assert skill(against, "sign persistence") == 0.0


def test_the_regression_finds_returns_that_tell() -> None:
    assert skill(follows(0.3), "logistic on five returns") > 0.15
    assert skill(follows(0.0), "logistic on five returns") < 0.01


def test_random_neighbours_know_the_hour_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    hour = np.arange(N) % 24
    given = history(rng.normal(0, 1e-3, N), rng.random(N) < np.where(hour < 8, 0.8, 0.4))
    assert skill(given, "random neighbours") > 0.05
    for lost in (skill(follows(0.3), each) for each in SLOW):
        assert abs(lost) < 0.01


def test_the_base_rate_has_no_skill() -> None:
    assert skill(follows(0.2), "base rate") == 0.0


@pytest.mark.parametrize("name", list(BASELINES))
def test_what_became_of_the_test_span_is_not_looked_at(name: str) -> None:
    frame = random_predictions(3000, seed=3)
    test = pl.col("split") == "test"
    flipped = frame.with_columns(
        pl.when(test).then(1 - pl.col(each)).otherwise(pl.col(each)).alias(each)
        for each in ("win_long", "win_short")
    )
    one, other = (baselines(History.of(each, HORIZON, 0))[name] for each in (frame, flipped))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [each for each in BASELINES if each not in SLOW])
def test_later_prices_are_not_looked_at(name: str) -> None:
    frame = random_predictions(3000, seed=4)
    late = pl.col("position") > 2900
    poisoned = frame.with_columns(close=pl.when(late).then(1e6).otherwise(pl.col("close")))
    one, other = (baselines(History.of(each, HORIZON, 0))[name] for each in (frame, poisoned))
    rows = 2901 - frame.filter(pl.col("split") == "test")["position"][0]
    np.testing.assert_array_equal(one[:rows], other[:rows])


def test_the_same_seed_draws_the_same_neighbours() -> None:
    frame = random_predictions(3000, seed=5)
    one, other, another = (
        baselines(History.of(frame, HORIZON, seed))["random neighbours"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, other)
    assert one.shape == another.shape


def test_where_nothing_is_known_the_base_rate_is_said() -> None:
    frame = random_predictions(600, seed=6)
    unknown = frame.with_columns(
        close=pl.lit(None, pl.Float64), timestamp=pl.col("timestamp") + timedelta(days=7)
    )
    given = History.of(unknown, HORIZON, 0)
    for name in ("sign persistence", "logistic on five returns"):
        np.testing.assert_array_equal(baselines(given)[name], baselines(given)["base rate"])


def test_bars_of_one_span_alone_are_told_nothing() -> None:
    frame = predictions_of(50)
    for said in baselines(History.of(frame, HORIZON, 0)).values():
        assert said.shape == (50, 2)
        assert np.isnan(said).all()
