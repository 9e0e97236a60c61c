"""Confidence: what is learnt is told row by row; where little is known, little is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from tasks.research import confidence
from tasks.research.confidence import BOUND, LEAST, Beliefs, Confidence, Past
from tasks.research.gains import CAUTIONS
from tasks.research.learners.roster import LEARNERS
from tasks.research.learners.rows import Rows
from tests.tasks.research.learners.planted import outcomes, rows
from tests.tasks.research.pasts import ended, past

Floats = NDArray[np.float64]
Odds = Callable[[Rows], Floats]


def by_momentum(asked: Rows) -> Floats:
    return 0.8 * asked.momentum[:, 0]


@pytest.fixture(scope="module")
def known() -> Past:
    n = 2_400
    rng = np.random.default_rng(4)
    return past(
        n,
        by_momentum,
        wins=rng.integers(0, 33, (n, 2)),
        k_eff=np.full(n, 33),
        local=rng.normal(0, 0.1, (n, 2)),
        leads=rng.standard_normal((n, 3)),
    )


@pytest.fixture(scope="module")
def fitted(known: Past) -> Confidence:
    return Confidence.fit(known)


def same(told: Beliefs, other: Beliefs) -> None:
    for name, column in vars(told).items():
        np.testing.assert_array_equal(getattr(other, name), column, err_msg=name)


def test_a_planted_edge_is_told(fitted: Confidence) -> None:
    asked = rows(3_000, seed=9, leads=np.zeros((3_000, 3)))
    told, truth = fitted.tell(asked), expit(by_momentum(asked))
    assert np.corrcoef(told.confidence[:, 0], truth)[0, 1] > 0.97
    assert np.abs(told.confidence[:, 0] - truth).mean() < 0.035
    assert np.abs(told.confidence.sum(axis=1) - 1).mean() < 0.05
    assert ((told.lower < told.confidence) & (told.confidence < told.upper)).all()
    assert (told.lower[:, 0] <= truth).mean() > 0.9
    assert (told.upper[:, 0] >= truth).mean() > 0.9


def test_what_a_trade_brings_is_told(fitted: Confidence) -> None:
    """Trades won or lost one unit: 2 p - 1 is expected, a half is break-even."""
    asked = rows(2_000, seed=9, leads=np.zeros((2_000, 3)))
    told = fitted.tell(asked)
    usual = np.abs(told.confidence - 0.5) < 0.2  # a line in log-odds is none far from the middle
    assert usual.mean() > 0.7
    np.testing.assert_allclose(told.expected[usual], 2 * told.confidence[usual] - 1, atol=0.1)
    np.testing.assert_allclose(fitted.break_even, 0.5, atol=0.03)
    assert (told.doubt > 0).all()
    assert fitted.caution in CAUTIONS
    assert tuple(fitted.growths) == CAUTIONS


def test_weights_are_not_negative_and_go_to_who_knows(fitted: Confidence) -> None:
    weights = fitted.weights
    assert min(weights.values()) >= 0
    assert max(weights, key=lambda name: weights[name]) == "momentum"
    useless = sum(weights[name] for name in ("patterns", "hours", "leads", "context"))
    assert useless < 0.2 * weights["momentum"]


@pytest.mark.parametrize("piece", [1, 7, 500])
def test_each_row_is_told_by_itself_bit_for_bit(
    piece: int, known: Past, fitted: Confidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = known.rows.take(slice(0, 600))
    whole = fitted.tell(asked)
    monkeypatch.setattr(confidence, "PIECE", piece)
    same(whole, fitted.tell(asked))
    for part in (slice(0, 1), slice(300, 333), np.array([5, 599])):
        told = fitted.tell(asked.take(part))
        same(told, Beliefs(*(column[part] for column in vars(whole).values())))


def test_no_rows_are_told_nothing(known: Past, fitted: Confidence) -> None:
    told = fitted.tell(known.rows.take(slice(0, 0)))
    assert {column.shape for column in vars(told).values()} == {(0, 2)}


def test_its_file_tells_the_same_bit_for_bit(known: Past, fitted: Confidence) -> None:
    plain = json.loads(json.dumps(fitted.to_dict(), allow_nan=False))
    again = Confidence.from_dict(plain)
    same(again.tell(known.rows), fitted.tell(known.rows))
    assert again.to_dict() == fitted.to_dict()
    assert again.growths == fitted.growths
    np.testing.assert_array_equal(again.break_even, fitted.break_even)


def test_the_same_past_teaches_the_same(known: Past, fitted: Confidence) -> None:
    assert Confidence.fit(known).to_dict() == fitted.to_dict()
    assert Confidence.fit(replace(known, seed=1)).to_dict() != fitted.to_dict()


def test_bounds_are_normal_deviations_of_draws_and_of_the_bar(known: Past) -> None:
    fitted = Confidence.fit(known, {"momentum": LEARNERS["momentum"]})
    asked = known.rows.take(slice(0, 50))
    told = fitted.tell(asked)
    drawn = fitted.learners["momentum"].draws(asked)
    assert drawn is not None
    stack = fitted.stack
    moves = stack.drawn_weights[:, 0] * (drawn[:, 0] - stack.base[0])
    moves = stack.drawn_slopes * (moves + stack.drawn_intercepts[:, 0]) + stack.drawn_base[:, 0]
    deviation = moves.std(axis=1, ddof=1)
    reach = BOUND * np.sqrt(deviation**2 + fitted.individual)
    np.testing.assert_allclose(logit(told.lower[:, 0]), logit(told.confidence[:, 0]) - reach)
    np.testing.assert_allclose(logit(told.upper[:, 0]), logit(told.confidence[:, 0]) + reach)
    moved = logit(told.confidence) - stack.base
    doubt = fitted.line.doubt(moved, np.column_stack([deviation, deviation]))
    np.testing.assert_allclose(told.doubt[:, 0], doubt[:, 0])


def test_a_bar_without_metrics_is_told_nothing(known: Past, fitted: Confidence) -> None:
    trajectory = known.rows.trajectory[:3].copy()
    trajectory[0, -1], trajectory[1, 0] = np.nan, np.nan
    told = fitted.tell(replace(known.rows.take(slice(0, 3)), trajectory=trajectory))
    for column in vars(told).values():
        assert np.isnan(column[0]).all()
        assert np.isfinite(column[1:]).all()


def test_opinions_are_those_of_each_alone(known: Past, fitted: Confidence) -> None:
    asked = known.rows.take(slice(0, 20))
    alone = fitted.opinions(asked)
    assert list(alone) == list(fitted.learners)
    for name, said in alone.items():
        np.testing.assert_array_equal(said, expit(fitted.learners[name].apply(asked)))


# --- an edge that is not there, or no more ---


def test_without_an_edge_the_base_rate_is_said() -> None:
    away = []
    for seed in range(4):
        fitted = Confidence.fit(past(1_500, seed=seed))
        told = fitted.tell(rows(400, seed=50 + seed))
        away.append(np.abs(told.confidence - 0.5).mean())  # the truth
    assert np.mean(away) < 0.015


def test_an_edge_that_died_is_damped() -> None:
    def dying(asked: Rows) -> Floats:
        return by_momentum(asked) * (np.arange(len(asked)) < 2 * len(asked) // 3)

    alive, dead = (Confidence.fit(past(2_400, odds, seed=2)) for odds in (by_momentum, dying))
    assert alive.stack.slope > 0.9
    assert dead.stack.slope < 0.6
    asked = rows(400, seed=3)
    moves = [
        np.abs(logit(each.tell(asked).confidence) - each.stack.base).mean()
        for each in (alive, dead)
    ]
    assert moves[1] < moves[0] / 2


# --- bad input ---


def careful(fitted: Confidence, asked: Rows, least_width: float) -> None:
    """Assert that the base rate is said, with a wide interval, and that nothing is traded."""
    told = fitted.tell(asked)
    away = np.abs(told.confidence - fitted.base_rate)
    assert away.max() < 0.02
    assert (told.upper - told.lower).min() > least_width
    assert (told.lower <= told.confidence).all()
    assert (told.confidence <= told.upper).all()
    assert (told.expected - fitted.caution * told.doubt <= 0).all()
    assert (told.lower <= fitted.break_even).all()


@pytest.mark.parametrize("n", [0, 1, 2, 5, 15])
def test_a_handful_of_rows_is_told_the_base_rate(n: int) -> None:
    careful(Confidence.fit(past(n, by_momentum)), rows(50, seed=1), 0.3)


@pytest.mark.parametrize("n", [0, 1, 5, 15])
@pytest.mark.parametrize("kind", [0, 1])
def test_a_handful_of_wins_or_losses_is_no_certainty(n: int, kind: int) -> None:
    """Five trades of five won: that is no reason to buy."""
    asked = rows(n, position=np.arange(n) * 4)
    fitted = Confidence.fit(ended(asked, np.full((n, 2), kind, np.int8)))
    careful(fitted, rows(50, seed=1), 0.15)
    assert (fitted.base_rate > 0.02).all()
    assert (fitted.base_rate < 0.98).all()


@pytest.mark.parametrize("kind", [0, 1])
def test_a_past_of_one_kind_is_told_its_base_rate(kind: int) -> None:
    asked = rows(900, position=np.arange(900) * 4)
    for sides in ([kind, kind], [kind, 1 - kind]):
        win = np.tile(np.array(sides, np.int8), (900, 1))
        fitted = Confidence.fit(ended(asked, win))
        assert fitted.learners == {}
        careful(fitted, rows(50, seed=1), 0.004)


@pytest.mark.parametrize("span", ["library", "calibration"])
def test_a_span_without_wins_is_no_error(span: str) -> None:
    asked = rows(1_500, position=np.arange(1_500) * 4)
    win = outcomes(by_momentum(asked))
    none = np.arange(1_500) < 1_000 if span == "library" else np.arange(1_500) >= 1_000
    win[none] = 0
    fitted = Confidence.fit(ended(asked, win))
    told = fitted.tell(rows(200, seed=1))
    assert all(np.isfinite(column).all() for column in vars(told).values())
    assert fitted.stack.slope < 1.25


def test_nothing_known_of_any_bar_is_told_a_half_and_no_more() -> None:
    asked = rows(400, position=np.arange(400) * 4)
    for win in (np.full((400, 2), -1, np.int8), np.tile(np.array([1, -1], np.int8), (400, 1))):
        fitted = Confidence.fit(ended(asked, win))
        np.testing.assert_array_equal(fitted.base_rate, 0.5)
        careful(fitted, rows(50, seed=1), 0.9)


HOLES: dict[str, Callable[[Rows], dict[str, Any]]] = {
    "cost": lambda asked: {"cost": np.full(len(asked), np.nan)},
    "volatility": lambda asked: {"volatility": np.full(len(asked), np.nan)},
    "momentum": lambda asked: {"momentum": np.full((len(asked), 3), np.nan)},
    "pattern": lambda asked: {"pattern": np.full(len(asked), -1)},
    "earlier steps": lambda asked: {
        "trajectory": np.where(np.arange(64) < 60, np.nan, asked.trajectory).astype(np.float32)
    },
    "constant": lambda asked: {
        "trajectory": np.ones((len(asked), 64), np.float32),
        "momentum": np.zeros((len(asked), 3)),
        "volatility": np.zeros(len(asked)),
        "cost": np.full(len(asked), 0.2),
    },
    "huge": lambda asked: {
        "momentum": np.where(np.arange(len(asked)) % 97 == 0, 1e9, asked.momentum.T).T,
        "cost": np.where(np.arange(len(asked)) % 89 == 0, 1e12, asked.cost),
    },
}


@pytest.mark.parametrize("hole", HOLES)
def test_columns_that_say_nothing_are_no_certainty(hole: str) -> None:
    known = past(900)
    known = replace(known, rows=replace(known.rows, **HOLES[hole](known.rows)))
    fitted = Confidence.fit(known)
    for asked in (rows(100, seed=1), known.rows.take(slice(0, 100))):
        told = fitted.tell(asked)
        assert np.abs(told.confidence - fitted.base_rate).mean() < 0.03
        assert (told.upper - told.lower).min() > 0.02


def test_bars_that_stood_still_teach_nothing(known: Past) -> None:
    """Zero sigma: no unit, and what a trade brought in units is no number."""
    still = np.arange(len(known.rows)) % 3 == 0
    poisoned = replace(
        known,
        unit=np.where(still, 0.0, known.unit),
        win=np.where(still[:, None], 1 - known.win, known.win),
    )
    unknown = replace(known, win=np.where(still[:, None], -1, known.win))
    assert Confidence.fit(poisoned).to_dict() == Confidence.fit(unknown).to_dict()
    nothing = replace(known, unit=np.full(len(known.rows), np.nan))
    careful(Confidence.fit(nothing), known.rows.take(slice(0, 20)), 0.9)


def test_learners_that_find_nothing_leave_the_base_rate() -> None:
    fitted = Confidence.fit(past(600, by_momentum), {"leads": LEARNERS["leads"]})
    assert fitted.learners == {}
    careful(fitted, rows(50, seed=1), 0.05)


@pytest.mark.parametrize("few", [1, 7])
@pytest.mark.parametrize("ended", [False, True])
def test_a_few_bars_whose_neighbours_were_counted_do_not_speak_for_all(
    few: int, ended: bool
) -> None:
    known = past(900, by_momentum)
    asked = np.arange(900) % (900 // few) == 0
    counted = replace(
        known.rows, k_eff=np.where(asked, 20, 0), wins=np.where(asked, 15, 0)[:, None].repeat(2, 1)
    )
    win = known.win if ended else np.where(asked[:, None], -1, known.win).astype(np.int8)
    fitted = Confidence.fit(replace(known, rows=counted, win=win))
    told = fitted.tell(rows(200, seed=1))
    assert np.isfinite(told.lower).all()
    assert fitted.weights["momentum"] > 0.4
    np.testing.assert_allclose(fitted.line.mean, 0, atol=0.2)


def test_just_enough_of_each_kind_is_learnt_from() -> None:
    n, few = 400, int(LEAST)
    asked = rows(n, position=np.arange(n) * 4)
    win = np.ones((n, 2), np.int8)
    win[:: n // few] = 0
    assert Confidence.fit(ended(asked, win)).learners != {}
    win[0] = 1
    assert Confidence.fit(ended(asked, win)).learners == {}
