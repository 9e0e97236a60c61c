"""What a probability is worth: the planted line comes back, and caution is what grew most."""

from __future__ import annotations

from math import log1p
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit

from tasks.research.gains import CAUTIONS, GainLine, choose_caution, growth

Floats = NDArray[np.float64]


def two_point(rate: float, won: float, lost: float, n: int = 30_000) -> Floats:
    """Return gains of both sides of which a share `rate` won `won`, and the others lost `lost`."""
    gain = np.where(np.arange(n) < round(rate * n), won, -lost)
    return np.column_stack([gain, gain])


@pytest.mark.parametrize(("mean", "slope"), [((0.1, -0.3), 0.9), ((-0.2, -0.2), 0.05)])
def test_a_planted_line_comes_back(mean: tuple[float, float], slope: float) -> None:
    rng = np.random.default_rng(1)
    moved = rng.normal([0.2, -0.1], 0.5, (40_000, 2))
    gain = mean + slope * moved + rng.normal(0, 1, moved.shape)
    line = GainLine.fit(gain, moved, rng.uniform(0.5, 1, len(gain)))
    assert line.slope == pytest.approx(slope, abs=0.02)
    assert line.mean == pytest.approx(np.full(2, np.mean(mean)), abs=0.02)  # of both sides
    np.testing.assert_allclose(line.expected(moved[:3]), line.mean + line.slope * moved[:3])


@pytest.mark.parametrize(("won", "lost"), [(1.0, 1.0), (2.0, 1.0), (1.0, 4.0)])
def test_break_even_of_two_points_at_the_base_rate_is_exact(won: float, lost: float) -> None:
    rate = lost / (won + lost)
    gain = two_point(rate, won, lost)
    line = GainLine.fit(gain, np.zeros_like(gain), np.ones(len(gain)))
    assert line.slope == pytest.approx((won + lost) * rate * (1 - rate))
    np.testing.assert_allclose(line.break_even(np.full(2, logit(rate))), rate, rtol=1e-9)


@pytest.mark.parametrize("away", [-0.05, 0.05])
def test_break_even_of_two_points_is_near_what_it_must_be(away: float) -> None:
    rate = 0.4 + away
    gain = two_point(rate, 1.5, 1.0)
    line = GainLine.fit(gain, np.zeros_like(gain), np.ones(len(gain)))
    np.testing.assert_allclose(line.break_even(np.full(2, logit(rate))), 0.4, atol=2e-3)


def test_weights_count_as_repetitions() -> None:
    rng = np.random.default_rng(2)
    moved, gain = rng.normal(0, 1, (2, 500, 2))
    often = rng.integers(0, 4, 500)
    weighed = GainLine.fit(gain, moved, often.astype(float))
    repeated = GainLine.fit(gain.repeat(often, 0), moved.repeat(often, 0), np.ones(often.sum()))
    assert weighed.slope == pytest.approx(repeated.slope)
    assert weighed.mean == pytest.approx(repeated.mean)


def test_a_slope_below_zero_is_none() -> None:
    rng = np.random.default_rng(3)
    moved = rng.normal(0, 1, (5_000, 2))
    line = GainLine.fit(-moved, moved, np.ones(5_000))
    assert line.slope == 0
    np.testing.assert_allclose(line.mean, (-moved).mean())


@pytest.mark.parametrize(("mean", "needed"), [(0.3, 0.0), (0.0, 1.0), (-0.3, 1.0)])
def test_without_a_slope_no_probability_is_enough_or_any_is(mean: float, needed: float) -> None:
    line = GainLine((mean, mean), 0.0)
    assert line.break_even(np.zeros(2)).tolist() == [needed, needed]


@pytest.mark.parametrize("gain", [1.0, -1.0, 0.0])
def test_one_kind_of_outcome_gives_a_line(gain: float) -> None:
    gains = np.full((50, 2), gain)
    line = GainLine.fit(gains, np.zeros((50, 2)), np.ones(50))
    assert line.mean == pytest.approx((gain, gain))
    assert line.slope == 0


def test_nothing_known_is_worth_nothing() -> None:
    nothing = np.empty((0, 2))
    line = GainLine.fit(nothing, nothing, np.empty(0))
    assert (line.mean, line.slope) == ((0.0, 0.0), 0.0)
    assert (expit(np.zeros(2)) < line.break_even(np.zeros(2))).all()


# --- growth ---


def naive_growth(margin: Any, gain: Any, position: Any, exit_bar: Any) -> float:
    total, left = 0.0, -1
    for t in range(len(position)):
        sides = [s for s in (0, 1) if margin[t][s] > 0 and np.isfinite(gain[t][s])]
        if not sides or position[t] < left:
            continue
        best = max(sides, key=lambda s: (margin[t][s], -s))
        total += log1p(gain[t][best])
        left = exit_bar[t][best]
    return total


def trades(seed: int, n: int = 400) -> tuple[Floats, Floats, Floats, Any, Any]:
    rng = np.random.default_rng(seed)
    expected, doubt = rng.normal(0, 1, (n, 2)).round(1), rng.uniform(0, 1, (n, 2))
    gain = rng.normal(0, 1e-2, (n, 2)) + 2e-3 * expected
    for column in (expected, gain):
        column[rng.random((n, 2)) < 0.1] = np.nan
    position = np.cumsum(rng.integers(1, 4, n))
    return expected, doubt, gain, position, position[:, None] + rng.integers(1, 10, (n, 2))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_growth_is_that_of_a_plain_loop(seed: int) -> None:
    expected, doubt, *rest = trades(seed)
    for caution in (0.0, 1.0):
        margin = expected - caution * doubt
        assert growth(margin, *rest) == pytest.approx(naive_growth(margin, *rest), abs=1e-12)


def test_caution_is_the_greatest_of_those_that_grew_most() -> None:
    for seed in range(20):
        expected, doubt, gain, position, exit_bar = trades(seed)
        chosen, grown = choose_caution(expected, doubt, gain, position, exit_bar)
        assert tuple(grown) == CAUTIONS
        best = max(grown.values())
        assert chosen == max(caution for caution in CAUTIONS if grown[caution] == best)
        for caution, said in grown.items():
            margin = expected - caution * doubt
            assert said == pytest.approx(naive_growth(margin, gain, position, exit_bar), abs=1e-12)


def test_what_earns_nothing_calls_for_the_greatest_caution() -> None:
    nothing = np.zeros((50, 2))
    position = np.arange(50)
    chosen, grown = choose_caution(
        nothing - 1, nothing, nothing, position, position[:, None] + np.ones((1, 2), np.int64)
    )
    assert (chosen, set(grown.values())) == (max(CAUTIONS), {0.0})


@pytest.mark.parametrize("gain", [-1.0, -1.7, -1e9])
def test_a_loss_of_all_and_more_is_ruin_and_no_error(gain: float) -> None:
    """A short without a stop loses more than its stake where the price more than doubles."""
    lost = growth(np.ones((1, 2)), np.full((1, 2), gain), np.zeros(1, np.int64), np.ones((1, 2)))  # type: ignore[arg-type]
    assert np.isfinite(lost)
    assert lost < -5
