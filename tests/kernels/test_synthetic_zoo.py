"""Every walk of the zoo against what became of it: its truth is calibrated, causal and unbeaten."""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtr
from scipy.stats import t

from kernels.synthetic import INSTRUMENTS, START, WALKS, PlantedWalk, draw, planted_walk
from kernels.synthetic.hidden import belief

HORIZON = 8
BARS = 200_000
PRICES = ("open", "high", "low", "close")
EDGES = [name for name, walk in WALKS.items() if walk.has_edge]
NO_EDGE = [name for name, walk in WALKS.items() if not walk.has_edge]
ONE_STREAM = {"drift", "none"}
"""Walks that draw all from one stream, as they did before the others came."""

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def drawn() -> dict[str, PlantedWalk]:
    return {}


@pytest.fixture(params=WALKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def walk(name: str, drawn: dict[str, PlantedWalk]) -> PlantedWalk:
    if name not in drawn:
        drawn[name] = draw(name, BARS, seed=7)
    return drawn[name]


def gains(walk: PlantedWalk, horizon: int = HORIZON) -> Floats:
    """Time exits by hand: net return of both sides, for every bar whose exit lies in the data."""
    ask, bid = walk.ask_open, walk.bid_open
    long = bid[horizon + 1 :] / ask[1:-horizon] - 1
    short = 1 - ask[horizon + 1 :] / bid[1:-horizon]
    return np.column_stack([long, short])


def z_score(residual: Floats) -> float:
    """Mean over its error, where neighbours within a trade's length may be alike."""
    spread = residual.std()
    return float(residual.mean() / (spread / np.sqrt(len(residual) / (HORIZON + 1)) + 1e-15))


def test_truth_is_calibrated(walk: PlantedWalk) -> None:
    became, n = gains(walk), BARS - HORIZON - 1
    for side in (0, 1):
        for said, came in (
            (walk.true_probability[:n, side], (became[:, side] > 0).astype(float)),
            (walk.true_gain[:n, side], became[:, side]),
        ):
            bins = np.searchsorted(np.unique(np.quantile(said, np.arange(0.1, 1, 0.1))), said)
            for group in np.unique(bins):
                assert abs(z_score((came - said)[bins == group])) < 4
            assert abs(z_score((came - said) * (said - said.mean()) / (said.std() + 1e-9))) < 4


def test_truth_is_not_beaten(walk: PlantedWalk) -> None:
    won = gains(walk) > 0
    truth = walk.true_probability[: len(won)]
    learnt = np.arange(len(won)) // 1_000 % 2 == 0
    base = won[learnt].mean(axis=0)
    damped = lfilter([0.1], [1, -0.9], np.log(walk.close / walk.open))[: len(won)]
    span = np.log(walk.high / walk.low)[: len(won)]
    others = {
        "base rate": np.broadcast_to(base, truth.shape),
        "less sure": base + 0.5 * (truth - base),
        "more sure": base + 1.5 * (truth - base),
        "late": np.concatenate([truth[:HORIZON], truth[:-HORIZON]]),
        "other side": truth[:, ::-1],
        "damped move": vote(damped, won, learnt),
        "range": vote(span, won, learnt),
    }
    for other in others.values():
        error, least = (((said - won)[~learnt] ** 2).mean() for said in (other, truth))
        assert least < error + 2e-5  # what chance makes of two that are as good


def vote(feature: Floats, won: NDArray[np.bool_], learnt: NDArray[np.bool_]) -> Floats:
    """Return the share of wins among the learnt bars with a like value."""
    bins = np.searchsorted(np.quantile(feature, np.arange(0.05, 1, 0.05)), feature)
    count = np.bincount(bins[learnt])
    shares = [np.bincount(bins[learnt], won[learnt, side]) / count for side in (0, 1)]
    return np.column_stack([share[bins] for share in shares])


@pytest.mark.parametrize("name", ["reversal", "hours", "lead", "pattern"])
def test_a_bar_ahead_the_drift_is_all_there_is(name: str) -> None:
    walk = draw(name, 3_000, seed=1, horizon=1)
    for side, sign in enumerate((1, -1)):
        said = walk.true_probability[:-1, side]
        np.testing.assert_allclose(said, ndtr(sign * walk.drift[1:] - 0.5), atol=1e-4)
        expected = 1e-4 * (sign * walk.drift[1:] - 0.5)
        np.testing.assert_allclose(walk.true_gain[:-1, side], expected, atol=2e-8)


def test_a_bar_ahead_of_fat_tails_is_a_t() -> None:
    said = draw("fat", 10, seed=1, horizon=1).true_probability
    np.testing.assert_allclose(said, 1 - t.cdf(0.5 * sqrt(2), 4), atol=1e-7)


def test_a_bar_ahead_of_a_cluster_is_an_integral() -> None:
    walk = draw("clustered", 3_000, seed=1, horizon=1)
    moves = t.ppf((np.arange(200_000) + 0.5) / 200_000, 6) * sqrt(4 / 6)
    spread = np.log(walk.ask_open / walk.bid_open) / 1e-4
    for bar in (0, 500, 2_000):
        variance = (2 * spread[bar + 1]) ** 2
        after = 0.02 + (0.09 * moves**2 + 0.89) * variance
        cost = (spread[bar + 1] + np.sqrt(after) / 2) / 2
        expected = (np.sqrt(variance) * moves > cost).mean()
        assert walk.true_probability[bar, 0] == pytest.approx(expected, abs=2e-5)


def test_a_bar_ahead_of_regimes_is_a_mixture_of_four() -> None:
    walk = draw("regime", 3_000, seed=1, horizon=1)
    scale, lean = np.array([0.6, 1.8]), (-1.5, 0.8)
    wild = (np.log(walk.ask_open / walk.bid_open) / 1e-4 > 0.6).astype(int)
    damped = lfilter([0.1], [1, -0.9], np.log(walk.close / walk.open) / 1e-4 / scale[wild])
    expected = np.zeros(3_000)
    for entry, leave in product((0, 1), repeat=2):
        chance = np.where(wild == entry, 0.995, 0.005) * (0.995 if entry == leave else 0.005)
        cost = (scale[entry] + scale[leave]) / 4
        expected += chance * ndtr(lean[entry] * damped - cost / scale[entry])
    np.testing.assert_allclose(walk.true_probability[:, 0], expected, atol=1e-7)


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_is_good_and_not_absurd(walk: PlantedWalk, name: str) -> None:
    won, truth = gains(walk) > 0, walk.true_probability[: BARS - HORIZON - 1]
    skill = 1 - ((truth - won) ** 2).mean() / ((won.mean(axis=0) - won) ** 2).mean()
    assert 0.015 < skill < 0.2
    assert 0.1 < (walk.true_gain > 0).any(axis=1).mean() < 0.95


@pytest.mark.parametrize("name", NO_EDGE)
def test_without_edge_nothing_is_known(walk: PlantedWalk, name: str) -> None:
    assert walk.true_gain.max() < 0
    assert walk.true_probability.std() < 0.003
    assert abs((gains(walk) > 0).mean() - walk.true_probability.mean()) < 0.01
    np.testing.assert_allclose(walk.true_probability[:, 0], walk.true_probability[:, 1])


@pytest.mark.parametrize("name", EDGES)
def test_size_is_the_size_of_the_edge(name: str) -> None:
    worth = [
        np.maximum(draw(name, 10_000, seed=1, size=size).true_gain, 0).mean()
        for size in (0.0, 0.5, 1.0, 2.0)
    ]
    assert worth[0] == 0
    assert worth[0] < worth[1] < worth[2] < worth[3]


def test_bars_hold_together(walk: PlantedWalk) -> None:
    for quote in ("", "bid_", "ask_"):
        opens, high, low, close = (getattr(walk, quote + price) for price in PRICES)
        assert (low > 0).all()
        assert (low <= np.minimum(opens, close)).all()
        assert (high >= np.maximum(opens, close)).all()
    behind = np.diff(walk.time) == 3_600_000_000
    np.testing.assert_allclose(walk.open[1:][behind], walk.close[:-1][behind], rtol=1e-12)
    assert (walk.ask_close > walk.bid_close).all()
    assert walk.time[0] == START == np.datetime64("2015-01-05", "us").astype(np.int64)


def test_the_seed_is_the_walk(name: str) -> None:
    first, again, other = (draw(name, 500, seed=seed) for seed in (3, 3, 4))
    for field in fields(PlantedWalk):
        if field.name not in ("seed", "leader"):
            one, two = getattr(first, field.name), getattr(again, field.name)
            np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.close, other.close)


