"""The local logistic fit, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from math import log
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

import kernels.local
from kernels.device import array_module, launch_blocks, to_host
from kernels.local import local_logistic
from kernels.nearest import Neighbours
from kernels.tally import tally
from tests import naive
from tests.kernels.series import assert_same_bits
from tests.kernels.shim import load_on_cpu, no_compiler

Native = Callable[[Any], Any]
World = tuple[Neighbours, Any, Any, Any]
TOLERANCE = 1e-9
OPTIONS: dict[str, Any] = {"base_rate": (0.37, 0.41), "strength": 12.0, "ridge": 1.0}


def world(q: int, m: int, *, k: int = 64, rows: int = 500, seed: int = 0) -> World:
    """Neighbours padded with -1, some of their outcomes unknown, on the host."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, rows, (q, k))
    score = -np.sort(-(1 - 0.3 * rng.random((q, k))), axis=1).astype(np.float32)
    beyond = np.arange(k) >= rng.integers(0, k + 1, q)[:, None]
    index[beyond], score[beyond] = -1, np.nan
    features = rng.standard_normal((rows, m)).astype(np.float32)
    features[rng.random(features.shape) < 0.01] = np.nan
    odds = np.nan_to_num(features).sum(axis=1)[:, None] * np.array([0.4, -0.6])
    win = (rng.random((rows, 2)) < expit(odds)).astype(np.int8)
    win[rng.random(win.shape) < 0.1] = -1
    return Neighbours(score, index), rng.standard_normal((q, m)).astype(np.float32), features, win


def put(made: World, native: Native) -> World:
    neighbours, queries, features, win = made
    moved = Neighbours(native(neighbours.score), native(neighbours.index))
    return moved, native(queries), native(features), native(win)


def slow(made: World, **options: Any) -> Any:
    neighbours, queries, features, win = made
    numbers = OPTIONS | options
    rates = numbers.pop("base_rate")
    fit = np.empty((len(queries), 2))
    for i, (score, index, query) in enumerate(
        zip(neighbours.score, neighbours.index, queries, strict=True)
    ):
        for side, rate in enumerate(rates):
            outcomes = win[:, side]
            fit[i, side] = naive.local_logistic(
                score, index, query, features, outcomes, base_rate=rate, **numbers
            )
    return fit


def check(made: World, engine: str, native: Native, **options: Any) -> Any:
    """Equal to the slow twin; returns the fit."""
    there = put(made, native)
    computed = local_logistic(*there, **OPTIONS | options, engine=engine)
    assert array_module(computed) is array_module(there[1])
    fit = to_host(computed)
    assert fit.dtype == np.float64
    np.testing.assert_allclose(fit, slow(made, **options), rtol=0, atol=TOLERANCE)
    return fit


@pytest.mark.parametrize("q", [0, 1, 63, 64, 65, 127, 128, 129])
def test_every_query_as_by_the_slow_twin(engine: str, native: Native, q: int) -> None:
    fit = check(world(q, 5, seed=q), engine, native)
    assert q < 100 or 0 < np.isnan(fit).sum() < 20


@pytest.mark.parametrize("m", range(1, 9))
@pytest.mark.parametrize("options", [{}, {"strength": 0.5, "ridge": 0.1}, {"strength": 1e9}])
def test_any_number_of_features(
    engine: str, native: Native, m: int, options: dict[str, float]
) -> None:
    check(world(40, m, k=128, seed=m), engine, native, **options)


@pytest.mark.parametrize("k", [1, 2, 3, 511, 512])
def test_any_number_of_neighbours(engine: str, native: Native, k: int) -> None:
    check(world(30, 5, k=k, rows=2000, seed=k), engine, native)


def all_win(made: World) -> None:
    made[3][...] = 1


def all_lose(made: World) -> None:
    made[3][...] = 0


def one_side_unknown(made: World) -> None:
    made[3][:, 1] = -1


def one_known(made: World) -> None:
    made[0].index[:, 1:] = -1
    made[3][...] = 1


def duplicates(made: World) -> None:
    made[0].index[:, 1::2] = made[0].index[:, ::2]
    made[0].score[:, 1::2] = made[0].score[:, ::2]


def all_one_row(made: World) -> None:
    made[0].index[...] = 7
    made[2][7] = 0.5
    made[3][7] = 1, 0


def no_distance(made: World) -> None:
    made[0].score[...] = 1 + 2**-20


def constant(made: World) -> None:
    made[2][:, 0], made[1][:, 0] = 3, 3


def constant_elsewhere(made: World) -> None:
    made[2][:, 0], made[1][:, 0] = 3, 2


def collinear(made: World) -> None:
    for table in made[1:3]:
        table[:, 1] = 2 * table[:, 0]


def separable(made: World) -> None:
    made[3][...] = (made[2][:, :1] > 0) * np.int8(1)


def lonely(made: World) -> None:
    """Few neighbours are told apart by features that no penalty holds back."""
    made[0].index[(made[0].index >= 0).sum(axis=1) < 70] = -1


