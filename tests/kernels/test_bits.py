from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernels.bits import COLUMNS, PATTERN, encode_bits, patterns, transitions, volatility
from kernels.device import array_module, to_host
from tests import naive
from tests.kernels.series import SIZES, assert_same_bits, edges, walk

BARS = walk(1000, seed=1, decimals=4)
SEGMENTS = edges(1000, 1, 66, 131, 400, 401)


@pytest.mark.parametrize("encoder", list(COLUMNS))
def test_bits_match_the_reference(encoder: str, engine: str) -> None:
    bars = {name: column.copy() for name, column in BARS.items()}
    for name, u in {"close": 40, "volume": 300, "high": 301, "low": 500, "open": 700}.items():
        bars[name][u] = np.nan
    reference = naive.encode_bits(bars, SEGMENTS, encoder)
    bits, valid = encode_bits(bars, SEGMENTS, encoder=encoder, engine=engine)
    assert (bits.dtype, valid.dtype) == (np.uint8, np.bool_)
    np.testing.assert_array_equal(valid, reference[1])
    np.testing.assert_array_equal(bits, reference[0])
    assert 0.2 < valid.mean() < 1


@pytest.mark.parametrize("encoder", list(COLUMNS))
@pytest.mark.parametrize("n", SIZES)
def test_bits_of_a_prefix_are_a_prefix(n: int, encoder: str, engine: str) -> None:
    whole = encode_bits(BARS, SEGMENTS, encoder=encoder, engine=engine)
    prefix = {name: column[:n] for name, column in BARS.items()}
    part = encode_bits(prefix, SEGMENTS[:n], encoder=encoder, engine=engine)
    for computed, reference in zip(part, whole, strict=True):
        assert_same_bits(computed, reference[:n])


@pytest.mark.parametrize("encoder", list(COLUMNS))
def test_a_poisoned_future_changes_no_bit(encoder: str, engine: str) -> None:
    clean = encode_bits(BARS, SEGMENTS, encoder=encoder, engine=engine)
    bars = {name: column.copy() for name, column in BARS.items()}
    for column in bars.values():
        column[600:] = np.nan
    poisoned = encode_bits(bars, SEGMENTS, encoder=encoder, engine=engine)
    for computed, reference in zip(poisoned, clean, strict=True):
        assert_same_bits(computed[:600], reference[:600])
    assert not to_host(poisoned[1][600:]).any()


