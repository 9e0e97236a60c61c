"""Windows against plain loops; no value depends on where the data begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kernels import windows

Floats = NDArray[np.float64]
SIZES = (1, 2, 3, 7, 8, 31, 63, 64, 65, 127)
DECAY = 0.9


def ramp(x: Floats) -> float:
    weights = np.arange(1, len(x) + 1)
    return float((x * weights).sum() / weights.sum())


def covariance(x: Floats, y: Floats) -> float:
    return float(((x - x.mean()) * (y - y.mean())).mean())


def standard(x: Floats, power: int) -> float:
    return float((((x - x.mean()) / x.std()) ** power).mean()) if x.std() > 0 else np.nan


ONE: dict[str, tuple[Callable[..., Any], Callable[[Floats], float]]] = {
    "total": (windows.total, np.sum),
    "decayed": (
        lambda x, n: windows.total(x, n, DECAY),
        lambda w: float((w * DECAY ** np.arange(len(w))[::-1]).sum()),
    ),
    "highest": (windows.highest, np.max),
    "lowest": (windows.lowest, np.min),
    "mean": (lambda x, n: windows.moments(x, n)[0], np.mean),
    "variance": (lambda x, n: windows.moments(x, n)[1], np.var),
    "ramp": (windows.ramp, ramp),
    "drift": (
        lambda x, n: windows.drift(x, n)[0],
        lambda w: covariance(w, np.arange(float(len(w)))),
    ),
    "drift_variance": (lambda x, n: windows.drift(x, n)[1], np.var),
    "rank": (windows.rank, lambda w: ((w < w[-1]).sum() + 0.5 * (w == w[-1]).sum()) / len(w)),
    "percentile": (
        lambda x, n: windows.percentile(x, 0.3, n),
        lambda w: float(np.quantile(w, 0.3)),
    ),
    "skew": (lambda x, n: windows.shape(x, n)[0], lambda w: standard(w, 3)),
    "kurtosis": (lambda x, n: windows.shape(x, n)[1], lambda w: standard(w, 4) - 3),
}


def walk(n: int, *, seed: int = 0, holes: bool = False) -> Floats:
    """A walk far from zero, with ties, and on request with NaN in it."""
    rng = np.random.default_rng(seed)
    x = np.round(1.1 + np.cumsum(rng.normal(0, 1e-3, n)), 3)
    if holes:
        x[rng.random(n) < 0.02] = np.nan
    return x


def expected(x: Floats, n: int, reference: Callable[[Floats], float]) -> Floats:
    found = np.full(len(x), np.nan)
    for t in range(n - 1, len(x)):
        window = x[t - n + 1 : t + 1]
        if not np.isnan(window).any():
            found[t] = reference(window)
    return found


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("holes", [False, True])
def test_it_is_what_a_loop_finds(name: str, n: int, holes: bool) -> None:
    kernel, reference = ONE[name]
    x = walk(300, seed=n, holes=holes)
    least = 1e-9 if name in ("skew", "kurtosis") else 1e-12  # zero but for rounding
    np.testing.assert_allclose(kernel(x, n), expected(x, n, reference), rtol=1e-6, atol=least)


@pytest.mark.parametrize("n", [2, 7, 64, 65])
def test_moments_of_two_series(n: int) -> None:
    x, y = walk(300, seed=1, holes=True), walk(300, seed=2, holes=True)
    both, own, other = windows.comoments(x, y, n)
    for t in range(300):
        a, b = x[max(t - n + 1, 0) : t + 1], y[max(t - n + 1, 0) : t + 1]
        if t < n - 1 or np.isnan(a + b).any():
            assert np.isnan([both[t], own[t], other[t]]).all()
        else:
            wanted = covariance(a, b), a.var(), b.var()
            np.testing.assert_allclose((both[t], own[t], other[t]), wanted, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("n", [1, 20, 64, 500])
def test_no_value_depends_on_where_the_data_begin(name: str, n: int) -> None:
    kernel, _ = ONE[name]
    x = walk(windows.CHUNK + 3_000, seed=n)
    whole = kernel(x, n)
    for start in (1, 777, windows.CHUNK - 5, windows.CHUNK + 1_001):
        np.testing.assert_array_equal(kernel(x[start:], n)[n - 1 :], whole[start + n - 1 :])


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_fewer_values_than_a_window(name: str, rows: int) -> None:
    assert np.isnan(ONE[name][0](walk(rows), 5)).all()


def test_a_spike_is_forgotten() -> None:
    """Where running sums would keep the rounding of a great number for ever."""
    x = walk(200)
    x[50] = 1e300
    clean = walk(200)
    for kernel, _ in ONE.values():
        np.testing.assert_array_equal(kernel(x, 20)[70:], kernel(clean, 20)[70:])