def huge(made: World) -> None:
    lonely(made)
    for table in made[1:3]:
        table *= np.float32(1e6)


def enormous(made: World) -> None:
    lonely(made)
    for table in made[1:3]:
        table[:, 2] *= np.float32(1e30)


def huge_and_collinear(made: World) -> None:
    huge(made)
    collinear(made)


def enormous_and_collinear(made: World) -> None:
    lonely(made)
    collinear(made)
    for table in made[1:3]:
        table[:, :2] *= np.float32(1e12)


def tiny(made: World) -> None:
    for table in made[1:3]:
        table *= np.float32(1e-6)


def missing(made: World) -> None:
    made[1][::3, 1], made[1][1::3, 2] = np.nan, np.inf
    made[2][::7, 0], made[2][1::7, 1] = np.nan, -np.inf


HARD = (
    all_win, all_lose, one_side_unknown, one_known, duplicates, all_one_row, no_distance, constant,
    constant_elsewhere, collinear, separable, huge, enormous, huge_and_collinear,
    enormous_and_collinear, tiny, missing,
)  # fmt: skip


@pytest.mark.parametrize("change", HARD)
def test_hard_ones(engine: str, native: Native, change: Callable[[World], None]) -> None:
    made = world(60, 5, k=128, seed=3)
    change(made)
    fit = check(made, engine, native)
    told = tally(made[0], made[3], base_rate=(0.4, 0.4), strength=(1, 1), engine="cpu").k_eff > 0
    assert np.isfinite(fit).sum() <= told.sum()
    if change is one_side_unknown:
        assert np.isnan(fit[:, 1]).all()
    if change is missing:
        assert np.isnan(fit[::3]).all()
        assert np.isnan(fit[1::3]).all()
        assert np.isfinite(fit[2::3]).any()


@pytest.mark.parametrize("ridge", [0.1, 0.3])
def test_a_rare_win_does_not_throw_the_fit(engine: str, native: Native, ridge: float) -> None:
    """Where Newton's steps, left as long as they come, end far from the minimum."""
    rare: dict[str, Any] = {"base_rate": (0.01, 0.01), "strength": 12.0, "ridge": ridge}
    check(world(80, 3, k=16, seed=5), engine, native, **rare)


@pytest.mark.parametrize("q", [1, 63, 64, 65, 300])
def test_a_row_depends_on_itself_alone(engine: str, native: Native, q: int) -> None:
    made = put(world(300, 5, seed=9), native)
    whole = local_logistic(*made, **OPTIONS, engine=engine)
    for first in range(0, 300, q):
        part = slice(first, first + q)
        neighbours = Neighbours(made[0].score[part], made[0].index[part])
        alone = local_logistic(neighbours, made[1][part], *made[2:], **OPTIONS, engine=engine)
        assert_same_bits(alone, whole[part])


def test_rows_dealt_out_come_back_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(5000, 3, k=8)
    whole = local_logistic(*made, **OPTIONS, engine="cpu")
    monkeypatch.setattr(
        "kernels.local.spread",
        lambda call, rows, _: kernels.spread.spread(call, rows, [nullcontext()] * 2),
    )
    assert_same_bits(local_logistic(*made, **OPTIONS, engine="cpu"), whole)


@pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))
@pytest.mark.parametrize("m", [1, 5, 8])
def test_the_cuda_source_fits_as_the_twin(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hard = [world(60, m, seed=3) for _ in range(4)]
    for change, made in zip((all_win, duplicates, no_distance, huge), hard, strict=True):
        change(made)
    worlds = [world(129, m, seed=m), *hard]
    expected = [local_logistic(*made, **OPTIONS, engine="cpu") for made in worlds]

    def launch(_: Any, module: str, name: str, n: int, *arguments: Any) -> None:
        launch_blocks(partial(load_on_cpu, FEATURES=m), module, name, n, *arguments)

    monkeypatch.setattr("kernels.local.launch", launch)
    for made, twin in zip(worlds, expected, strict=True):
        computed = local_logistic(*made, **OPTIONS, engine="cpu")
        np.testing.assert_allclose(computed, twin, rtol=0, atol=1e-9)
    worlds[0][0].index[7, 3] = 500
    with pytest.raises(ValueError, match="not 500;"):
        local_logistic(*worlds[0], **OPTIONS, engine="cpu")


@pytest.mark.parametrize("wrong", [500, 2**40, -2])
def test_an_index_outside_the_library_is_named(engine: str, native: Native, wrong: int) -> None:
    made = world(200, 5)
    made[0].index[170, 3] = wrong
    with pytest.raises(ValueError, match=rf"neighbours.index must .* 499, .* not {wrong};"):
        local_logistic(*put(made, native), **OPTIONS, engine=engine)


def planted(q: int, k: int, *, shift: float) -> tuple[World, Any]:
    """Wins with log-odds 2 x; the neighbours of a query lie `shift` above it on the mean."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-2, 2, 40_000)
    win = (rng.random((len(x), 2)) < expit(np.outer(x, [2.0, -2.0]))).astype(np.int8)
    asked, order = rng.uniform(-0.5, 0.5, q), np.argsort(x)
    at = np.searchsorted(x[order], rng.normal(asked[:, None] + shift, 0.25, (q, k)))
    score = np.full((q, k), 0.9, np.float32)
    index = order[np.clip(at, 0, len(x) - 1)]
    return (
        Neighbours(score, index), asked[:, None].astype(np.float32),
        x[:, None].astype(np.float32), win,
    ), np.outer(asked, [2.0, -2.0])  # fmt: skip


def test_neighbours_that_lie_to_one_side_bias_a_share_and_not_the_fit(
    engine: str, native: Native
) -> None:
    made, truth = planted(400, 512, shift=0.25)
    weak: dict[str, Any] = {"base_rate": (0.5, 0.5), "strength": 2.0}
    fit = to_host(local_logistic(*put(made, native), **weak, ridge=0.1, engine=engine))
    share = tally(made[0], made[3], base_rate=(0.5, 0.5), strength=(2.0, 2.0)).posterior
    biased = np.log(share / (1 - share)) - truth
    assert (abs(biased.mean(axis=0)) > 0.4).all()
    assert (abs((fit - truth).mean(axis=0)) < 0.05).all()
    assert (np.square(fit - truth).mean(axis=0) < np.square(biased).mean(axis=0) / 3).all()


def test_strength_shrinks_to_the_base_rate(engine: str, native: Native) -> None:
    made = put(world(100, 5, seed=2), native)
    base = np.log(np.array([0.37, 0.41]) / np.array([0.63, 0.59]))
    off = []
    for strength in (0.1, 1, 10, 100, 1e4, 1e8):
        fit = local_logistic(*made, **OPTIONS | {"strength": strength}, engine=engine)
        off.append(np.nanmean(abs(to_host(fit) - base)))
    assert (np.diff(off) < 0).all()
    assert off[-1] < 1e-5


def test_a_fit_without_features_that_tell_by_hand(engine: str, native: Native) -> None:
    """Equal features: the intercept alone, of three wins and one loss of equal weight."""
    neighbours = Neighbours(native(np.ones((1, 4), np.float32)), native(np.arange(4)[None]))
    same = native(np.ones((4, 1), np.float32))
    win = native(np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.int8))
    weak: dict[str, Any] = {"base_rate": (0.5, 0.5), "strength": 1e-9, "ridge": 1.0}
    fit = local_logistic(neighbours, same[:1], same, win, **weak, engine=engine)
    np.testing.assert_allclose(to_host(fit), [[log(3), -log(3)]], atol=1e-8)


@pytest.mark.parametrize(
    ("change", "error", "names"),
    [
        ({"win": np.zeros((4, 2))}, TypeError, "win must be int8"),
        ({"win": np.zeros((3, 2), np.int8)}, ValueError, r"win must have shape \(4, 2\)"),
        ({"queries": np.zeros((2, 5))}, TypeError, "queries must be float32"),
        ({"queries": np.zeros((3, 5), np.float32)}, ValueError, "queries must have shape"),
        ({"features": np.zeros((4, 4), np.float32)}, ValueError, "features must have shape"),
        ({"queries": np.zeros((2, 9), np.float32)}, ValueError, "1 to 8 features, not 9"),
        ({"queries": np.zeros((2, 0), np.float32)}, ValueError, "1 to 8 features, not 0"),
        ({"base_rate": (0.5,)}, ValueError, "base_rate must have shape"),
        ({"base_rate": (0.5, 1.0)}, ValueError, "base_rate must be above 0 and below 1"),
        ({"base_rate": (0.5, np.nan)}, ValueError, "base_rate must be above 0 and below 1"),
        ({"strength": 0.0}, ValueError, "strength must be above 0"),
        ({"strength": np.inf}, ValueError, "strength must be above 0 and finite"),
        ({"ridge": 0.0}, ValueError, "ridge must be above 0"),
        ({"engine": "npu"}, ValueError, "engine must be"),
    ],
)
def test_bad_fits_are_named(change: dict[str, Any], error: type[Exception], names: str) -> None:
    neighbours = Neighbours(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.int64))
    arrays: dict[str, Any] = {
        "queries": np.zeros((2, 5), np.float32),
        "features": np.zeros((4, 5), np.float32),
        "win": np.zeros((4, 2), np.int8),
    }
    with pytest.raises(error, match=names):
        local_logistic(neighbours, **{**arrays, **OPTIONS, **change})


def test_scores_are_as_many_as_rows() -> None:
    made = world(3, 2)
    with pytest.raises(ValueError, match=r"neighbours\.score must have shape"):
        local_logistic(Neighbours(made[0].score[:, 1:], made[0].index), *made[1:], **OPTIONS)


def test_an_empty_library_tells_nothing(engine: str, native: Native) -> None:
    made = world(3, 2, rows=1)
    made[0].index[...] = -1
    empty = put((made[0], made[1], made[2][:0], made[3][:0]), native)
    assert np.isnan(to_host(local_logistic(*empty, **OPTIONS, engine=engine))).all()
