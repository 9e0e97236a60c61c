"""CORP: pooling against the max-min formula, parts that add up, bands that cover."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.evaluation import Floats, brier, brier_skill, murphy, wilson
from kernels.statistics.calibration import corp, corp_bands, skill_interval
from tests.kernels.statistics import naive
from tests.kernels.statistics.series import autoregressive


def forecasts(seed: int, rows: int) -> tuple[Floats, Floats]:
    """Return probabilities that are true, and what came."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.2, 0.8, rows)
    return p, (rng.random(rows) < p).astype(float)


def test_pooling_by_hand() -> None:
    said = np.repeat([0.1, 0.3, 0.5, 0.7], 5)
    came = np.array([[0, 0, 0, 0, 1], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [1, 1, 1, 1, 0]]).ravel()
    found = corp(said, came)
    np.testing.assert_allclose(found.said, [0.1, 0.3, 0.5, 0.7])
    np.testing.assert_allclose(found.came, [0.2, 0.5, 0.5, 0.8])
    assert found.count.tolist() == [5, 5, 5, 5]
    assert found.uncertainty == pytest.approx(0.25)
    # of the recalibrated: (0.16 + 0.25 + 0.25 + 0.16) / 4
    assert found.discrimination == pytest.approx(0.25 - 0.205)
    assert found.miscalibration == pytest.approx(brier(said, came) - 0.205)


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_that_of_the_max_min_formula(seed: int) -> None:
    p, y = forecasts(seed, 60)
    p = p.round(1 + seed % 2)
    found = corp(p, y)
    mean = np.array([y[p == said].mean() for said in found.said])
    np.testing.assert_allclose(
        found.came, naive.isotonic(mean, found.count.astype(float)), atol=1e-12
    )


def test_order_of_rows_is_nothing() -> None:
    p, y = forecasts(0, 200)
    mixed = np.random.default_rng(1).permutation(200)
    np.testing.assert_allclose(corp(p, y).came, corp(p[mixed], y[mixed]).came)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_parts_add_up_to_the_brier_score(power: float) -> None:
    p, y = forecasts(1, 500)
    found = corp(p**power, y)
    total = found.miscalibration - found.discrimination + found.uncertainty
    assert total == pytest.approx(found.score) == pytest.approx(brier(p**power, y))
    assert found.miscalibration >= 0
    assert found.discrimination >= 0


def test_parts_are_those_of_murphy_where_each_bin_says_one_number() -> None:
    rng = np.random.default_rng(0)
    p = rng.choice([0.2, 0.4, 0.6, 0.8], 4000)
    y = (rng.random(4000) < p).astype(float)
    found, parts = corp(p, y), murphy(p, y)
    assert found.miscalibration == pytest.approx(parts.reliability)
    assert found.discrimination == pytest.approx(parts.resolution)
    assert found.uncertainty == pytest.approx(parts.uncertainty)


def test_the_truth_is_calibrated_and_a_constant_tells_nothing() -> None:
    p, y = forecasts(2, 20_000)
    assert corp(p, y).miscalibration < 0.001
    assert corp(p / 2 + 0.5, y).miscalibration > 0.05
    usual = corp(np.full(len(y), y.mean()), y)
    assert (usual.miscalibration, usual.discrimination) == pytest.approx((0, 0), abs=1e-12)


def test_calibrated_forecasts_stay_in_the_bands_of_consistency() -> None:
    inside = []
    for seed in range(20):
        p, y = forecasts(seed, 300)
        bands = corp_bands(p, y, kind="consistency", length=1, draws=100, seed=seed)
        curve = np.interp(bands.said, corp(p, y).said, corp(p, y).came)
        inside.append(((bands.low <= curve) & (curve <= bands.high)).mean())
    assert 0.8 < np.mean(inside) < 0.99


def test_wrong_forecasts_leave_the_bands_of_consistency() -> None:
    p, y = forecasts(0, 2000)
    wrong = p / 2 + 0.5
    bands = corp_bands(wrong, y, kind="consistency", length=1, draws=100)
    curve = np.interp(bands.said, corp(wrong, y).said, corp(wrong, y).came)
    assert (curve < bands.low).mean() > 0.9


def test_bands_of_confidence_cover_the_truth() -> None:
    covered = []
    for seed in range(20):
        p, y = forecasts(seed, 400)
        bands = corp_bands(p**2, y, length=1, draws=100, seed=seed)
        truth = np.sqrt(bands.said)
        covered.append(((bands.low <= truth) & (truth <= bands.high))[10:-10].mean())
    assert np.mean(covered) > 0.75


def test_blocks_widen_the_bands_of_dependent_outcomes() -> None:
    p = np.random.default_rng(0).uniform(0.3, 0.7, 800)
    y = (autoregressive(1, 800, 0.95) > 0).astype(float)
    alone, blocks = (corp_bands(p, y, length=length, draws=100) for length in (1, 40))
    assert (blocks.high - blocks.low).mean() > 1.5 * (alone.high - alone.low).mean()
    assert corp_bands(p, y, draws=20).length > 10


def test_skill_of_the_truth_is_above_nothing_and_of_noise_is_not() -> None:
    p, y = forecasts(0, 800)
    found = skill_interval(p, y, 0.5, draws=200)
    assert found.estimate == brier_skill(p, y, 0.5)
    assert 0 < found.low < found.estimate < found.high
    noise = skill_interval(np.random.default_rng(9).uniform(0.45, 0.55, 800), y, 0.5, draws=200)
    assert noise.low < 0
    same = skill_interval(np.full(800, 0.5), y, 0.5, draws=20)
    assert (same.estimate, same.low, same.high) == (0, 0, 0)


def test_the_rare_win_of_wilson_holds() -> None:
    """Shares told in public, with their intervals by hand."""
    assert wilson(0.607 * 275, 275) == pytest.approx((0.548, 0.663), abs=1e-3)
    assert wilson(595, 1439) == pytest.approx((0.388, 0.439), abs=1e-3)
    assert wilson(36, 100) == pytest.approx((0.27, 0.46), abs=5e-3)


def test_bad_input_is_refused() -> None:
    p, y = forecasts(0, 50)
    with pytest.raises(ValueError, match="all 50 outcomes are 1; give both kinds"):
        corp(p, np.ones(50))
    with pytest.raises(ValueError, match="8 rows of at least 20: 12 are missing"):
        corp(p[:8], y[:8])
    with pytest.raises(ValueError, match="must be of one length"):
        corp(p, y[1:])
    with pytest.raises(ValueError, match=r"leaves 0 .. 1"):
        corp(p + 1, y)
    with pytest.raises(ValueError, match="50 of 50 values of probability are NaN"):
        corp(p * np.nan, y)
    with pytest.raises(ValueError, match=r"all 50 probabilities are 0\.5"):
        corp_bands(np.full(50, 0.5), y)
