"""The other learners: what each looks at, and what it makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf

import numpy as np
import pytest
from scipy.special import expit, logit

from kernels.bits import PATTERN
from tasks.research import confidence
from tasks.research.confidence import Confidence
from tasks.research.learners import context, hours, last_step, leads, local, neighbours, patterns
from tasks.research.learners.folds import DRAWS
from tasks.research.learners.linear import Logistic
from tasks.research.learners.neighbours import SCORES, Shrunk
from tasks.research.learners.roster import LEARNERS
from tasks.research.learners.rows import Rows
from tests.tasks.research.learners.planted import labelled, rows
from tests.tasks.research.pasts import past


def asked_of(rate: np.ndarray, *, n: int, seed: int = 0, k: int = 60) -> Rows:
    """Rows of which k neighbours were asked, that won at this rate."""
    won = np.random.default_rng([seed, 2]).binomial(k, rate)
    wins = np.column_stack([won, k - won])
    return rows(n, seed=seed, wins=wins, k_eff=np.full(n, k))


def rates(n: int, spread: float, seed: int = 0) -> np.ndarray:
    return np.asarray(expit(np.random.default_rng([seed, 3]).normal(0, spread, n)))


# --- neighbours ---


def test_neighbours_that_tell_are_believed_and_others_are_not() -> None:
    n, told = 4_000, rates(4_000, 0.8)
    asked = asked_of(told, n=n)
    labels, cut = labelled(asked, logit(told))
    trained = neighbours.LEARNER.fit(asked, labels, cut)
    assert trained is not None
    assert isinstance(trained.fitted, Shrunk)
    assert max(trained.fitted.strength) <= 32
    assert np.corrcoef(trained.apart[:, 0], logit(told))[0, 1] > 0.85
    blind = asked_of(np.full(n, 0.5), n=n)
    mute = neighbours.LEARNER.fit(blind, *labelled(blind, np.zeros(n)))
    assert mute is not None
    assert np.abs(mute.apart - logit(mute.fitted.base_rate)).max() < 0.3  # type: ignore[attr-defined]


def test_the_shrunk_share_is_what_it_is_said_to_be() -> None:
    asked = replace(rows(3), wins=np.array([[3, 7], [0, 10], [0, 0]]), k_eff=np.array([10, 10, 0]))
    fitted = Shrunk((0.4, 0.5), (16.0, inf))
    said = expit(fitted.apply(asked))
    np.testing.assert_allclose(said[:2, 0], [(3 + 6.4) / 26, 6.4 / 26])
    np.testing.assert_allclose(said[:2, 1], 0.5)
    assert np.isnan(said[2]).all()
    drawn = fitted.draws(asked)
    assert drawn.shape == (3, 2, DRAWS)
    p = (3 + 6.4) / 26
    np.testing.assert_allclose(drawn[0, 0], logit(p) + SCORES / np.sqrt(27 * p * (1 - p)))
    assert (drawn[:2, 1] == 0).all()


def test_the_strength_is_learnt_before_the_calibration_span() -> None:
    told = rates(3_000, 0.8)
    asked = asked_of(told, n=3_000)
    labels, cut = labelled(asked, logit(told))
    later = asked.position >= cut.forward
    poisoned = replace(asked, wins=np.where(later[:, None], [[60, 0]], asked.wins))
    trained, again = (neighbours.LEARNER.fit(each, labels, cut) for each in (asked, poisoned))
    assert trained is not None
    assert again is not None
    assert trained.fitted.to_dict() == again.fitted.to_dict()
    np.testing.assert_array_equal(np.isnan(trained.ahead[:, 0]), ~later)


def test_without_neighbours_there_is_nothing_to_learn() -> None:
    asked = rows(100)
    labels, cut = labelled(asked, np.zeros(100))
    assert neighbours.LEARNER.fit(asked, labels, cut) is None
    assert local.LEARNER.fit(asked, labels, cut) is None


def test_shrunk_shares_come_back_exactly() -> None:
    fitted = Shrunk((1 / 3, 0.1), (inf, 64.0))
    plain = json.loads(json.dumps(fitted.to_dict(), allow_nan=False))
    assert neighbours.LEARNER.load(plain) == fitted


# --- local ---


def test_the_local_fit_is_taken_as_it_came() -> None:
    told = np.random.default_rng(1).normal(0, 1, (300, 2))
    told[::3] = np.nan
    asked = rows(300, local=told)
    labels, cut = labelled(asked, np.zeros(300))
    trained = local.LEARNER.fit(asked, labels, cut)
    assert trained is not None
    np.testing.assert_array_equal(trained.apart, told)
    np.testing.assert_array_equal(trained.fitted.apply(asked.take(slice(5, 9))), told[5:9])
    assert trained.fitted.draws(asked) is None
    later = asked.position >= cut.forward
    np.testing.assert_array_equal(np.isfinite(trained.ahead), np.isfinite(told) & later[:, None])
    plain = json.loads(json.dumps(trained.fitted.to_dict()))
    np.testing.assert_array_equal(local.LEARNER.load(plain).apply(asked), told)


# --- hours ---


def at(*moments: datetime) -> Rows:
    stamps = np.array([int(moment.timestamp()) * 1_000_000 for moment in moments])
    return rows(len(stamps), time=stamps)


def test_the_same_hour_of_the_week_is_the_same_whenever_it_is() -> None:
    moments = [datetime(2015, 1, 5, tzinfo=UTC) + timedelta(hours=h) for h in range(168)]
    week = hours.columns(at(*moments))
    assert len(np.unique(week.round(9), axis=0)) == 168
    for weeks, minutes in ((1, 0), (13, 59), (26, 30), (520, 1)):  # over summer time, leap days
        later = [each + timedelta(weeks=weeks, minutes=minutes) for each in moments]
        np.testing.assert_array_equal(hours.columns(at(*later)), week)


def test_the_week_begins_on_monday_in_utc_also_before_1970() -> None:
    mondays = [datetime(year, 1, 1, tzinfo=UTC) for year in (1962, 1968, 2018, 2024)]
    mondays = [each + timedelta(days=-each.weekday()) for each in mondays]
    np.testing.assert_allclose(hours.columns(at(*mondays))[:, : len(hours.WAVES)], 0, atol=1e-12)


def test_an_edge_by_the_hour_is_found() -> None:
    asked = rows(6_000)
    odds = np.sin(2 * np.pi * np.arange(6_000) / 24)
    trained = hours.LEARNER.fit(asked, *labelled(asked, odds, horizon=1))
    assert trained is not None
    assert np.corrcoef(trained.apart[:, 0], odds)[0, 1] > 0.9


# --- patterns, leads, context, last step ---


def test_each_run_of_bits_has_a_column_and_missing_bits_have_none() -> None:
    asked = rows(33, pattern=np.append(np.arange(32), -1))
    said = patterns.columns(asked)
    np.testing.assert_array_equal(said[:32], np.eye(2**PATTERN))
    assert np.isnan(said[32]).all()


def test_an_edge_behind_a_run_is_found_and_the_others_say_nothing() -> None:
    asked = rows(8_000)
    odds = np.where(asked.pattern == 22, 1.5, 0.0)
    trained = patterns.LEARNER.fit(asked, *labelled(asked, odds, horizon=1))
    assert trained is not None
    there = trained.apart[asked.pattern == 22, 0].mean()
    assert there > 0.8
    assert np.abs(trained.apart[asked.pattern != 22, 0]).mean() < 0.25


def test_leads_are_looked_at_where_there_are_any() -> None:
    asked = rows(3_000)
    assert leads.LEARNER.fit(asked, *labelled(asked, np.zeros(3_000))) is None
    led = replace(asked, leads=np.random.default_rng(5).standard_normal((3_000, 3)))
    trained = leads.LEARNER.fit(led, *labelled(led, led.leads[:, 1], horizon=1))
    assert trained is not None
    assert np.corrcoef(trained.apart[:, 0], led.leads[:, 1])[0, 1] > 0.95


def test_context_asks_no_price_and_the_last_step_nothing_else() -> None:
    asked, other = rows(50), rows(50, seed=1)
    same = replace(other, cost=asked.cost, volatility=asked.volatility)
    np.testing.assert_array_equal(context.columns(asked), context.columns(same))
    same = replace(other, trajectory=asked.trajectory)
    np.testing.assert_array_equal(last_step.columns(asked), last_step.columns(same))
    np.testing.assert_array_equal(last_step.columns(asked), asked.trajectory[:, -4:])


# --- the roster ---


def test_a_learner_is_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new learner that alone sees the edge gets the weight, and survives its file."""
    known = past(3_000, lambda asked: 1.2 * asked.trajectory[:, 17].astype(float))
    seventeen = Logistic(lambda asked: asked.trajectory[:, 17:18].astype(float))
    more = {**LEARNERS, "seventeen": seventeen}
    del more["trajectory"], more["boosted"]
    fitted = Confidence.fit(known, more)
    assert fitted.weights["seventeen"] > 0.7
    assert fitted.weights["seventeen"] > 3 * sum(
        weight for name, weight in fitted.weights.items() if name != "seventeen"
    )
    monkeypatch.setattr(confidence, "LEARNERS", more)
    again = Confidence.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(again.tell(known.rows).lower, fitted.tell(known.rows).lower)


