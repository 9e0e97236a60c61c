"""Calibration shown: whole where it can be said, a reason where it cannot, JSON always."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from kernels.evaluation import brier, brier_skill
from kernels.outcomes import SIDES
from tasks.reports.ablation import without_each
from tasks.reports.baselines import BASELINES
from tasks.reports.shown import BAND_ROWS, CONFIDENCE, shown
from tasks.research.learners.folds import DRAWS
from tasks.research.stack import Stack
from tests.tasks.frames import predictions_of, random_predictions

HORIZON = 4
BASE = logit(np.array([0.47, 0.47]))
WEIGHTS = {"knows": 1.0, "guesses": 0.5, "idle": 0.0}


def stack() -> Stack:
    nothing = np.zeros((DRAWS, 2))
    weights = np.array(list(WEIGHTS.values()))
    drawn = np.zeros((DRAWS, len(weights)))
    return Stack(BASE, np.zeros(2), weights, 1.0, nothing, drawn, np.ones(DRAWS), nothing)


def case(n: int = 3000, seed: int = 1, **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Predictions that a stack of three learners made: one knows, one guesses, one is idle."""
    predictions = random_predictions(n, seed=seed, skill=1.0, **options)
    test = predictions.filter(pl.col("split") == "test")
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for side in SIDES:
        columns[f"knows_{side}"] = test[f"confidence_{side}"].to_numpy()
        columns[f"guesses_{side}"] = expit(BASE[0] + rng.normal(0, 0.8, test.height))
        columns[f"idle_{side}"] = np.full(test.height, 0.9)
    said = np.stack(
        [np.column_stack([columns[f"{name}_{side}"] for side in SIDES]) for name in WEIGHTS],
        axis=2,
    )
    odds = stack().apply(logit(said))
    told = {f"confidence_{side}": pl.Series(expit(odds[:, i])) for i, side in enumerate(SIDES)}
    stacked = pl.concat(
        [predictions.filter(pl.col("split") != "test"), test.with_columns(**told)], how="vertical"
    )
    return stacked, pl.DataFrame({"position": test["position"], **columns})


def judge(predictions: pl.DataFrame, opinions: pl.DataFrame, draws: int = 100) -> dict[str, Any]:
    found = shown(predictions, opinions, stack(), WEIGHTS, horizon=HORIZON, draws=draws)
    json.dumps(found, allow_nan=False)
    return found


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return judge(*case())


def test_parts_of_the_score_add_up_by_side(told: dict[str, Any]) -> None:
    test = case()[0].filter(pl.col("split") == "test")
    for side in SIDES:
        parts = told["sides"][side]["brier"]
        score = brier(test[f"confidence_{side}"], test[f"win_{side}"])
        assert parts["score"] == pytest.approx(score)
        assert parts["score"] == pytest.approx(
            parts["miscalibration"] - parts["discrimination"] + parts["uncertainty"]
        )


def test_the_curve_rises_within_its_bands_mostly(told: dict[str, Any]) -> None:
    for side in told["sides"].values():
        curve, bands = side["reliability"], side["bands"]
        assert np.diff(curve["said"]).min() > 0
        assert np.diff(curve["came"]).min() >= 0
        came = np.interp(bands["said"], curve["said"], curve["came"])
        inside = (np.array(bands["low"]) <= came) & (came <= np.array(bands["high"]))
        assert inside.mean() > 0.8
        assert bands["length"] >= HORIZON + 1


def test_skill_is_against_the_base_rate_of_the_training_spans(told: dict[str, Any]) -> None:
    predictions, _ = case()
    past = predictions.filter(pl.col("split").is_in(["library", "calibration"]))
    test = predictions.filter(pl.col("split") == "test")
    rows = {row["name"]: row for row in told["skills"]}
    assert list(rows) == [CONFIDENCE, *BASELINES]
    for side in SIDES:
        base = float(past[f"win_{side}"].to_numpy().mean())
        assert told["sides"][side]["base_rate"] == pytest.approx(base)
        skill = brier_skill(test[f"confidence_{side}"], test[f"win_{side}"], base)
        assert rows[CONFIDENCE][side]["skill"] == pytest.approx(skill)
    assert rows[CONFIDENCE]["both"]["low"] < rows[CONFIDENCE]["both"]["skill"]
    assert rows["base rate"]["both"] == {"skill": 0.0, "low": 0.0, "high": 0.0}


def test_who_is_sure_loses_less_often(told: dict[str, Any]) -> None:
    for side in told["sides"].values():
        curve = side["coverage"]
        assert curve["coverage"][-1] == 1.0
        assert curve["lost"][9] < curve["lost"][-1]
        assert curve["gain"][9] > curve["gain"][-1]
        assert curve["area"] < curve["lost"][-1]


def test_a_learner_adds_what_is_lost_without_it(told: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in told["ablation"]}
    whole = told["skills"][0]["both"]["skill"]
    assert {name: row["weight"] for name, row in rows.items()} == WEIGHTS
    for row in rows.values():
        assert row["adds"]["skill"] == pytest.approx(whole - row["without"]["skill"])
    assert rows["knows"]["adds"]["low"] > 0
    assert rows["guesses"]["adds"]["skill"] < 0
    assert rows["idle"]["adds"] == {"skill": 0.0, "low": 0.0, "high": 0.0}


def test_without_a_learner_is_the_stack_of_the_others() -> None:
    predictions, opinions = case()
    test = predictions.filter(pl.col("split") == "test")
    found = without_each(test, opinions, stack(), list(WEIGHTS))
    said = [
        np.column_stack([opinions[f"{name}_{side}"] for side in SIDES])
        if name != "knows"
        else np.full((test.height, 2), np.nan)
        for name in WEIGHTS
    ]
    alone = expit(stack().apply(logit(np.stack(said, axis=2))))
    np.testing.assert_allclose(found["knows"], alone, atol=1e-12)


def test_a_side_that_cannot_be_judged_says_why_and_the_other_is() -> None:
    predictions, opinions = case()
    lost = predictions.with_columns(
        win_short=pl.when(pl.col("split") == "test").then(0).otherwise(pl.col("win_short"))
    )
    found = judge(lost, opinions)
    assert found["sides"]["short"]["why"] == "all 900 trades lost"
    assert found["sides"]["short"]["brier"] is None
    assert found["sides"]["long"]["why"] is None
    assert set(found["skills"][0]) == {"name", "both", "long"}
    assert found["skills"][0]["both"] == found["skills"][0]["long"]


@pytest.mark.parametrize("n", [0, 5, 19])
def test_too_little_is_said(n: int) -> None:
    frame = predictions_of(n)
    found = judge(frame, pl.DataFrame({"position": frame["position"]}))
    assert found["sides"]["long"]["why"] == f"{n} outcomes of at least 20"
    assert found["skills"] == found["ablation"] == []


def test_a_confidence_that_never_moves_has_no_bands() -> None:
    predictions, opinions = case()
    still = predictions.with_columns(confidence_long=0.5, confidence_short=0.5)
    found = judge(still, opinions)
    assert found["sides"]["long"]["bands"] is None
    assert found["sides"]["long"]["reliability"]["said"] == [0.5]


def test_long_spans_are_thinned_for_the_bands_and_say_so() -> None:
    predictions, opinions = case(40_000, splits=(0.3, 0.5))
    found = judge(predictions, opinions, draws=20)
    for side in found["sides"].values():
        assert side["bands"]["every"] == -(-side["outcomes"] // BAND_ROWS) == 5
        assert len(side["reliability"]["said"]) < 400


def test_the_same_seed_shows_the_same() -> None:
    assert judge(*case()) == judge(*case())
