"""The walks against closed forms, simulation and the rules of a bar."""

from __future__ import annotations

from itertools import pairwise, product
from math import erf, sqrt

import numpy as np
import pytest

from kernels.synthetic import PlantedWalk, planted_walk, random_walk
from kernels.synthetic.hidden import trade

PRICES = ("open", "high", "low", "close")


def cdf(z: float) -> float:
    return 0.5 * (1 + erf(z / sqrt(2)))


def wins(walk: PlantedWalk, horizon: int, side: int) -> np.ndarray:
    """Time exits by hand: 1 won, 0 lost, for every bar whose exit lies in the data."""
    enter, leave = (walk.ask_open, walk.bid_open) if side == 0 else (walk.bid_open, walk.ask_open)
    gain = (leave[horizon + 1 :] - enter[1:-horizon]) * (1 - 2 * side)
    return (gain > 0).astype(float)


@pytest.fixture(scope="module")
def walk() -> PlantedWalk:
    return planted_walk(150_000, seed=7)


@pytest.mark.parametrize("n", [1, 2, 63, 65, 65_537])
@pytest.mark.parametrize("quote", ["", "bid_", "ask_"])
def test_bars_hold_together(n: int, quote: str) -> None:
    bars = planted_walk(n, seed=n)
    opens, high, low, close = (getattr(bars, quote + name) for name in PRICES)
    assert all(len(price) == n for price in (opens, high, low, close))
    assert (low > 0).all()
    assert (low <= np.minimum(opens, close)).all()
    assert (high >= np.maximum(opens, close)).all()
    np.testing.assert_array_equal(opens[1:], close[:-1])
    assert (bars.volume >= 1).all()
    assert bars.true_probability.shape == bars.true_gain.shape == (n, 2)


def test_highs_are_reached_inside_the_bar(walk: PlantedWalk) -> None:
    inside = walk.high > np.maximum(walk.open, walk.close)
    assert 0.5 < inside.mean() < 1


def test_quotes_stand_one_cost_apart(walk: PlantedWalk) -> None:
    np.testing.assert_allclose(np.log(walk.ask_close / walk.bid_close), 0.5e-4, rtol=1e-9)


def test_the_seed_is_the_walk() -> None:
    first, again, other = (planted_walk(500, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.close, again.close)
    assert not np.array_equal(first.close, other.close)


def test_returns_have_the_stated_deviation_and_drift(walk: PlantedWalk) -> None:
    standard = np.diff(np.log(walk.close)) / 1e-4
    residual = standard - walk.drift[1:]
    assert abs(residual.std() - 1) < 0.01
    for level in (-0.25, 0.0, 0.25):
        rows = walk.drift[1:] == level
        assert rows.mean() > 0.2
        assert abs(residual[rows].mean()) < 4 / np.sqrt(rows.sum())


def test_the_drift_is_drawn_afresh_at_the_stated_rate(walk: PlantedWalk) -> None:
    changes = (np.diff(walk.drift) != 0).mean()
    assert abs(changes - 0.01 * 2 / 3) < 5e-4


@pytest.mark.parametrize("horizon", [1, 3])
def test_probability_by_state_is_the_sum_over_all_drift_paths(horizon: int) -> None:
    table = trade(horizon, drift=0.25, switch=0.01, cost=0.5, unit=1e-4)
    expected = dict.fromkeys((-1, 0, 1), 0.0)
    for now, *path in product((-1, 0, 1), repeat=horizon + 1):
        chance, state = 1.0, now
        for following in path:
            chance *= 0.01 / 3 + 0.99 * (following == state)
            state = following
        expected[now] += chance * cdf((0.25 * sum(path) - 0.5) / sqrt(horizon))
    for state, value in expected.items():
        assert table.probability[1 + state, 0] == pytest.approx(value, abs=1e-12)
        assert table.probability[1 - state, 1] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("side", [0, 1])
def test_wins_come_as_often_as_said(walk: PlantedWalk, side: int) -> None:
    said = walk.true_probability[:-9:9, side]
    won = wins(walk, 8, side)[::9]
    edges = np.quantile(said, [0.2, 0.4, 0.6, 0.8])
    bins = np.searchsorted(edges, said)
    for group in np.unique(bins):
        rows = bins == group
        assert abs(said[rows].mean() - won[rows].mean()) < 4 * 0.5 / np.sqrt(rows.sum())


def test_the_true_probability_is_bayes_over_all_histories() -> None:
    model = {"horizon": 2, "drift": 0.8, "switch": 0.3}
    bars = planted_walk(5, seed=2, **model)  # type: ignore[arg-type]
    returns = np.diff(np.log(bars.close), prepend=0.0) / 1e-4
    weight = np.zeros(3)
    for path in product(range(3), repeat=5):
        moves = [0.1 + 0.7 * (before == after) for before, after in pairwise(path)]
        residual = returns - 0.8 * (np.array(path) - 1)
        weight[path[-1]] += np.prod(moves) * np.exp(-(residual**2).sum() / 2)
    table = trade(**model, cost=0.5, unit=1e-4)  # type: ignore[arg-type]
    expected = weight / weight.sum() @ table.probability
    np.testing.assert_allclose(bars.true_probability[-1], expected, atol=1e-9)


def test_the_null_walk_knows_one_probability() -> None:
    bars = random_walk(1000, seed=1, horizon=8)
    np.testing.assert_allclose(bars.true_probability, cdf(-0.5 / sqrt(8)), atol=1e-12)
    assert (bars.drift == 0).all()


@pytest.mark.parametrize(
    "bad", [{"n": 0}, {"horizon": 0}, {"sigma": 0.0}, {"switch": 1.5}, {"switch": -0.1}]
)
def test_impossible_walks_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give"):
        planted_walk(**{"n": 10, "seed": 0, **bad})  # type: ignore[arg-type]
