"""Boosted trees: the same each time, and a plain word where LightGBM is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.research.confidence import Confidence
from tasks.research.learners import boosted
from tasks.research.learners.boosted import LEARNER, Forest, NoTrees
from tasks.research.learners.rows import Labels
from tests.tasks.research.learners.planted import HORIZON, folds, labelled, rows
from tests.tasks.research.pasts import past

pytest.importorskip("lightgbm")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has no LightGBM."""
    monkeypatch.setattr(boosted, "find_spec", lambda _: None)


def test_trees_find_what_no_line_does() -> None:
    asked = rows(6_000)
    odds = np.where(asked.momentum[:, 0] * asked.momentum[:, 1] > 0, 1.0, -1.0)
    trained = LEARNER.fit(asked, *labelled(asked, odds, horizon=1))
    assert trained is not None
    for said in (trained.apart, trained.ahead):
        there = np.isfinite(said[:, 0])
        assert np.corrcoef(said[there, 0], odds[there])[0, 1] > 0.6
        assert np.corrcoef(said[there, 1], odds[there])[0, 1] < -0.6


def test_the_same_rows_grow_the_same_trees() -> None:
    asked = rows(1_500)
    labels, cut = labelled(asked, asked.momentum[:, 0])
    first, again = (LEARNER.fit(asked, labels, cut) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.fitted.to_dict() == again.fitted.to_dict()
    np.testing.assert_array_equal(first.apart, again.apart)
    loaded = LEARNER.load(json.loads(json.dumps(first.fitted.to_dict())))
    np.testing.assert_array_equal(loaded.apply(asked), first.fitted.apply(asked))


def test_what_is_told_ahead_hangs_on_what_had_ended() -> None:
    asked = rows(1_500)
    labels, cut = labelled(asked, asked.momentum[:, 0])
    before, later = cut.ahead()
    poisoned = np.where(before[:, None], labels.win, 1 - labels.win).astype(np.int8)
    trained = LEARNER.fit(asked, labels, cut)
    again = LEARNER.fit(asked, replace(labels, win=poisoned), cut)
    assert trained is not None
    assert again is not None
    np.testing.assert_array_equal(trained.ahead, again.ahead)
    assert (trained.apart[later] != again.apart[later]).any()


@pytest.mark.parametrize("kind", [-1, 0, 1])
def test_one_kind_of_outcome_grows_no_trees(kind: int) -> None:
    asked = rows(600)
    labels = Labels.of(asked.position, np.full((600, 2), kind, np.int8), HORIZON)
    assert LEARNER.fit(asked, labels, folds(asked)) is None


def test_a_span_without_wins_is_told_nothing_rather_than_nonsense() -> None:
    """Trees of one kind of outcome would say log-odds of 34."""
    asked = rows(3_000)
    labels, cut = labelled(asked, np.zeros(3_000))
    before, later = cut.ahead()
    won = np.where(before[:, None], [[0, 1]], labels.win).astype(np.int8)
    trained = LEARNER.fit(asked, replace(labels, win=won), cut)
    assert trained is not None
    assert np.isnan(trained.ahead[later]).all()
    assert np.nanmax(np.abs(trained.fitted.apply(asked))) < 6


@pytest.mark.usefixtures("without")
def test_without_lightgbm_it_sits_out() -> None:
    asked = rows(600)
    assert LEARNER.fit(asked, *labelled(asked, asked.momentum[:, 0])) is None


def test_a_model_with_trees_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = past(1_500, lambda asked: asked.momentum[:, 0])
    fitted = Confidence.fit(known, {"boosted": LEARNER})
    assert isinstance(fitted.learners["boosted"], Forest)
    kept = tmp_path / "model.json"
    kept.write_text(json.dumps(fitted.to_dict()))
    monkeypatch.setattr(boosted, "find_spec", lambda _: None)
    with pytest.raises(NoTrees, match=r"pip install 'sep-trader\[trees\]'"):
        Confidence.from_dict(json.loads(kept.read_text()))
