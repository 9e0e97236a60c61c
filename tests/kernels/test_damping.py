from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import pytest

from kernels.damping import WINDOWS, Damping, DampingParams, damp, damp_newest
from kernels.device import array_module, to_host
from tests import naive
from tests.kernels.series import LEVELS, SIZES, Inputs, assert_same_bits, edges, inputs, walk


@cache
def series(pair: str = "EUR_USD", n: int = 1000, seed: int = 7) -> Inputs:
    level, decimals = LEVELS[pair]
    return inputs(walk(n, seed=seed, level=level, decimals=decimals), edges(n))


@cache
def reference_of(pair: str = "EUR_USD", n: int = 1000) -> naive.Damped:
    return naive.damp(*series(pair, n))


def assert_agree(computed: Damping, reference: naive.Damped) -> None:
    """Property 5: engines agree with the float64 reference."""
    trajectory, expected = to_host(computed.trajectory), reference.trajectory
    np.testing.assert_array_equal(np.isnan(trajectory), np.isnan(expected))
    np.testing.assert_allclose(trajectory[..., :2], expected[..., :2], rtol=0, atol=2e-5)
    np.testing.assert_allclose(trajectory[..., 3], expected[..., 3], rtol=0, atol=1e-4)
    off = np.abs(trajectory[..., 2] - expected[..., 2]) > 2e-5
    assert off.sum() <= 0.001 * off.size
    np.testing.assert_allclose(to_host(computed.decay), reference.decay, rtol=0, atol=2e-5)
    ratios = to_host(computed.state_ratios)
    np.testing.assert_allclose(ratios, reference.state_ratios, rtol=0, atol=2e-5)
    other_steps = to_host(computed.steps) != reference.steps
    assert other_steps.sum() <= 0.005 * len(other_steps)
    settled = to_host(computed.converged)[~other_steps]
    np.testing.assert_array_equal(settled, reference.converged[~other_steps])


def assert_same_damping(computed: Damping, reference: Damping, bars: slice = slice(None)) -> None:
    for field in fields(Damping):
        assert_same_bits(getattr(computed, field.name), getattr(reference, field.name)[bars])


@pytest.mark.parametrize("pair", list(LEVELS))
def test_engines_agree_with_the_reference(pair: str, engine: str) -> None:
    computed = damp(*series(pair), engine=engine)
    assert_agree(computed, reference_of(pair))
    assert np.isfinite(computed.trajectory[257:]).all(axis=(1, 2)).mean() > 0.95


@pytest.mark.parametrize("n", SIZES)
def test_sizes(n: int, engine: str) -> None:
    whole = reference_of()
    reference = whole._replace(**{name: getattr(whole, name)[:n] for name in whole._fields})
    assert_agree(damp(*series().cut(0, n), engine=engine), reference)


def test_segment_edges(engine: str) -> None:
    bars, segments = walk(1400, seed=3), edges(1400, 1, 258, 516, 775, 776, 1100)
    made = inputs(bars, segments)
    computed = damp(*made, engine=engine)
    assert_agree(computed, naive.damp(*made))
    known = np.flatnonzero(to_host(computed.steps) > 0)
    ages = known - np.searchsorted(segments, segments[known])
    assert ages.min() == 257


@pytest.mark.parametrize(
    "params",
    [
        {"tau": 1.0},
        {"tau": 1.0, "k1": 5.0, "k2": 5.0},
        {"tau": 1024.0, "decay0": 0.01},
        {"k1": 0.0, "k2": 0.0, "decay0": 1.0},
        {"k1": 5.0, "k2": 5.0, "tolerance": 1e-4},
    ],
)
def test_bounds_of_the_parameters(params: dict[str, float], engine: str) -> None:
    made = series().cut(0, 420)
    reference = naive.damp(*made, naive.Params(**params))
    assert_agree(damp(*made, params=DampingParams(**params), engine=engine), reference)


@pytest.mark.parametrize("t", [256, 257, 258, 300, 511, 512, 513, 999])
def test_truncation_changes_no_bit(t: int, engine: str) -> None:
    whole = damp(*series(), engine=engine)
    assert_same_damping(damp(*series().cut(0, t + 1), engine=engine), whole, slice(t + 1))


@pytest.mark.parametrize("start", [1, 63, 128, 129, 500])
def test_chunks_change_no_bit(start: int, engine: str) -> None:
    whole = damp(*series(), engine=engine)
    chunk = damp(*series().cut(start, 1000), engine=engine)
    for field in fields(Damping):
        computed, reference = getattr(chunk, field.name), getattr(whole, field.name)
        assert_same_bits(computed[257:], reference[start + 257 :])


