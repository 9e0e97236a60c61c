"""PSR, DSR and MinTRL: the papers' own examples, a slow twin, and trials that are all noise."""

from __future__ import annotations

from math import inf, isinf, sqrt

import numpy as np
import pytest

from kernels.statistics.sharpe import (
    Moments,
    deflated_sharpe,
    effective_trials,
    expected_best,
    least_length,
    moments,
    probabilistic_sharpe,
    sharpe_ratio,
)
from tests.kernels.statistics import naive

FUND = Moments(24, 0.458, -2.448, 10.164)
"""Bailey and Lopez de Prado 2012: two years of months of a fund."""
STRATEGY = Moments(1250, 2.5 / sqrt(250), -3, 10)
"""Bailey and Lopez de Prado 2014: five years of days; trials vary by 1/2 a year."""
SPREAD = sqrt(0.5 / 250)


def test_probability_of_the_paper() -> None:
    assert probabilistic_sharpe(FUND) == pytest.approx(0.913, abs=5e-4)
    assert probabilistic_sharpe(Moments(24, 0.458)) == pytest.approx(0.982, abs=5e-4)


def test_deflated_ratio_of_the_paper() -> None:
    trials = np.array([-1.0, 1.0]) * SPREAD / sqrt(2)
    found = deflated_sharpe(STRATEGY, trials, logged=100, effective=46)
    assert found.best_logged == pytest.approx(0.1132, abs=5e-5)
    assert found.by_logged == pytest.approx(0.9004, abs=5e-5)
    assert found.by_effective == pytest.approx(0.9505, abs=5e-5)
    normal = deflated_sharpe(Moments(1250, STRATEGY.sharpe), trials, logged=88, effective=88)
    assert normal.by_logged == pytest.approx(0.9505, abs=5e-5)


@pytest.mark.parametrize(
    ("a_year", "years", "skewness", "kurtosis"),
    [(250, 2.73, 0, 3), (52, 2.83, 0, 3), (12, 3.24, 0, 3), (12, 4.99, -0.72, 5.78)],
)
def test_least_length_of_the_paper(
    a_year: int, years: float, skewness: float, kurtosis: float
) -> None:
    sample = Moments(99, 2 / sqrt(a_year), skewness, kurtosis)
    assert least_length(sample, 1 / sqrt(a_year)) / a_year == pytest.approx(years, abs=5e-3)


@pytest.mark.parametrize(("sharpe", "factor"), [(0.1, 1.0025), (0.3, 1.022), (0.5, 1.061)])
def test_a_normal_has_a_raw_kurtosis_of_three(sharpe: float, factor: float) -> None:
    error = sqrt(Moments(99, sharpe).variance)
    assert error == pytest.approx(sqrt(1 + sharpe**2 / 2))
    assert error == pytest.approx(factor, abs=5e-4)


def test_a_normal_sample_has_the_error_of_a_normal() -> None:
    sample = moments(0.3 + np.random.default_rng(0).standard_normal(200_000))
    assert sample.kurtosis == pytest.approx(3, abs=0.05)
    assert sqrt(sample.variance) == pytest.approx(sqrt(1 + sample.sharpe**2 / 2), abs=2e-3)


def test_excess_kurtosis_is_refused() -> None:
    with pytest.raises(ValueError, match="not the excess"):
        Moments(99, 0.1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("trials", "best"),
    [(10, 1.575), (24, 1.980), (100, 2.531), (1000, 3.255), (1e4, 3.861), (1e5, 4.391)],
)
def test_expected_best(trials: float, best: float) -> None:
    assert expected_best(trials) == pytest.approx(best, abs=5e-4)


def test_expected_best_is_that_of_simulated_trials() -> None:
    best = np.random.default_rng(0).standard_normal((20_000, 50)).max(axis=1)
    assert expected_best(50) == pytest.approx(best.mean(), abs=0.03)
    assert expected_best(1) == 0
    assert expected_best(1.2) == 0


@pytest.mark.parametrize("rows", [20, 21, 250])
@pytest.mark.parametrize("least", [0.0, 0.1])
def test_probability_is_that_of_its_twin(rows: int, least: float) -> None:
    returns = np.random.default_rng(rows).standard_t(4, rows) + 0.2
    found = probabilistic_sharpe(moments(returns), least)
    assert found == pytest.approx(naive.probabilistic_sharpe(returns, least), rel=1e-12)


def test_after_the_least_length_the_ratio_is_told_from_the_benchmark() -> None:
    sample = moments(np.random.default_rng(1).standard_normal(300) + 0.2)
    rows = least_length(sample, level=0.95)
    longer = Moments(int(np.ceil(rows)), sample.sharpe, sample.skewness, sample.kurtosis)
    shorter = Moments(int(rows), sample.sharpe, sample.skewness, sample.kurtosis)
    assert probabilistic_sharpe(shorter) <= 0.95 <= probabilistic_sharpe(longer)
    assert least_length(Moments(99, 0.1), 0.1) == inf
    assert isinf(least_length(Moments(99, -0.1)))


