"""SPA: a slow twin, `arch` where both divide alike, and its size and power on noise."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.statistics import snooping
from kernels.statistics.bootstrap import stationary_draws
from kernels.statistics.snooping import long_run_deviation, superior_ability
from tests.kernels.statistics import naive
from tests.kernels.statistics.series import autoregressive


@pytest.mark.parametrize("length", [1, 4.5, 40])
def test_p_values_are_those_of_the_twin(length: float) -> None:
    gains = np.random.default_rng(0).standard_normal((40, 4)) * [1, 2, 0.1, 5] + [0.2, 0, -0.1, -3]
    found = superior_ability(gains, length=length, draws=60, seed=3)
    draws = [rows.astype(float) for rows in stationary_draws(40, length, 60, 3)]
    assert (found.statistic, found.lower, found.consistent, found.upper) == pytest.approx(
        naive.superior_ability(gains, length, draws)
    )


def test_long_run_variance_is_that_of_arch() -> None:
    x = np.column_stack([autoregressive(7, 300, 0.4), 3 * autoregressive(8, 300, 0.1)])
    np.testing.assert_allclose(long_run_deviation(x, 10) ** 2, [2.33783973, 9.32959065], rtol=1e-8)


def test_long_run_variance_is_that_of_draws() -> None:
    x = autoregressive(1, 80, 0.5)[:, None]
    means = [x[rows].mean() for rows in stationary_draws(80, 6, 4000, 0)]
    assert 80 * np.var(means) == pytest.approx(long_run_deviation(x, 6)[0] ** 2, rel=0.07)


@pytest.mark.parametrize(
    ("seed", "shift", "p_values"),
    [
        (11, 0.0, (0.77805, 0.8945, 0.99065)),
        (12, 0.12, (0.04105, 0.0612, 0.11255)),
        (13, 0.08, (0.028, 0.03445, 0.06845)),
    ],
)
def test_p_values_are_those_of_arch_for_trials_of_one_deviation(
    seed: int, shift: float, p_values: tuple[float, ...]
) -> None:
    """`SPA(0, -gains, block_size=8, reps=20000, seed=1)` of arch 8.0.0, which does not divide."""
    gains = np.random.default_rng(seed).standard_normal((300, 20))
    gains[:, 0] += shift
    gains[:, 10:] -= 0.3
    gains /= long_run_deviation(gains, 8)
    found = superior_ability(gains, length=8, draws=4000)
    assert (found.lower, found.consistent, found.upper) == pytest.approx(p_values, abs=0.015)


def test_a_wild_trial_hides_no_good_one() -> None:
    """Not divided by its deviation, the second drowns the first: 0.44 by arch 8.0.0."""
    rng = np.random.default_rng(0)
    gains = np.column_stack([0.25 + rng.standard_normal(500), 30 * rng.standard_normal(500)])
    assert superior_ability(gains).consistent < 0.01


def test_its_size_is_about_nominal() -> None:
    rng = np.random.default_rng(0)
    told = [
        superior_ability(rng.standard_normal((120, 10)), length=3, draws=150, seed=seed).consistent
        for seed in range(200)
    ]
    for level in (0.05, 0.2):
        # three binomial deviations either way
        assert np.mean(np.array(told) <= level) == pytest.approx(
            level, abs=3 * np.sqrt(level * (1 - level) / 200) + 0.005
        )


def test_bad_trials_blunt_the_upper_more_than_the_consistent() -> None:
    rng = np.random.default_rng(1)
    gains = rng.standard_normal((250, 60)) - 1.0
    gains[:, 0] += 1.18
    found = superior_ability(gains)
    assert found.best == 0
    assert found.lower <= found.consistent < 0.05 < found.upper


def test_nothing_above_the_benchmark_is_nothing_found() -> None:
    found = superior_ability(np.random.default_rng(0).standard_normal((100, 5)) - 1)
    assert (found.statistic, found.consistent) == (0, 1)


def test_draws_are_the_same_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = np.random.default_rng(0).standard_normal((50, 3))
    whole = superior_ability(gains, draws=64)
    monkeypatch.setattr(snooping, "COUNTED", 350)
    assert superior_ability(gains, draws=64) == whole


def test_bad_input_is_refused() -> None:
    noise = np.random.default_rng(0).standard_normal((100, 3))
    with pytest.raises(ValueError, match="12 rows of at least 20: 8 are missing"):
        superior_ability(noise[:12])
    with pytest.raises(ValueError, match="2 of 3 columns are constant"):
        superior_ability(noise * [0, 1, 0])
    with pytest.raises(ValueError, match="must have 2 dimensions"):
        superior_ability(noise[:, 0])
    with pytest.raises(ValueError, match=r"length must lie within 1 .. 100"):
        superior_ability(noise, length=0.5)
    with pytest.raises(ValueError, match="100 of 300 values"):
        superior_ability(noise * [1, np.nan, 1])
