"""Growth by caution: each simulated under the rules of the backtest."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.market.quotes import Costs
from tasks.reports.cautions import caution_words, cautions, with_caution
from tasks.research.gains import CAUTIONS
from tasks.research.simulation import Simulation, simulate
from tasks.strategy.strategies import damped
from tests.tasks.frames import UNIT, one_segment, predictions_of, random_predictions


def trade(predictions: pl.DataFrame) -> Simulation:
    test = predictions.filter(pl.col("split") == "test")
    options: dict[str, Any] = {"segments": one_segment(test.height), "costs": Costs(spread=0.02)}
    return simulate(test, damped(test), horizon=8, **options)


@pytest.fixture(scope="module")
def predictions() -> pl.DataFrame:
    return random_predictions(3000, seed=1, skill=1.0)


def told(predictions: pl.DataFrame, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"asked": False, "growths": {}, **options}
    return cautions(predictions, trade, **given)


def test_what_is_in_force_grew_as_the_backtest(predictions: pl.DataFrame) -> None:
    one = with_caution(predictions, 1.0)
    tried = told(one, in_force=1.0, growths={0.0: 0.1, 1.0: 0.2})["tried"]
    assert [each["caution"] for each in tried] == [*CAUTIONS, "lower"]
    assert [each["past"] for each in tried] == [0.1, None, None, 0.2, None, None, None]
    trades = trade(one).trades
    same = tried[CAUTIONS.index(1.0)]
    assert same["trades"] == trades.height > 0
    assert same["test"] == np.log1p(trades["gain"].to_numpy()).sum()


def test_more_caution_takes_fewer_bars(predictions: pl.DataFrame) -> None:
    test = predictions.filter(pl.col("split") == "test")
    signals = [damped(with_caution(test, caution)).height for caution in CAUTIONS]
    assert signals == sorted(signals, reverse=True)
    assert signals[0] > signals[-1]


def test_a_margin_is_the_gain_less_caution_in_units() -> None:
    one = predictions_of(1, expected_long=0.5 * UNIT, doubt_long=0.2 * UNIT, lower_long=0.53)
    assert with_caution(one, 0.5)["margin_long"].to_list() == pytest.approx([0.4])
    assert with_caution(one, "lower")["margin_long"].to_list() == pytest.approx([0.03])
    unknown = one.with_columns(expected_long=pl.lit(None, pl.Float64))
    assert with_caution(unknown, 0.5)["margin_long"].to_list() == [None]


def test_a_caution_that_was_asked_for_takes_its_place(predictions: pl.DataFrame) -> None:
    odd = told(with_caution(predictions, 0.7), in_force=0.7, asked=True)
    assert [each["caution"] for each in odd["tried"]] == [0, 0.25, 0.5, 0.7, 1, 1.645, 2.5, "lower"]
    assert odd["chosen_by"] == "recipe"
    assert told(predictions, in_force=0.0)["chosen_by"] == "nothing"
    assert told(predictions, in_force=0.0, growths={0.0: 0.1})["chosen_by"] == "past"
    lower = told(predictions, in_force="lower", asked=True)
    assert len(lower["tried"]) == len(CAUTIONS) + 1
    assert lower["tried"][-1]["trades"] == trade(predictions).trades.height


def test_words_name_it_who_chose_it_and_the_best_of_all() -> None:
    tried = [
        {"caution": 0.0, "test": -0.1, "past": 0.1, "trades": 9},
        {"caution": 0.25, "test": 0.02, "past": 0.1, "trades": 4},
    ]
    words = caution_words({"in_force": 0.0, "chosen_by": "past", "tried": tried})
    assert words == (
        "0, what grew most on the past; most growth on the test span by 0.25 (+2.02 %)"
    )
    lower = {"in_force": "lower", "chosen_by": "recipe", "tried": tried}
    assert caution_words(lower).startswith("lower, as was asked for")