def test_two_valued_returns_have_an_error_of_nothing_at_one_ratio() -> None:
    lottery = Moments(99, 1.0, 2.0, 5.0)
    assert lottery.variance == 0
    assert [probabilistic_sharpe(lottery, at) for at in (0.9, 1.0, 1.1)] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("k", [2, 3, 8])
def test_effective_trials_are_those_of_the_mean_correlation(k: int) -> None:
    rng = np.random.default_rng(k)
    returns = rng.standard_normal((60, k)) + rng.standard_normal((60, 1))
    r = naive.mean_correlation(returns)
    assert effective_trials(returns) == pytest.approx(r + (1 - r) * k)


def test_effective_trials_at_the_ends() -> None:
    rng = np.random.default_rng(0)
    one = rng.standard_normal((500, 1))
    assert effective_trials(one) == 1
    assert effective_trials(one * np.arange(1, 11)) == pytest.approx(1)
    assert effective_trials(rng.standard_normal((500, 40))) == pytest.approx(40, abs=1.5)
    assert effective_trials(np.hstack([one, -one])) == 2


def test_the_best_of_noise_is_deflated_to_a_coin() -> None:
    """Of 300 searches without edge the PSR believes nearly all, the DSR about half, none surely."""
    rng = np.random.default_rng(0)
    plain, deflated = [], []
    for _ in range(300):
        returns = rng.standard_normal((120, 50))
        ratios = sharpe_ratio(returns)
        best = moments(returns[:, ratios.argmax()])
        plain.append(probabilistic_sharpe(best))
        deflated.append(deflated_sharpe(best, ratios, logged=50, effective=50).by_effective)
    assert np.mean(np.array(plain) >= 0.95) > 0.9
    assert np.mean(deflated) == pytest.approx(0.5, abs=0.05)
    assert np.mean(np.array(deflated) >= 0.95) <= 0.05


def test_one_trial_without_edge_has_uniform_probabilities() -> None:
    rng = np.random.default_rng(1)
    told = np.array([probabilistic_sharpe(moments(rng.standard_normal(100))) for _ in range(400)])
    for share in (0.05, 0.5, 0.95):
        assert (told <= share).mean() == pytest.approx(share, abs=0.05)


def test_copies_of_one_trial_deflate_nothing_by_their_effective_number() -> None:
    one = np.random.default_rng(2).standard_normal((250, 1)) + 0.15
    copies = one + 0.01 * np.random.default_rng(3).standard_normal((250, 30))
    effective, ratios = effective_trials(copies), sharpe_ratio(copies)
    found = deflated_sharpe(moments(copies[:, 0]), ratios, logged=30, effective=effective)
    assert effective < 1.1
    assert found.best_effective == 0
    assert found.by_logged <= found.by_effective


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (np.arange(13.0), "13 rows of at least 20: 7 are missing"),
        (np.full(30, 0.01), r"is 0.01 in all 30 rows"),
        (np.append(np.arange(29.0), np.nan), "1 of 30 values of returns are NaN"),
        (np.append(np.arange(29.0), np.inf), "1 of 30 values of returns are NaN or infinite"),
        (np.ones((30, 2)), "1 dimensions, not 2"),
    ],
)
def test_bad_returns_are_refused(returns: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        moments(returns)


def test_bad_trials_are_refused() -> None:
    sample = Moments(99, 0.1)
    with pytest.raises(ValueError, match="3 trials are given and 2 logged"):
        deflated_sharpe(sample, [0.1, 0.2, 0.3], logged=2, effective=2)
    with pytest.raises(ValueError, match=r"within 1 .. 3, not 4"):
        deflated_sharpe(sample, [0.1, 0.2, 0.3], logged=3, effective=4)
    with pytest.raises(ValueError, match="1 rows of at least 2"):
        deflated_sharpe(sample, [0.1], logged=3, effective=1)
    with pytest.raises(ValueError, match=r"0\.5 trials"):
        expected_best(0.5)
    with pytest.raises(ValueError, match="1 of 3 columns are constant, the first number 2"):
        effective_trials(np.eye(30)[:, :3] * [1, 1, 0])
    with pytest.raises(ValueError, match="has no columns"):
        effective_trials(np.empty((30, 0)))
    with pytest.raises(ValueError, match="level must lie"):
        least_length(sample, level=1.0)
    with pytest.raises(ValueError, match="1 rows has no error"):
        Moments(1, 0.1)
    with pytest.raises(ValueError, match="must be finite"):
        Moments(99, np.nan)
