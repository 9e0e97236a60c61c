"""Paths: unit length, one row at a time, and nothing where there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernels import paths as module
from kernels.device import array_module, to_host
from kernels.paths import FLOOR, Standard, fit_standard, has_path, unit_paths
from tests import naive

Native = Callable[[Any], Any]


def trajectories(n: int, dtype: Any = np.float32) -> np.ndarray:
    rng = np.random.default_rng(n)
    values = rng.standard_normal((n, 16, 4)) * rng.uniform(0.01, 3, (16, 4)) + 0.3
    values[rng.random(n) < 0.1] = np.nan
    values[rng.random((n, 16, 4)) < 5e-4] = np.nan
    return values.astype(dtype)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 127, 500])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_paths_are_those_of_the_slow_twin(
    engine: str, native: Native, n: int, dtype: Any
) -> None:
    values = trajectories(n, dtype)
    standard = fit_standard(native(trajectories(200)), native(np.arange(100)))
    out = unit_paths(native(values), standard)
    expected = naive.unit_paths(values, standard.mean, standard.deviation)
    assert array_module(out) is array_module(native(values))
    assert out.dtype == np.float32
    np.testing.assert_allclose(to_host(out), expected, atol=1e-6)
    np.testing.assert_array_equal(to_host(has_path(out)), ~np.isnan(expected).any(axis=1))
    assert engine


WEIGHTS = {
    "some": np.random.default_rng(1).uniform(0, 1, 64),
    "last step": np.repeat([0.0, 1.0], [60, 4]),
}


@pytest.mark.parametrize("lift", [0.0, 0.1, 30.0])
@pytest.mark.parametrize("way", WEIGHTS)
def test_weighed_and_lifted_paths_are_those_of_the_slow_twin(
    engine: str, native: Native, way: str, lift: float
) -> None:
    values, weight = trajectories(300), WEIGHTS[way]
    values[7, 0, 0], values[8, 15, 3] = np.nan, np.nan
    plain = fit_standard(trajectories(200), np.arange(100))
    out = to_host(unit_paths(native(values), plain.weighted(weight, lift)))
    expected = naive.unit_paths(values, plain.mean, plain.deviation, weight, lift)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    assert np.isnan(out[7:9]).all()
    assert engine


def test_a_great_lift_tells_distances() -> None:
    values = trajectories(60, np.float64)
    values = values[np.isfinite(values).all(axis=(1, 2))]
    plain = fit_standard(values, np.arange(len(values)))
    a = unit_paths(values, plain.weighted(np.ones(64), 1000.0)).astype(np.float64)
    z = ((values.reshape(-1, 64) - plain.mean) / plain.deviation)[:, 1:]
    squared = ((z[:, None] - z) ** 2).sum(axis=2)
    apart = ((a[:, None] - a) ** 2).sum(axis=2) * 1000.0**2
    np.testing.assert_allclose(apart, squared, rtol=2e-3, atol=1e-6)


def test_a_path_depends_on_its_row_alone(
    engine: str, native: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = trajectories(300)
    standard = fit_standard(values, np.arange(300))
    whole = to_host(unit_paths(native(values), standard))
    for t in (0, 64, 299):
        alone = to_host(unit_paths(native(values[t : t + 1]), standard))
        np.testing.assert_array_equal(alone[0], whole[t])
    monkeypatch.setattr(module, "BLOCK", 7)
    np.testing.assert_array_equal(to_host(unit_paths(native(values), standard)), whole)
    assert engine


def test_a_path_has_unit_length(engine: str, native: Native) -> None:
    values = native(trajectories(400))
    out = to_host(unit_paths(values, fit_standard(values, native(np.arange(400)))))
    rows = ~np.isnan(out).any(axis=1)
    assert 0.8 < rows.mean() < 0.95
    np.testing.assert_allclose((out[rows] ** 2).sum(axis=1), 1, atol=1e-6)
    assert np.isnan(out[~rows]).all()
    assert engine


def test_the_mean_itself_has_no_path() -> None:
    standard = Standard(np.arange(64.0), np.ones(64))
    out = unit_paths(np.arange(64.0).reshape(1, 16, 4), standard)
    assert np.isnan(out).all()


def test_only_training_rows_count() -> None:
    values = trajectories(300)
    known = fit_standard(values, np.arange(100))
    poisoned = values.copy()
    poisoned[100:] = 1e9
    again = fit_standard(poisoned, np.arange(300) < 100)
    np.testing.assert_array_equal(known.mean, again.mean)
    np.testing.assert_array_equal(known.deviation, again.deviation)
    whole = values[:100].reshape(100, 64)
    whole = whole[~np.isnan(whole).any(axis=1)].astype(np.float64)
    np.testing.assert_allclose(known.mean, whole.mean(axis=0))
    np.testing.assert_allclose(known.deviation, whole.std(axis=0))


def test_a_dimension_that_stands_still_is_no_direction() -> None:
    values = trajectories(100)
    values[:, 3, 1] = 0.5
    standard = fit_standard(values, np.arange(100))
    assert standard.deviation.reshape(16, 4)[3, 1] == FLOOR
    assert (standard.deviation >= FLOOR).all()


def test_bad_input_is_named() -> None:
    values = trajectories(20)
    with pytest.raises(ValueError, match="trajectory has shape"):
        fit_standard(values[:, :1], np.arange(3))
    with pytest.raises(ValueError, match="257 bars"):
        fit_standard(np.full((9, 16, 4), np.nan), np.arange(3))
    with pytest.raises(ValueError, match="deviation must be above zero"):
        Standard(np.zeros(64), np.zeros(64))
    with pytest.raises(ValueError, match="mean must be"):
        Standard(np.zeros(63), np.ones(64))
    with pytest.raises(ValueError, match="deviation must be above zero"):
        Standard(np.zeros(64), np.ones(64)).weighted(np.full(64, np.nan), 0.0)
    with pytest.raises(ValueError, match="deviation must be above zero"):
        Standard(np.zeros(64), np.ones(64)).weighted(np.full(64, -1.0), 0.0)