def test_every_learner_of_the_roster_answers_in_the_same_form() -> None:
    n = 1_200
    asked = asked_of(rates(n, 0.5), n=n)
    noise = np.random.default_rng(8).standard_normal((n, 5))
    asked = replace(asked, local=noise[:, :2], leads=noise[:, 2:])
    asked = replace(asked, pooled_wins=asked.wins, pooled_k_eff=asked.k_eff)
    labels, cut = labelled(asked, asked.momentum[:, 0])
    later = asked.position >= cut.forward
    for name, learner in LEARNERS.items():
        trained = learner.fit(asked, labels, cut)
        if trained is None:
            assert name == "boosted"
            continue
        said = trained.fitted.apply(asked)
        assert said.shape == trained.apart.shape == trained.ahead.shape == (n, 2), name
        assert np.isfinite(said).all(), name
        assert np.isfinite(trained.ahead[later]).all(), name
        assert np.isnan(trained.ahead[~later]).all(), name
        plain = json.loads(json.dumps(trained.fitted.to_dict(), allow_nan=False))
        again = learner.load(plain)
        drawn, redrawn = trained.fitted.draws(asked), again.draws(asked)
        assert drawn is None or drawn.shape == (n, 2, DRAWS), name
        np.testing.assert_array_equal(np.array(redrawn, float), np.array(drawn, float))
        np.testing.assert_array_equal(again.apply(asked), said)
        part = asked.take(slice(501, 502))
        np.testing.assert_array_equal(trained.fitted.apply(part), said[501:502])
