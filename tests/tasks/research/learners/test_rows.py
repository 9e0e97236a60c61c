"""Rows and labels: what is known of a bar, and how much its outcome counts."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from tasks.research.learners.rows import Labels
from tests.tasks.research.learners.planted import rows


def wins(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (n, 2)).astype(np.int8)


@pytest.mark.parametrize("step", [1, 2, 3, 8, 11])
@pytest.mark.parametrize("horizon", [1, 4, 8])
def test_weights_add_up_to_outcomes_that_do_not_overlap(step: int, horizon: int) -> None:
    position = np.arange(100, 1100, step)
    labels = Labels.of(position, wins(len(position)), horizon)
    separate = min(len(position), (position[-1] - position[0]) / horizon + 1)
    assert labels.weight.sum() == pytest.approx(separate)
    assert (labels.weight > 0).all()
    assert (labels.weight <= 1).all()


def test_a_row_weighs_what_it_adds_to_the_known_one_before_it() -> None:
    position = np.array([5, 6, 8, 20, 21, 22])
    win = np.array([[1, 0], [1, -1], [0, 1], [-1, 0], [1, 1], [0, 0]], np.int8)
    labels = Labels.of(position, win, 4)
    np.testing.assert_allclose(labels.weight, [1, 0, 3 / 4, 0, 1, 1 / 4])
    assert labels.win[[1, 3]].tolist() == [[-1, -1]] * 2  # known means: on both sides


def test_rates_are_those_of_one_outcome_more_that_was_half_a_win() -> None:
    win = np.array([[1, 0], [1, 0], [0, 0]], np.int8)
    labels = Labels.of(np.array([0, 4, 6]), win, 4)
    assert labels.rate() == pytest.approx((2 / 2 + 0.5) / (2.5 + 1))  # of both sides alike
    assert labels.rarest() == 0
    assert Labels.of(np.array([0, 4, 6]), win[:, [0, 0]], 4).rarest() == pytest.approx(0.5)


def test_nothing_known_weighs_nothing() -> None:
    for position in (np.empty(0, np.int64), np.arange(7)):
        labels = Labels.of(position, np.full((len(position), 2), -1, np.int8), 4)
        assert (labels.weight.sum(), labels.rate(), labels.rarest()) == (0, 0.5, 0)


def test_taken_rows_are_those_of_all_columns() -> None:
    whole = rows(50)
    chosen = np.array([3, 4, 40])
    part = whole.take(chosen)
    for field in fields(whole):
        np.testing.assert_array_equal(getattr(part, field.name), getattr(whole, field.name)[chosen])
    np.testing.assert_array_equal(part.metrics, whole.trajectory[chosen, 60:])
    labels = Labels.of(whole.position, wins(50), 4).take(chosen)
    np.testing.assert_array_equal(labels.win, wins(50)[chosen])


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="must be of one length"):
        replace(rows(50), cost=np.ones(49))
