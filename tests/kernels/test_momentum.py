"""Momentum: the slow twin's numbers, of the past alone, whatever lies around it."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.bits import volatility
from kernels.momentum import MEMORIES, WINDOW, momentum
from tests import naive
from tests.kernels.series import SIZES, assert_same_bits, edges, walk

LOG_PRICE = np.log(walk(1000, seed=7)["close"])
SEGMENTS = edges(1000, 1, 300, 640)
SIGMA = volatility(LOG_PRICE, SEGMENTS, engine="cpu")


@pytest.mark.parametrize("memories", [MEMORIES, (0.5,), (3.0, 1e6)])
def test_momentum_is_that_of_the_slow_twin(memories: tuple[float, ...]) -> None:
    log_price, sigma = LOG_PRICE.copy(), SIGMA.copy()
    log_price[330], sigma[700] = np.nan, 0.0
    computed = momentum(log_price, sigma, SEGMENTS, memories=memories)
    expected = naive.momentum(log_price, sigma, SEGMENTS, memories)
    assert computed.dtype == np.float64
    np.testing.assert_allclose(computed, expected, rtol=1e-9, atol=1e-12)
    assert np.isnan(computed[700]).all()
    assert np.isnan(computed[330 : 331 + WINDOW]).all()


@pytest.mark.parametrize("n", SIZES)
def test_momentum_of_a_prefix_is_a_prefix(n: int) -> None:
    whole = momentum(LOG_PRICE, SIGMA, SEGMENTS)
    assert_same_bits(momentum(LOG_PRICE[:n], SIGMA[:n], SEGMENTS[:n]), whole[:n])


@pytest.mark.parametrize("first", [1, 63, 300, 640, 700])
def test_where_the_data_begin_changes_no_bit(first: int) -> None:
    whole = momentum(LOG_PRICE, SIGMA, SEGMENTS)
    late = momentum(LOG_PRICE[first:], SIGMA[first:], SEGMENTS[first:])
    assert_same_bits(late[WINDOW:], whole[first + WINDOW :])
    assert np.isnan(late[:WINDOW]).all()


def test_a_poisoned_future_changes_no_bit() -> None:
    log_price, sigma = LOG_PRICE.copy(), SIGMA.copy()
    log_price[950:], sigma[950:] = np.nan, np.nan
    poisoned = momentum(log_price, sigma, SEGMENTS)
    assert_same_bits(poisoned[:950], momentum(LOG_PRICE, SIGMA, SEGMENTS)[:950])
    assert np.isnan(poisoned[950:]).all()
    assert np.isfinite(poisoned[900:950]).all()


def test_a_segment_begins_anew() -> None:
    known = np.isfinite(momentum(LOG_PRICE, SIGMA, SEGMENTS)).all(axis=1)
    expected = np.zeros(1000, np.bool_)
    for first, end in ((1, 300), (300, 640), (640, 1000)):
        expected[first + WINDOW : end] = True
    np.testing.assert_array_equal(known, expected)


def test_momentum_of_a_random_walk_has_deviation_one() -> None:
    log_price = np.cumsum(np.random.default_rng(1).normal(0, 1e-4, 40_000))
    segments = edges(40_000)
    said = momentum(log_price, np.full(40_000, 1e-4), segments)[WINDOW:]
    np.testing.assert_allclose(said.std(axis=0), 1, atol=0.08)


def test_bad_input_is_named() -> None:
    with pytest.raises(TypeError, match="log_price must be float64"):
        momentum(LOG_PRICE.astype(np.float32), SIGMA, SEGMENTS)
    with pytest.raises(ValueError, match="sigma must have shape"):
        momentum(LOG_PRICE, SIGMA[1:], SEGMENTS)
    with pytest.raises(ValueError, match="segments must have shape"):
        momentum(LOG_PRICE, SIGMA, SEGMENTS[1:])
    for memory in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=f"memories must be above 0 bars, not {memory}"):
            momentum(LOG_PRICE, SIGMA, SEGMENTS, memories=(4.0, memory))
