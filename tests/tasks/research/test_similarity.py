"""Similarity: what matters is found, on the library span, from rows that lie nowhere near."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernels.paths import Standard, fit_standard
from tasks.research import similarity
from tasks.research.similarity import COUNTS, WEIGHTS, Sample, choose, relevance, shares, told_apart
from tests.tasks.research.learners.planted import outcomes

HORIZON = 4


def sample(
    n: int = 1_500, *, edge: int | None = None, strength: float = 2.0, seed: int = 0
) -> tuple[Sample, Standard]:
    """Return bars whose trades hang on one dimension of their trajectory, or on none."""
    rng = np.random.default_rng(seed)
    flat = rng.standard_normal((n, 64)).astype(np.float32)
    odds = np.zeros(n) if edge is None else strength * flat[:, edge].astype(float)
    trajectory = flat.reshape(n, 16, 4)
    features = np.column_stack([flat[:, -4:], rng.normal(0, 0.3, n)]).astype(np.float32)
    position = np.arange(n) * HORIZON
    bars = Sample(position, trajectory, features, outcomes(odds, seed=seed), HORIZON)
    return bars, fit_standard(trajectory, np.arange(n))


def test_relevance_weighs_the_dimension_that_matters() -> None:
    bars, plain = sample(edge=21)
    weight = relevance(bars.trajectory, plain, bars.win)
    assert weight[21] == 1
    assert np.delete(weight, 21).max() < 0.3
    z = bars.trajectory.reshape(-1, 64)[:, 21]
    expected = [np.corrcoef(z, bars.win[:, side])[0, 1] for side in (0, 1)]
    other = [
        np.corrcoef(bars.trajectory.reshape(-1, 64)[:, 5], bars.win[:, s])[0, 1] for s in (0, 1)
    ]
    assert weight[5] == pytest.approx(np.hypot(*other) / np.hypot(*expected), rel=1e-4)


def test_one_kind_of_outcome_weighs_all_alike() -> None:
    bars, plain = sample(200)
    np.testing.assert_array_equal(
        relevance(bars.trajectory, plain, np.zeros((200, 2), np.int8)), np.ones(64)
    )


def test_the_way_that_knows_is_chosen() -> None:
    assert choose(*sample(edge=21), engine="cpu").way == "relevance"
    assert choose(*sample(edge=62), engine="cpu").way in ("last step", "relevance")


def test_the_chosen_weights_are_those_of_the_whole_span() -> None:
    bars, plain = sample(edge=21)
    chosen = choose(bars, plain, engine="cpu")
    weight = WEIGHTS[chosen.way](bars.trajectory, plain, bars.win)
    np.testing.assert_array_equal(chosen.weight, weight)
    assert chosen.lift in (0.0, pytest.approx(np.sqrt((weight[1:] ** 2).sum())))
    standard = chosen.standard(plain)
    np.testing.assert_allclose(standard.deviation * chosen.weight, plain.deviation)


@pytest.mark.parametrize("n", [60, 200, 700])
def test_few_rows_ask_few_neighbours(n: int) -> None:
    chosen = choose(*sample(n), engine="cpu")
    assert chosen.k in COUNTS
    assert chosen.k <= max(COUNTS[0], n // 4)


def test_nobody_is_told_by_rows_near_him() -> None:
    bars, plain = sample(900)
    trial = similarity._Trial(bars, plain, "cpu", apart=1)
    for fold in np.unique(trial.fold):
        *_, asked, rows = trial.search("alike", False, 32, int(fold))
        apart = np.abs(bars.position[asked][:, None] - bars.position[rows])
        assert apart.min() > 2 * (HORIZON + 1)
        assert (trial.fold[asked] == fold).all()
        assert (trial.fold[rows] != fold).all()


def twins(bars: Sample) -> Sample:
    """Return the sample with every path there a second time, half a fold later, won by longs."""
    flat = bars.trajectory.copy()
    flat[1::2] = flat[::2]
    win = bars.win.copy()
    win[1::2] = [1, 0]
    return replace(bars, trajectory=flat, win=win)


def test_an_exact_copy_nearby_is_not_asked() -> None:
    """Each bar's twin follows it at once, and says how it ended; nobody may know."""
    bars, plain = sample(800)
    bars = twins(bars)
    chosen = replace(choose(bars, plain, engine="cpu"), k=32)
    apart = told_apart(bars, plain, chosen, engine="cpu")
    at = np.searchsorted(bars.position, apart.position)
    odd = at % 2 == 1
    share = apart.wins[:, 0] / apart.k_eff
    assert abs(share[odd].mean() - share[~odd].mean()) < 0.03
    assert np.isfinite(apart.local).all()


def test_apart_is_told_of_rows_at_least_half_a_horizon_apart() -> None:
    bars, plain = sample(800)
    apart = told_apart(bars, plain, choose(bars, plain, engine="cpu"), engine="cpu")
    assert (np.diff(apart.position) >= HORIZON // 2).all()
    assert np.isin(apart.position, bars.position).all()
    assert (apart.k_eff > 0).all()
    assert ((apart.wins >= 0) & (apart.wins <= apart.k_eff[:, None])).all()


@pytest.mark.parametrize("sides", [(0, 1), (1, 0), (0, 0), (1, 1)])
def test_a_span_of_one_kind_of_outcome_says_its_base_rate(sides: tuple[int, int]) -> None:
    bars, plain = sample(300)
    bars = replace(bars, win=np.tile(np.array(sides, np.int8), (300, 1)))
    chosen = choose(bars, plain, engine="cpu")
    apart = told_apart(bars, plain, chosen, engine="cpu")
    assert np.isfinite(apart.local).all()
    assert ((apart.local > 0) == np.array(sides, np.bool_)).all()


def test_shares_are_never_none_or_all() -> None:
    win = np.array([[1, 0], [1, 0], [1, 0], [1, 1]], np.int8)
    assert shares(win).tolist() == [1 - 0.125, 0.25]
    assert shares(1 - win).tolist() == [0.125, 0.75]


def test_the_same_sample_chooses_the_same() -> None:
    first, again = (choose(*sample(500, edge=3), engine="cpu") for _ in range(2))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_a_thinned_sample_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "QUERIES", 200)
    monkeypatch.setattr(similarity, "ROWS", 100)
    bars, plain = sample(1_000)
    trial = similarity._Trial(bars, plain, "cpu", apart=1)
    assert len(trial.sample.position) == 200
    *_, rows = trial.search("alike", True, 32, 0)
    assert len(rows) <= 100
    assert told_apart(bars, plain, choose(bars, plain, engine="cpu"), engine="cpu").k_eff.min() > 0