def test_equal_closes_give_no_bit(engine: str) -> None:
    close = np.array([1.0, 1.0, 2.0, 2.0, 1.0, np.nan, 3.0, 0.0, 1.0])
    bits, valid = encode_bits({"close": close}, edges(9), engine=engine)
    np.testing.assert_array_equal(bits, [0, 0, 1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(valid, [0, 0, 1, 0, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("n", SIZES)
def test_events_match_the_reference(n: int, share: float, engine: str) -> None:
    rng = np.random.default_rng(n)
    valid = rng.random(n) < share
    bits = (valid & (rng.random(n) < 0.5)).astype(np.uint8)
    segments = np.cumsum(rng.random(n) < 0.01, dtype=np.int32)
    computed = transitions(bits, valid, segments, engine=engine)
    assert computed.dtype == np.uint8
    np.testing.assert_array_equal(computed, naive.transitions(bits, valid, segments))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("n", [0, 1, 4, 5, 6, 63, 64, 65, 300])
def test_patterns_match_the_reference(n: int, share: float) -> None:
    rng = np.random.default_rng(n + 1)
    valid = rng.random(n) < share
    bits = (rng.random(n) < 0.5).astype(np.uint8)
    segments = np.cumsum(rng.random(n) < 0.03, dtype=np.int32)
    computed = patterns(bits, valid, segments)
    assert computed.dtype == np.int64
    np.testing.assert_array_equal(computed, naive.patterns(bits, valid, segments))
    cut = n // 2
    np.testing.assert_array_equal(patterns(bits[:cut], valid[:cut], segments[:cut]), computed[:cut])


def test_every_run_has_a_number_of_its_own_and_ties_keep_it() -> None:
    bits = np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 1], np.uint8)
    valid = np.array([1, 1, 1, 1, 1, 0, 1, 1, 1, 1], np.bool_)
    assert patterns(bits, valid, edges(10)).tolist() == [-1] * 4 + [22, 22, 12, 24, 16, 1]
    assert PATTERN == 5
    again = patterns(bits, valid, edges(10, 6))
    assert again.tolist() == [-1] * 4 + [22, 22] + [-1] * 4


def test_bits_that_are_none_say_nothing_of_a_pattern() -> None:
    valid = np.random.default_rng(3).random(500) < 0.7
    bits = (np.random.default_rng(4).random(500) < 0.5).astype(np.uint8)
    poisoned = np.where(valid, bits, 255).astype(np.uint8)
    np.testing.assert_array_equal(
        patterns(poisoned, valid, SEGMENTS[:500]), patterns(bits, valid, SEGMENTS[:500])
    )


@pytest.mark.parametrize("window", [1, 64])
def test_volatility_matches_the_reference(window: int, engine: str) -> None:
    log_price = np.log(BARS["close"])
    log_price[500] = np.nan
    reference = naive.volatility(log_price, SEGMENTS, window)
    computed = volatility(log_price, SEGMENTS, window=window, engine=engine)
    assert computed.dtype == np.float64
    np.testing.assert_allclose(computed, reference, rtol=1e-13)
    assert np.isnan(computed[500 : 501 + window]).all()


@pytest.mark.parametrize("n", SIZES)
def test_volatility_does_not_depend_on_the_cut(n: int, engine: str) -> None:
    log_price, segments = np.log(BARS["close"]), edges(1000)
    whole = volatility(log_price, segments, engine=engine)
    part = volatility(log_price[:n], segments[:n], engine=engine)
    assert_same_bits(part, whole[:n])
    late = volatility(log_price[n:], segments[n:], engine=engine)
    assert_same_bits(late[64:], whole[n + 64 :])


def test_results_are_of_the_kind_that_came_in(engine: str, native: Callable[[Any], Any]) -> None:
    bars, segments = {"close": native(BARS["close"])}, native(SEGMENTS)
    bits, valid = encode_bits(bars, segments, engine=engine)
    events = transitions(bits, valid, segments, engine=engine)
    sigma = volatility(bars["close"], segments, engine=engine)
    for array in (bits, valid, events, sigma):
        assert array_module(array) is array_module(segments)
    on_cpu = encode_bits(bars, segments, engine="cpu")
    assert array_module(*on_cpu) is array_module(segments)
    assert_same_bits(on_cpu[0], bits)


def test_bad_input_is_named() -> None:
    bars = {"close": np.ones(3)}
    segments, bits, valid = edges(3), np.zeros(3, np.uint8), np.ones(3, np.bool_)
    with pytest.raises(ValueError, match=r"encoder must be one of direction, .*, not 'sign'"):
        encode_bits(bars, segments, encoder="sign")
    with pytest.raises(ValueError, match="bars lacks open, which encoder='body' reads"):
        encode_bits(bars, segments, encoder="body")
    with pytest.raises(TypeError, match=r"bars\['close'\] must be float64, not float32"):
        encode_bits({"close": np.ones(3, np.float32)}, segments)
    with pytest.raises(ValueError, match=r"segments must have shape \(3\), not \(2,\)"):
        encode_bits(bars, segments[:2])
    with pytest.raises(ValueError, match="engine must be"):
        encode_bits(bars, segments, engine="npu")
    with pytest.raises(ValueError, match="bits must be 0 or 1"):
        transitions(bits + np.uint8(2), valid, segments)
    for events in (transitions, patterns):
        with pytest.raises(TypeError, match="valid must be bool, not uint8"):
            events(bits, bits, segments)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"segments must have shape \(3\), not \(2,\)"):
            events(bits, valid, segments[:2])
    with pytest.raises(ValueError, match="window must be at least 1, not 0"):
        volatility(bars["close"], segments, window=0)
