"""PBO: a slow twin, a half for noise, nothing for one trial that is better."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from kernels.statistics import overfitting
from kernels.statistics.overfitting import backtest_overfitting
from tests.kernels.statistics import naive


@pytest.mark.parametrize(("rows", "blocks", "purge"), [(32, 8, 0), (47, 6, 1), (203, 8, 3)])
def test_logits_are_those_of_whole_halves(rows: int, blocks: int, purge: int) -> None:
    returns = np.random.default_rng(rows).standard_normal((rows, 5)) + np.linspace(0, 0.2, 5)
    found = backtest_overfitting(returns, blocks=blocks, purge=purge)
    logits, outside = naive.overfitting(returns, blocks, purge)
    np.testing.assert_allclose(found.logit, logits)
    np.testing.assert_allclose(found.outside, outside)
    assert len(found.logit) == comb(blocks, blocks // 2)
    assert found.probability == np.mean(np.array(logits) <= 0)
    assert found.loss == np.mean(np.array(outside) < 0)
    assert (found.slope, found.r2) == pytest.approx(
        (np.polyfit(found.inside, found.outside, 1)[0],
         np.corrcoef(found.inside, found.outside)[0, 1] ** 2)
    )  # fmt: skip


def test_splits_are_the_same_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(0).standard_normal((64, 6))
    at_once = backtest_overfitting(returns, blocks=8)
    monkeypatch.setattr(overfitting, "AT_ONCE", 36)
    np.testing.assert_allclose(backtest_overfitting(returns, blocks=8).logit, at_once.logit)


def test_noise_is_overfitted_half_of_the_time() -> None:
    rng = np.random.default_rng(0)
    found = [backtest_overfitting(rng.standard_normal((160, 20)), blocks=10) for _ in range(60)]
    assert np.mean([each.probability for each in found]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([each.loss for each in found]) == pytest.approx(0.5, abs=0.06)


def test_one_better_trial_is_found_again() -> None:
    returns = np.random.default_rng(0).standard_normal((640, 20))
    returns[:, 7] += 0.4
    found = backtest_overfitting(returns)
    assert len(found.logit) == 12_870
    assert found.probability < 0.01
    assert found.loss < 0.01


def test_what_won_by_one_stretch_loses_on_the_others() -> None:
    """Trials that earn in one block what they lose in the rest: the best in sample is worst."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(8), 20)
    returns = 0.1 * rng.standard_normal((160, 8)) + (block[:, None] == np.arange(8)) * 1.0
    returns -= returns.mean(axis=0)
    found = backtest_overfitting(returns, blocks=8)
    assert found.probability > 0.9
    assert found.slope < 0


def test_the_oldest_rows_that_fill_no_block_are_left_out() -> None:
    returns = np.random.default_rng(0).standard_normal((67, 4))
    whole = backtest_overfitting(returns[3:], blocks=8)
    np.testing.assert_array_equal(backtest_overfitting(returns, blocks=8).logit, whole.logit)


def test_copies_share_their_rank() -> None:
    one = np.random.default_rng(0).standard_normal((64, 1))
    found = backtest_overfitting(np.repeat(one, 3, axis=1), blocks=8)
    assert (found.logit == 0).all()
    assert found.probability == 1


def test_a_trial_that_stands_still_in_a_half_has_a_ratio_of_nothing() -> None:
    returns = np.random.default_rng(0).standard_normal((64, 3))
    returns[:32, 2] = 0
    found = backtest_overfitting(returns, blocks=8)
    np.testing.assert_allclose(found.logit, naive.overfitting(returns, 8, 0)[0])


def test_a_trial_that_hardly_moves_in_a_half_has_its_great_ratio() -> None:
    returns = np.random.default_rng(0).standard_normal((64, 3))
    returns[:, 2] = 1e-3 * returns[:, 2] + np.where(np.arange(64) < 32, 1.0, -1.0)
    found = backtest_overfitting(returns, blocks=8)
    np.testing.assert_allclose(found.logit, naive.overfitting(returns, 8, 0)[0])
    assert found.inside.max() > 500


def test_small_deviations_on_a_large_mean_keep_their_digits() -> None:
    returns = np.random.default_rng(0).standard_normal((64, 3)) * 1e-6 + 1.0
    np.testing.assert_allclose(
        backtest_overfitting(returns, blocks=8).logit, naive.overfitting(returns, 8, 0)[0]
    )


@pytest.mark.parametrize("blocks", [2, 7, 22])
def test_bad_blocks_are_refused(blocks: int) -> None:
    with pytest.raises(ValueError, match="blocks must be even, 4 to 20"):
        backtest_overfitting(np.ones((100, 2)), blocks=blocks)


def test_bad_trials_are_refused() -> None:
    noise = np.random.default_rng(0).standard_normal((100, 3))
    with pytest.raises(ValueError, match="60 rows of at least 64: 4 are missing"):
        backtest_overfitting(noise[:60])
    with pytest.raises(ValueError, match="100 rows of at least 128: 28 are missing"):
        backtest_overfitting(noise, purge=4)
    with pytest.raises(ValueError, match="one trial cannot be chosen"):
        backtest_overfitting(noise[:, :1])
    with pytest.raises(ValueError, match="1 of 3 columns are constant"):
        backtest_overfitting(noise * [1, 0, 1])