def test_walks_have_no_noise_in_common() -> None:
    moves = [np.diff(np.log(draw(name, 2_000, seed=3).close)) for name in WALKS]
    moves = [move for move, name in zip(moves, WALKS, strict=True) if name != "none"]
    between = np.corrcoef(moves) - np.eye(len(moves))
    assert np.abs(between).max() < 0.1


@pytest.mark.parametrize("name", [name for name in WALKS if name not in ONE_STREAM])
def test_a_longer_walk_changes_nothing_before(name: str) -> None:
    short, long = (draw(name, n, seed=5) for n in (2_000, 70_000))
    # one that dies half-way does so later if it is longer
    known = 1_000 - HORIZON - 1 if name == "dying" else 2_000
    for field in fields(PlantedWalk):
        if field.name not in ("seed", "leader"):
            one, two = getattr(short, field.name)[:known], getattr(long, field.name)[:known]
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-13)


@pytest.mark.parametrize("drift", [0.25, 0.0])
def test_the_filter_looks_at_nothing_later(drift: float) -> None:
    walk = planted_walk(3_000, seed=5, drift=drift)
    returns = np.diff(np.log(walk.close), prepend=0.0) / 1e-4
    levels = drift * np.array([-1.0, 0.0, 1.0])
    whole = belief(returns, levels, 0.01)
    for n in (1, 2, 1_000):
        np.testing.assert_array_equal(belief(returns[:n], levels, 0.01), whole[:n])


