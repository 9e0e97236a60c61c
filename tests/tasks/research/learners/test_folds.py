"""Folds: a fit knows nothing of the rows that it is to tell, nor of those near them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.research.learners.folds import DRAWS, FOLDS, MOST_BLOCKS, Folds

HORIZON = 6


def cut(position: np.ndarray, forward: int = 600, seed: int = 0) -> Folds:
    return Folds.cut(position, forward=forward, horizon=HORIZON, seed=seed)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 2000), min_size=1, max_size=300))
def test_purge_and_embargo_hold_for_any_positions(chosen: set[int]) -> None:
    position = np.array(sorted(chosen))
    seen = np.zeros(len(position), np.int64)
    for fitted, told in cut(position):
        seen += told
        for row in np.flatnonzero(fitted):
            apart = position[row] - position[told]
            assert (apart <= -(HORIZON + 1)).all() or (apart >= 2 * (HORIZON + 1)).all()
        first, last = position[told][[0, -1]]
        beyond = (position <= first - HORIZON - 1) | (position >= last + 2 * (HORIZON + 1))
        np.testing.assert_array_equal(fitted, beyond)  # and no row is given away
    assert (seen == 1).all()


def test_folds_are_equal_stretches_of_time() -> None:
    folds = cut(np.arange(50, 1050))
    assert np.bincount(folds.number).tolist() == [1_000 // FOLDS] * FOLDS
    assert (np.diff(folds.number) >= 0).all()


def test_what_is_told_ahead_is_fitted_on_what_had_ended() -> None:
    position = np.arange(50, 1050)
    before, later = cut(position).ahead()
    assert position[before].max() + HORIZON + 1 < 600
    np.testing.assert_array_equal(later, position >= 600)


@pytest.mark.parametrize("step", [1, 5, 37, 400])
def test_draws_keep_the_number_of_blocks(step: int) -> None:
    folds = cut(np.arange(0, 8_000, step))
    assert folds.times.shape == (DRAWS, folds.blocks)
    assert (folds.times.sum(axis=1) == folds.blocks).all()
    assert np.unique(folds.block).tolist() == list(range(folds.blocks))
    assert folds.blocks <= MOST_BLOCKS


def test_blocks_are_no_shorter_than_a_trade() -> None:
    for n in (30, 100, 500, 5_000):
        lengths = np.bincount(cut(np.arange(n)).block)[:-1]
        assert (lengths >= HORIZON).all()


def test_a_seed_is_a_draw() -> None:
    position = np.arange(3_000)
    np.testing.assert_array_equal(cut(position, seed=3).times, cut(position, seed=3).times)
    assert (cut(position, seed=3).times != cut(position, seed=4).times).any()
    assert cut(position).times.mean() == pytest.approx(1)
    assert cut(position).times.var() == pytest.approx(1, abs=0.1)
