"""What each learner is worth: judged alone, on the outcomes that confidence is judged on."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tasks.reports.calibration import calibration
from tasks.reports.learners import STACK, as_lines, learner_words, learners, weight_words
from tests.tasks.frames import SIDES, random_predictions

HORIZON = 4


@pytest.fixture(scope="module")
def predictions() -> pl.DataFrame:
    return random_predictions(3000, seed=1, skill=1.0)


@pytest.fixture(scope="module")
def opinions(predictions: pl.DataFrame) -> pl.DataFrame:
    """One learner says what confidence says, one the opposite, one nothing."""
    test = predictions.filter(pl.col("split") == "test")
    columns: dict[str, pl.Expr] = {}
    for side in SIDES:
        confidence = pl.col(f"confidence_{side}")
        columns[f"last step_{side}"] = confidence
        columns[f"momentum_{side}"] = 0.94 - confidence
        columns[f"hours_{side}"] = pl.lit(None, pl.Float64)
    return test.select("position", **columns)


WEIGHTS = {"last step": 0.7, "momentum": 0.0, "hours": 0.31}


def judged(predictions: pl.DataFrame, opinions: pl.DataFrame) -> dict[str, Any]:
    rows = learners(predictions, opinions, WEIGHTS, horizon=HORIZON, draws=200)
    return {row["name"]: row for row in rows}


def test_they_come_in_their_order_and_all_together_last(
    predictions: pl.DataFrame, opinions: pl.DataFrame
) -> None:
    told = judged(predictions, opinions)
    assert list(told) == [*WEIGHTS, STACK]
    assert [row["weight"] for row in told.values()] == [0.7, 0.0, 0.31, None]


def test_each_is_judged_as_confidence_is(predictions: pl.DataFrame, opinions: pl.DataFrame) -> None:
    told, whole = judged(predictions, opinions), calibration(predictions, HORIZON, draws=200)
    for name in ("last step", STACK):
        assert told[name]["brier_skill"] == whole["brier_skill"] > 0
        assert told[name]["skill_low"] == whole["skill_low"]
    assert told["momentum"]["brier_skill"] < 0


def test_who_says_nothing_says_the_base_rate(
    predictions: pl.DataFrame, opinions: pl.DataFrame
) -> None:
    assert judged(predictions, opinions)["hours"]["brier_skill"] == 0.0


def test_only_bars_with_a_confidence_count(
    predictions: pl.DataFrame, opinions: pl.DataFrame
) -> None:
    few = predictions.with_columns(
        pl.when(pl.col("position") < 2500).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("confidence_long", "confidence_short")
    )
    told = judged(few, opinions)
    assert told["last step"]["brier_skill"] == told[STACK]["brier_skill"]
    assert told[STACK]["brier_skill"] != judged(predictions, opinions)[STACK]["brier_skill"]


def test_a_line_says_weight_and_skill() -> None:
    row = {"name": "neighbours", "weight": 0.3123, "brier_skill": 0.0611, "skill_low": 0.04}
    assert learner_words(row) == "weight 0.31, skill 0.061 alone"
    every = {"learners": [row, {**row, "name": STACK, "weight": None}]}
    assert as_lines(every) == {
        "Learner: neighbours": "weight 0.31, skill 0.061 alone",
        "Learner: all together": "skill 0.061",
    }
    assert as_lines({}) == {}


def test_the_weighting_of_paths_is_told_by_metric() -> None:
    assert weight_words(np.ones(64)) == (
        "entropy 25 %, coherence 25 %, stability 25 %, damped value 25 %; the last step 6 %"
    )
    last = np.repeat([0.0, 1.0], [60, 4])
    assert weight_words(last).endswith("damped value 25 %; the last step 100 %")