def test_a_leader_goes_before_at_the_same_times() -> None:
    walk = draw("lead", 20_000, seed=2)
    assert walk.leader is not None
    np.testing.assert_array_equal(walk.time, walk.leader.time)
    assert walk.leader.true_gain.max() < 0
    move, lead = (np.diff(np.log(each.close)) for each in (walk, walk.leader))
    damped = lfilter([0.1], [1, -0.9], lead)
    assert np.corrcoef(damped[:-1], move[1:])[0, 1] > 0.1
    assert abs(np.corrcoef(lead, move)[0, 1]) < 0.03


def test_gaps_are_weekends_and_holidays() -> None:
    walk = draw("gaps", 10_000, seed=2)
    hours = np.diff(walk.time) // 3_600_000_000
    assert set(hours[hours > 1]) >= {49, 48, 50}
    assert 75 < (hours > 24).sum() < 90
    jump = np.log(walk.open[1:] / walk.close[:-1]) / 1e-4
    assert 3 < jump[hours > 1].std() < 5


@pytest.mark.parametrize(("horizon", "bar_seconds"), [(1, 60), (12, 86_400)])
def test_any_horizon_and_length_of_bar(name: str, horizon: int, bar_seconds: int) -> None:
    walk = draw(name, 20_000, seed=9, horizon=horizon, bar_seconds=bar_seconds)
    assert (np.diff(walk.time) >= bar_seconds * 1_000_000).all()
    won, truth = gains(walk, horizon) > 0, walk.true_probability[: -horizon - 1]
    for side in (0, 1):
        residual = (won - truth)[:, side]
        assert abs(residual.mean()) < 4 * 0.5 / np.sqrt(len(residual) / horizon)


@pytest.mark.parametrize("n", [1, 2, 63, 65])
def test_short_walks(name: str, n: int) -> None:
    assert draw(name, n, seed=0).true_gain.shape == (n, 2)


def test_each_instrument_has_one_walk() -> None:
    names = [walk.instrument for walk in WALKS.values()]
    names += [walk.leader for walk in WALKS.values() if walk.leader]
    assert len(set(names)) == len(names) == len(INSTRUMENTS)
    plain = draw("drift", 500, seed=3)
    np.testing.assert_array_equal(plain.close, planted_walk(500, seed=3).close)
    np.testing.assert_array_equal(plain.true_gain, planted_walk(500, seed=3).true_gain)


@pytest.mark.parametrize(
    "bad",
    [{"name": "x"}, {"n": 0}, {"horizon": 0}, {"size": -1.0}, {"cost": -1.0}, {"bar_seconds": 0}],
)
def test_walks_that_cannot_be_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="give"):
        draw(**{"name": "fat", "n": 10, "seed": 0, **bad})  # type: ignore[arg-type]
