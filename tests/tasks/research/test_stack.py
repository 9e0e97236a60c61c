"""The stack: weights by what was proved out of fold, and a slope that sees an edge die."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from tasks.research.learners.folds import DRAWS, Folds
from tasks.research.learners.rows import Labels
from tasks.research.stack import INTERCEPT, Stack, moved
from tests.tasks.research.learners.planted import outcomes

Floats = NDArray[np.float64]
BASE = np.zeros(2)


def fit(
    odds: Floats, *said: Floats, seed: int = 0, base: Floats = BASE, horizon: int = 1
) -> tuple[Stack, Labels, Folds]:
    """Fit rows that won by log-odds [n] to what learners said of longs, [n] each."""
    n = len(odds)
    position = np.arange(n) * horizon
    labels = Labels.of(position, outcomes(odds, seed=seed), horizon)
    forward = int(position[2 * n // 3])
    cut = Folds.cut(position, forward=forward, horizon=horizon, seed=seed)
    apart = np.stack([np.column_stack([each, -each]) for each in said], axis=-1)
    ahead = np.where((position >= forward)[:, None, None], apart, np.nan)
    return Stack.fit(base, apart, ahead, labels, cut, seed), labels, cut


def noise(n: int, scale: float, seed: int) -> Floats:
    return np.random.default_rng([seed, 9]).normal(0, scale, n)


def test_a_perfect_learner_gets_about_one_and_a_useless_one_nothing() -> None:
    weights = []
    for seed in range(6):
        truth = noise(12_000, 0.6, seed)
        stack, *_ = fit(truth, truth, noise(12_000, 0.6, 100 + seed), seed=seed)
        assert (stack.weights >= 0).all()
        assert (stack.drawn_weights >= 0).all()
        weights.append(stack.slope * stack.weights)
    perfect, useless = np.mean(weights, axis=0)
    assert perfect == pytest.approx(1, abs=0.06)
    assert useless < 0.03


def test_a_learner_that_is_wrong_gets_exactly_nothing() -> None:
    truth = noise(6_000, 0.6, 1)
    stack, *_ = fit(truth, truth, -truth)
    assert stack.weights[1] == 0
    assert (stack.drawn_weights[:, 1] == 0).all()


def test_alone_a_useless_learner_leaves_the_base_rate() -> None:
    moves = []
    for seed in range(8):
        said = noise(4_000, 0.5, 50 + seed)
        stack, *_ = fit(np.zeros(4_000), said, seed=seed)
        told = stack.apply(np.column_stack([said, -said])[:, :, None])
        moves.append(np.abs(told).mean())
    assert np.mean(moves) < 0.03


def test_one_who_exaggerates_is_drawn_back() -> None:
    truth = noise(20_000, 0.4, 3)
    stack, *_ = fit(truth, 3 * truth)
    assert stack.slope * stack.weights[0] == pytest.approx(1 / 3, abs=0.04)


def test_two_who_know_different_things_add_up() -> None:
    one, two = noise(20_000, 0.4, 4), noise(20_000, 0.4, 5)
    stack, *_ = fit(one + two, one, two)
    np.testing.assert_allclose(stack.slope * stack.weights, 1, atol=0.1)


def test_the_slope_keeps_a_living_edge_and_damps_a_dead_one() -> None:
    living, dead = [], []
    for seed in range(12):
        truth = noise(3_000, 0.8, 20 + seed)
        alive = np.where(np.arange(3_000) < 2_000, truth, 0.0)
        living.append(fit(truth, truth, seed=seed)[0].slope)
        dead.append(fit(alive, truth, seed=seed)[0].slope)
    assert np.mean(living) > 0.9
    assert min(living) > 0.75
    assert np.mean(dead) < 0.35
    assert max(dead) < 0.6


def test_the_slope_hangs_on_the_calibration_span_alone() -> None:
    truth = noise(3_000, 0.8, 7)
    n = len(truth)
    position = np.arange(n)
    labels = Labels.of(position, outcomes(truth), 1)
    cut = Folds.cut(position, forward=2_000, horizon=1, seed=0)
    apart = np.column_stack([truth, -truth])[:, :, None]
    ahead = np.where((position >= 2_000)[:, None, None], apart, np.nan)
    slope = Stack.fit(BASE, apart, ahead, labels, cut, 0).slope
    without = np.where((position < 2_000)[:, None, None], apart, np.nan)
    other = Stack.fit(BASE, without, np.full_like(ahead, np.nan), labels, cut, 0).slope
    assert slope != other
    # asked of nothing it believes what it did beforehand
    assert other == pytest.approx(0.95, abs=0.01)


def test_silence_moves_nothing() -> None:
    truth = noise(4_000, 0.6, 8)
    stack, *_ = fit(truth, truth, noise(4_000, 0.6, 9))
    silent = np.full((3, 2, 2), np.nan)
    expected = stack.base + stack.slope * stack.intercepts
    np.testing.assert_array_equal(stack.apply(silent), np.tile(expected, (3, 1)))
    assert moved(np.array([[np.nan, 0.5]]), np.array([0.2, 0.2])).tolist() == [[0, 0.3]]


def test_the_base_rate_is_the_offset() -> None:
    base = logit(np.array([0.3, 0.6]))
    rng = np.random.default_rng(1)
    win = (rng.random((4_000, 2)) < [0.3, 0.6]).astype(np.int8)
    labels = Labels.of(np.arange(4_000), win, 1)
    cut = Folds.cut(np.arange(4_000), forward=3_000, horizon=1, seed=0)
    said = base[:, None] + rng.normal(0, 0.3, (4_000, 2, 1))
    stack = Stack.fit(base, said, said, labels, cut, 0)
    told = expit(stack.apply(said))
    np.testing.assert_allclose(told.mean(axis=0), [0.3, 0.6], atol=0.015)
    assert np.abs(stack.intercepts).max() < 2 * INTERCEPT


def test_the_spread_of_draws_is_that_of_other_histories() -> None:
    """Weights fitted anew on histories of the same law scatter as the draws of one say."""
    anew, told = [], []
    for seed in range(16):
        truth = noise(2_000, 0.8, 300 + seed)
        stack, *_ = fit(truth, truth, seed=seed)
        anew.append(stack.weights[0])
        told.append(stack.drawn_weights[:, 0].std())
    assert np.mean(told) == pytest.approx(np.std(anew), rel=0.5)


def test_rows_are_combined_one_by_one() -> None:
    truth = noise(1_000, 0.6, 10)
    stack, *_ = fit(truth, truth, 0.5 * truth)
    rng = np.random.default_rng(2)
    said, drawn = rng.normal(0, 1, (300, 2, 2)), rng.normal(0, 1, (2, 300, 2, DRAWS))
    whole = stack.apply(said)
    doubt = stack.deviation(dict(enumerate(drawn)), 300)
    for part in (slice(0, 1), slice(17, 24), slice(299, 300)):
        np.testing.assert_array_equal(stack.apply(said[part]), whole[part])
        few = {number: each[part] for number, each in enumerate(drawn)}
        alone = stack.deviation(few, part.stop - part.start)
        np.testing.assert_array_equal(alone, doubt[part])


def test_the_deviation_is_that_of_the_draws() -> None:
    truth = noise(1_000, 0.6, 11)
    stack, *_ = fit(truth, truth)
    drawn = np.random.default_rng(3).normal(0, 1, (5, 2, DRAWS))
    moves = drawn - stack.base[:, None]
    odds = stack.drawn_slopes * (stack.drawn_intercepts.T + stack.drawn_weights[:, 0] * moves)
    odds = odds + stack.drawn_base.T
    np.testing.assert_allclose(stack.deviation({0: drawn}, 5), odds.std(axis=2, ddof=1))


def plain(stack: Stack) -> Any:
    return json.loads(json.dumps(stack.to_dict(), allow_nan=False))


def test_plain_values_come_back_exactly() -> None:
    truth = noise(1_000, 0.6, 12)
    for stack in (fit(truth, truth, -truth)[0], Stack.of_base_rates(logit([0.3, 0.5]), 12.0)):
        again = Stack.from_dict(plain(stack))
        for name, value in vars(stack).items():
            np.testing.assert_array_equal(getattr(again, name), value)
            assert np.shape(getattr(again, name)) == np.shape(value)


def test_base_rates_are_told_with_the_doubt_that_so_few_outcomes_leave() -> None:
    base = logit(np.array([0.3, 0.5]))
    few, many = (Stack.of_base_rates(base, outcomes) for outcomes in (15.0, 1_500.0))
    for stack, n in ((few, 15), (many, 1_500)):
        np.testing.assert_array_equal(stack.apply(np.empty((4, 2, 0))), np.tile(base, (4, 1)))
        rate = np.array([0.3, 0.5])
        said = stack.deviation({}, 4)
        wanted = np.tile(1 / np.sqrt((n + 1) * rate * (1 - rate)), (4, 1))
        np.testing.assert_allclose(said, wanted, rtol=0.02)


def test_a_seed_is_a_draw_of_slopes() -> None:
    truth = noise(1_000, 0.6, 13)
    first, *_ = fit(truth, truth, seed=1)
    same, *_ = fit(truth, truth, seed=1)
    np.testing.assert_array_equal(first.drawn_slopes, same.drawn_slopes)
    assert (first.drawn_slopes >= 0).all()
    changed = replace(first, slope=0.0)
    np.testing.assert_array_equal(changed.apply(np.ones((2, 2, 1))), np.zeros((2, 2)))
