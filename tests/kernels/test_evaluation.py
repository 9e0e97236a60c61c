"""Scores against closed forms and hand-made tables."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from kernels.evaluation import (
    brier,
    brier_skill,
    calibration_error,
    equal_mass,
    log_loss,
    murphy,
    non_overlapping,
    reliability,
    wilson,
)

SAID = np.array([0.1, 0.1, 0.6, 0.6, 0.6])
CAME = np.array([0.0, 1.0, 1.0, 1.0, 0.0])


def test_brier_by_hand() -> None:
    assert brier(SAID, CAME) == pytest.approx((0.01 + 0.81 + 0.16 + 0.16 + 0.36) / 5)
    assert brier([0.0, 1.0], [0, 1]) == 0
    assert brier([1.0, 0.0], [0, 1]) == 1


def test_skill_is_measured_against_the_training_base_rate() -> None:
    reference = (2 * 0.5**2 + 3 * 0.5**2) / 5
    assert brier_skill(SAID, CAME, 0.5) == pytest.approx(1 - 0.3 / reference)
    assert brier_skill(np.full(5, 0.4), CAME, 0.4) == 0
    assert brier_skill(CAME, CAME, 0.4) == 1
    each = np.array([0.4, 0.4, 0.7, 0.7, 0.7])
    assert brier_skill(each, CAME, each) == 0


def test_log_loss_by_hand() -> None:
    assert log_loss([0.5, 0.5], [0, 1]) == pytest.approx(log(2))
    assert log_loss([0.9, 0.2], [1, 0]) == pytest.approx(-(log(0.9) + log(0.8)) / 2)
    assert log_loss([1.0, 0.0], [1, 0]) == 0
    assert log_loss([1.0], [0]) == np.inf


def test_murphy_by_hand() -> None:
    parts = murphy(SAID, CAME, bins=2)
    assert parts.reliability == pytest.approx(0.4 * (0.1 - 0.5) ** 2 + 0.6 * (0.6 - 2 / 3) ** 2)
    assert parts.resolution == pytest.approx(0.4 * (0.5 - 0.6) ** 2 + 0.6 * (2 / 3 - 0.6) ** 2)
    assert parts.uncertainty == pytest.approx(0.6 * 0.4)
    assert parts.within == pytest.approx(0, abs=1e-15)


def test_murphy_adds_up_to_the_brier_score() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(1000)
    y = (rng.random(1000) < p).astype(float)
    parts = murphy(p, y)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(brier(p, y))
    assert abs(parts.within) < 0.01


def test_calibration_error_by_hand() -> None:
    assert calibration_error(SAID, CAME, bins=2) == pytest.approx(0.4 * 0.4 + 0.6 * (2 / 3 - 0.6))
    assert calibration_error(np.full(5, 0.6), CAME) == pytest.approx(0)
    p = np.random.default_rng(0).random(4000)
    assert calibration_error(p, p) == pytest.approx(0, abs=1e-12)
    assert calibration_error(p / 2 + 0.5, p) == pytest.approx((0.5 - p / 2).mean())


@pytest.mark.parametrize("n", [1, 14, 15, 16, 127])
def test_bins_hold_equal_mass(n: int) -> None:
    values = np.random.default_rng(n).permutation(n).astype(float)
    group = equal_mass(values)
    count = np.bincount(group)
    assert len(count) == min(n, 15)
    assert count.max() - count.min() <= 1
    assert (np.diff(group[np.argsort(values)]) >= 0).all()


def test_ties_stay_in_one_bin() -> None:
    values = np.array([0.2] * 50 + [0.3] * 3 + [0.4] * 47)
    group = equal_mass(values, 10)
    assert len(np.unique(group)) <= 3
    for value in (0.2, 0.3, 0.4):
        assert len(np.unique(group[values == value])) == 1
    assert equal_mass(np.full(9, 0.5)).tolist() == [0] * 9


def test_reliability_has_wilson_intervals() -> None:
    points = reliability(SAID, CAME, bins=2)
    np.testing.assert_allclose(points.said, [0.1, 0.6])
    np.testing.assert_allclose(points.came, [0.5, 2 / 3])
    assert points.count.tolist() == [2, 3]
    assert (points.low[0], points.high[0]) == pytest.approx(wilson(1, 2))


@pytest.mark.parametrize(("wins", "count"), [(0, 1), (0, 20), (7, 20), (20, 20), (360, 1000)])
def test_wilson_is_that_of_scipy(wins: int, count: int) -> None:
    expected = binomtest(wins, count).proportion_ci(method="wilson")
    assert wilson(wins, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_of_many_and_of_none() -> None:
    low, high = wilson(np.array([0, 5]), np.array([0, 10]))
    assert (low[0], high[0]) == (0, 1)
    assert (low[1], high[1]) == pytest.approx(wilson(5, 10))


def test_wilson_covers() -> None:
    wins = np.random.default_rng(0).binomial(200, 0.3, 4000)
    low, high = wilson(wins, np.full(4000, 200))
    assert 0.935 < ((low <= 0.3) & (high >= 0.3)).mean() < 0.965


def test_non_overlapping_rows_are_a_horizon_apart() -> None:
    assert non_overlapping([0, 1, 7, 8, 9, 20, 27, 28], 8).tolist() == [
        True, False, False, True, False, True, False, True,
    ]  # fmt: skip
    assert non_overlapping([], 8).tolist() == []
    positions = np.cumsum(np.random.default_rng(0).integers(1, 6, 500))
    kept = positions[non_overlapping(positions, 8)]
    assert (np.diff(kept) >= 8).all()
    assert all(((kept <= p) & (kept > p - 8)).any() for p in positions)


@pytest.mark.parametrize(
    ("p", "y", "names"),
    [
        ([0.5], [0.0, 1.0], "length"),
        ([], [], "length"),
        ([1.2], [1.0], "probability"),
        ([np.nan], [1.0], "probability"),
        ([0.5], [-1.0], "outcome"),
    ],
)
def test_bad_input_is_named(p: Any, y: Any, names: str) -> None:
    for score in (brier, log_loss, murphy, calibration_error, reliability):
        with pytest.raises(ValueError, match=names):
            score(p, y)


def test_impossible_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="never wrong"):
        brier_skill([0.5], [1.0], 1.0)
    with pytest.raises(ValueError, match="wins must lie"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="level"):
        wilson(1, 2, level=1.0)
    with pytest.raises(ValueError, match="ascend"):
        non_overlapping([3, 2], 1)