@pytest.mark.parametrize("t", [0, 1, 127, 128, 256, 257, 258, 300, 999])
@pytest.mark.parametrize("decay0", [0.25, 1.0])
def test_the_newest_bar_alone(t: int, decay0: float) -> None:
    params, start = DampingParams(decay0=decay0), max(0, t - 257)
    whole = damp(*series().cut(0, t + 1), params=params, engine="cpu")
    newest = damp_newest(*series().cut(start, t + 1), params=params)
    assert_same_damping(newest, whole, slice(t, t + 1))


def test_without_bars_there_is_no_newest() -> None:
    with pytest.raises(ValueError, match="events must hold at least one bar"):
        damp_newest(*series().cut(0, 0))
    with pytest.raises(ValueError, match="events must be codes 0 to 4"):
        damp_newest(*series()._replace(events=np.full(1000, 5, np.uint8)))


def test_a_poisoned_future_changes_nothing(engine: str) -> None:
    bars, segments, t = walk(1000, seed=7), edges(1000), 640
    clean = damp(*inputs(bars, segments, engine), engine=engine)
    for column in bars.values():
        column[t + 1 :] = np.nan
    poisoned = damp(*inputs(bars, segments, engine), engine=engine)
    for field in fields(Damping):
        computed, reference = getattr(poisoned, field.name), getattr(clean, field.name)
        assert_same_bits(computed[: t + 1], reference[: t + 1])
    assert np.isnan(poisoned.trajectory[t + 1 :]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_spreads_to_what_looks_at_it_and_no_further(bad: float, engine: str) -> None:
    clean, u = damp(*series(), engine=engine), 400
    log_price = series().log_price.copy()
    log_price[u] = bad
    computed = damp(*series()._replace(log_price=log_price), engine=engine)
    looks = slice(u, u + 258)
    assert np.isnan(computed.trajectory[looks]).all()
    assert np.isnan(computed.decay[looks]).all()
    assert np.isnan(computed.state_ratios[looks]).all()
    assert (computed.steps[looks] == -1).all()
    assert not computed.converged[looks].any()
    for rest in (slice(u), slice(u + 258, None)):
        for field in fields(Damping):
            reference = getattr(clean, field.name)[rest]
            assert_same_bits(getattr(computed, field.name)[rest], reference)


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_without_volatility_only_the_damped_value_is_null(bad: float, engine: str) -> None:
    clean = damp(*series(), engine=engine)
    sigma = series().sigma.copy()
    sigma[600] = bad
    computed = damp(*series()._replace(sigma=sigma), engine=engine)
    assert np.isnan(computed.trajectory[600, :, 3]).all()
    assert_same_bits(computed.trajectory[600, :, :3], clean.trajectory[600, :, :3])
    assert_same_bits(computed.trajectory[601:], clean.trajectory[601:])
    assert computed.steps[600] == clean.steps[600]


def test_no_event_in_the_smallest_window_means_no_metrics(engine: str) -> None:
    events = series().events.copy()
    events[500:509] = 4
    computed = damp(*series()._replace(events=events), engine=engine)
    null = np.isnan(computed.trajectory).all(axis=(1, 2))
    np.testing.assert_array_equal(null[490:520], [t in (507, 508) for t in range(490, 520)])
    silent = damp(*series()._replace(events=np.full(1000, 4, np.uint8)), engine=engine)
    assert (silent.steps == -1).all()


@pytest.mark.parametrize("code", [0, 3])
def test_one_kind_of_event_has_no_entropy(code: int, engine: str) -> None:
    events = np.full(300, code, np.uint8)
    computed = damp(*series().cut(0, 300)._replace(events=events), engine=engine)
    expected = np.broadcast_to(np.array([0, 1, 1], np.float32), (43, 16, 3))
    np.testing.assert_allclose(computed.trajectory[257:, :, :3], expected, atol=1e-6)
    np.testing.assert_allclose(computed.decay[257:, 1:], 0.01, atol=1e-6)
    assert computed.collapse()[257:].all() == (code == 3)


@pytest.mark.parametrize("factor", [2.0, 113.37, 1e-3])
def test_scaled_prices_give_the_same_metrics(factor: float, engine: str) -> None:
    bars = walk(1000, seed=7)
    scaled = {name: column * factor for name, column in bars.items()}
    made, other = (inputs(each, edges(1000), engine) for each in (bars, scaled))
    np.testing.assert_array_equal(other.events, made.events)
    computed, reference = damp(*other, engine=engine), damp(*made, engine=engine)
    np.testing.assert_allclose(computed.trajectory, reference.trajectory, rtol=1e-5, atol=1e-6)


def test_coarser_prices_keep_the_medians(engine: str) -> None:
    bars = walk(20_000, seed=11)
    coarse = {name: np.round(column, 4) for name, column in bars.items()}
    medians = [
        np.nanmedian(damp(*inputs(each, edges(20_000), engine), engine=engine).trajectory, axis=0)
        for each in (bars, coarse)
    ]
    assert np.mean(coarse["close"][1:] == coarse["close"][:-1]) > 0.2
    np.testing.assert_allclose(medians[1][-1, :3], medians[0][-1, :3], rtol=0, atol=0.03)


def test_last_step_alone(engine: str) -> None:
    whole = damp(*series(), engine=engine)
    last = damp(*series(), output="last", engine=engine)
    assert last.trajectory.shape == (1000, 1, 4)
    assert_same_bits(last.trajectory, whole.trajectory[:, -1:])
    assert_same_bits(last.decay, whole.decay[:, -1:])
    for name in ("steps", "converged", "state_ratios"):
        assert_same_bits(getattr(last, name), getattr(whole, name))


def test_half_precision_is_the_rounded_result(engine: str) -> None:
    whole = damp(*series(), engine=engine)
    half = damp(*series(), dtype=np.float16, engine=engine)
    assert_same_bits(half.trajectory, whole.trajectory.astype(np.float16))


@pytest.mark.parametrize("n", [257, 258, 511, 512, 513, 641, 900])
def test_half_precision_at_the_edges_of_blocks(n: int, engine: str) -> None:
    made = series().cut(0, n)
    whole, half = (damp(*made, dtype=dtype, engine=engine) for dtype in (np.float32, np.float16))
    assert_same_bits(half.trajectory, whole.trajectory.astype(np.float16))
    for name in ("decay", "steps", "converged", "state_ratios"):
        assert_same_bits(getattr(half, name), getattr(whole, name))


def test_metrics_stay_in_their_range(engine: str) -> None:
    made = series()
    for events in (made.events, np.full(1000, 3, np.uint8), (made.events > 2).astype(np.uint8) * 3):
        known = to_host(damp(*made._replace(events=events), engine=engine).trajectory)[257:, :, :3]
        assert ((known >= 0) & (known <= 1) | np.isnan(known)).all()


@pytest.mark.parametrize("tau", [8.0, 100.0, 1024.0])
def test_a_trend_keeps_the_digits_of_the_damped_value(tau: float, engine: str) -> None:
    rise = 1e-4 * np.random.default_rng(1).uniform(0.5, 1.5, 400)
    made = (
        series()
        .cut(0, 400)
        ._replace(
            events=np.full(400, 3, np.uint8), log_price=np.cumsum(rise), sigma=np.full(400, 1e-4)
        )
    )
    computed = damp(*made, params=DampingParams(tau=tau), engine=engine).trajectory[257:, :, 3]
    reference = naive.damp(*made, naive.Params(tau=tau)).trajectory[257:, :, 3]
    np.testing.assert_allclose(computed, reference, rtol=2e-6, atol=1e-4)


def test_results_are_of_the_kind_that_came_in(engine: str, native: Callable[[Any], Any]) -> None:
    made = Inputs(*map(native, series()))
    for chosen in (engine, "cpu"):
        computed = damp(*made, engine=chosen)
        for field in fields(Damping):
            assert array_module(getattr(computed, field.name)) is array_module(*made)
        assert_agree(computed, reference_of())


def test_windows() -> None:
    assert list(WINDOWS) == naive.WINDOWS


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"events": np.zeros(1000, np.int64)}, TypeError, "events must be uint8, not int64"),
        ({"events": np.full(1000, 5, np.uint8)}, ValueError, "events must be codes 0 to 4"),
        ({"log_price": np.zeros(1000, np.float32)}, TypeError, "log_price must be float64"),
        ({"sigma": np.zeros(999)}, ValueError, r"sigma must have shape \(1000\), not \(999,\)"),
        ({"segments": np.zeros(1000, np.int64)}, TypeError, "segments must be int32"),
        ({"segments": -np.arange(1000, dtype=np.int32)}, ValueError, "segments must not decrease"),
    ],
)
def test_bad_arrays_are_named(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        damp(*series()._replace(**changed))


def test_bad_choices_are_named() -> None:
    with pytest.raises(ValueError, match="output must be 'all' or 'last', not 'first'"):
        damp(*series(), output="first")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dtype must be float32 or float16, not float64"):
        damp(*series(), dtype=np.float64)
    with pytest.raises(ValueError, match="engine must be"):
        damp(*series(), engine="npu")


@pytest.mark.parametrize("name", ["k1", "k2", "tau", "decay0", "tolerance", "collapse_threshold"])
@pytest.mark.parametrize("value", [-1.0, 1e9, np.nan])
def test_parameters_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be between"):
        DampingParams(**{name: value})
