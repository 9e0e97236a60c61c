"""Circular shifts: a slow twin, its size under autocorrelation, and what it is blind to."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.evaluation import Floats
from kernels.statistics.permutation import shift_test
from tests.kernels.statistics import naive
from tests.kernels.statistics.series import autoregressive


def signs(seed: int, rows: int, phi: float) -> Floats:
    return np.sign(autoregressive(seed, rows, phi))


@pytest.mark.parametrize("rows", [23, 64, 65])
@pytest.mark.parametrize("apart", [1, 2])
def test_sums_are_those_of_shifted_positions(rows: int, apart: int) -> None:
    position, returns = signs(rows, rows, 0.5), autoregressive(rows + 1, rows, 0.0)
    found = shift_test(position, returns, apart=apart)
    sums = naive.shift_sums(position, returns)
    others = np.array(sums[apart : rows + 1 - apart])
    assert found.earned == pytest.approx(sums[0])
    assert found.shifts == rows + 1 - 2 * apart
    assert found.score == pytest.approx((sums[0] - others.mean()) / others.std())
    assert found.p_value == (1 + (others >= sums[0] - 1e-9).sum()) / (1 + len(others))


def test_its_size_is_nominal_where_both_are_autocorrelated() -> None:
    told = np.array(
        [
            shift_test(signs(seed, 400, 0.9), autoregressive(1000 + seed, 400, 0.5)).p_value
            for seed in range(400)
        ]
    )
    for level in (0.05, 0.5):
        assert (told <= level).mean() == pytest.approx(level, abs=0.06)


def test_who_knows_the_next_return_is_found() -> None:
    returns = autoregressive(0, 300, 0.0)
    position = np.sign(returns + 2 * autoregressive(1, 300, 0.0))
    assert shift_test(position, returns).p_value == pytest.approx(1 / 300)


def test_a_trend_earns_nothing_by_itself() -> None:
    position = np.where(autoregressive(0, 500, 0.9) > -0.5, 1.0, 0.0)
    noise = autoregressive(1, 500, 0.0)
    flat, rising = shift_test(position, noise), shift_test(position, noise + 5.0)
    assert rising.earned > flat.earned + 1000
    assert rising.p_value == flat.p_value
    assert rising.score == pytest.approx(flat.score)


def test_sums_that_are_all_the_same_prove_nothing() -> None:
    position = np.tile([1.0, -1.0], 20)
    returns = np.repeat([1.0, -1.0], 20)
    found = shift_test(position, returns)
    assert found.p_value == 1


def test_bad_input_is_refused() -> None:
    noise = np.random.default_rng(0).standard_normal(100)
    with pytest.raises(ValueError, match="100 positions and 99 returns"):
        shift_test(noise, noise[1:])
    with pytest.raises(ValueError, match="position is 1 in all 100 rows"):
        shift_test(np.ones(100), noise)
    with pytest.raises(ValueError, match="returns is 0 in all 100 rows"):
        shift_test(noise, np.zeros(100))
    with pytest.raises(ValueError, match="7 rows of at least 20: 13 are missing"):
        shift_test(noise[:7], noise[:7])
    with pytest.raises(ValueError, match=r"leave 1 shifts .* give 118 rows"):
        shift_test(noise, noise, apart=50)
    with pytest.raises(ValueError, match="leave 0 shifts"):
        shift_test(noise, noise, apart=60)
