from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tasks.strategy.strategies import BELIEFS, STRATEGIES, damped, strategy
from tests.tasks.frames import predictions_of, random_predictions

COLUMNS = [
    "timestamp",
    "position",
    "side",
    "action",
    "confidence",
    "lower",
    "upper",
    "break_even",
    "expected",
    "doubt",
    "margin",
    "entropy",
    "coherence",
    "stability",
    "damped_value",
]


def test_nothing_triggers_at_or_below_zero() -> None:
    signals = damped(predictions_of(3, margin_long=[-0.01, 0.0, -0.3]))
    assert signals.columns == COLUMNS
    assert signals.is_empty()


def test_a_bar_after_which_the_market_closes_gives_no_signal() -> None:
    frame = predictions_of(3, margin_long=0.1, closing=[False, True, False])
    assert damped(frame)["position"].to_list() == [0, 2]
    assert damped(frame.drop("closing"))["position"].to_list() == [0, 1, 2]


def test_a_long_and_a_short_carry_their_own_numbers() -> None:
    frame = predictions_of(
        3,
        margin_long=[0.02, -0.1, -0.1],
        confidence_long=[0.56, 0.5, 0.5],
        margin_short=[-0.1, 0.03, -0.1],
        confidence_short=[0.5, 0.57, 0.5],
        break_even_short=0.51,
        expected_short=1e-4,
    )
    signals = damped(frame)
    assert signals["position"].to_list() == [0, 1]
    assert signals["side"].to_list() == ["long", "short"]
    assert signals["action"].to_list() == ["BUY", "SELL"]
    assert signals["confidence"].to_list() == [0.56, 0.57]
    assert signals["margin"].to_list() == [0.02, 0.03]
    assert signals["break_even"].to_list() == [0.5, 0.51]
    assert signals["expected"].to_list() == [frame["expected_long"][0], 1e-4]
    assert signals["timestamp"].to_list() == frame["timestamp"][:2].to_list()


def test_neither_bound_nor_confidence_alone_makes_a_signal() -> None:
    sure = {"confidence_long": 0.9, "lower_long": 0.8, "upper_long": 0.95}
    assert damped(predictions_of(1, **sure)).is_empty()
    unsure = {"confidence_long": 0.4, "lower_long": 0.1, "margin_long": 0.01}
    assert damped(predictions_of(1, **unsure))["side"].to_list() == ["long"]


@pytest.mark.parametrize(
    ("margin_long", "margin_short", "side"),
    [
        (0.10, 0.05, "long"),
        (0.05, 0.10, "short"),
        (0.25, 0.25, "long"),
        (-0.05, 0.05, "short"),
        (None, 0.05, "short"),
        (math.nan, 0.05, "short"),
        (0.05, math.nan, "long"),
    ],
)
def test_the_larger_margin_wins(margin_long: float | None, margin_short: float, side: str) -> None:
    frame = predictions_of(1, margin_long=margin_long, margin_short=margin_short)
    assert damped(frame)["side"].to_list() == [side]


@pytest.mark.parametrize("name", BELIEFS)
@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_a_side_with_an_unknown_number_is_silent(name: str, missing: float | None) -> None:
    frame = predictions_of(2, **({"margin_long": 0.1} | {f"{name}_long": missing}))
    assert damped(frame).is_empty()


def test_all_nulls_and_no_rows_give_no_signals() -> None:
    frame = predictions_of(4)
    nulls = frame.with_columns(pl.lit(None).alias(c) for c in frame.columns[2:])
    assert damped(nulls).columns == COLUMNS
    assert damped(nulls).is_empty()
    assert damped(frame.head(0)).schema == damped(predictions_of(1, margin_long=0.1)).schema


def test_unknown_metrics_become_null_not_nan() -> None:
    signals = damped(predictions_of(1, margin_long=0.1, damped_value=math.nan))
    assert signals["damped_value"].to_list() == [None]


def test_each_row_alone_gives_the_signal_it_gives_in_the_frame() -> None:
    frame = random_predictions(300, seed=1, skill=1.0).filter(pl.col("split") == "test")
    whole = damped(frame)
    assert whole.height > 5
    alone = pl.concat([damped(frame.slice(row, 1)) for row in range(frame.height)])
    assert_frame_equal(alone, whole)


@given(cut=st.integers(0, 120), poison=st.sampled_from([None, math.nan, 1e300, 0.99]))
def test_truncation_and_poison_change_nothing_before(cut: int, poison: float | None) -> None:
    frame = random_predictions(120, seed=2, skill=1.0)
    later = pl.col("position") >= cut
    beliefs = pl.col("^(confidence|lower|upper|break_even|expected|margin|damped_value)_?.*$")
    poisoned = frame.with_columns(
        pl.when(later).then(pl.lit(poison)).otherwise(beliefs).name.keep()
    )
    whole = damped(frame).filter(~later)
    assert_frame_equal(damped(frame.head(cut)), whole)
    assert_frame_equal(damped(poisoned).filter(~later), whole)


def test_outcomes_are_not_looked_at() -> None:
    frame = random_predictions(200, seed=3, skill=1.0)
    blind = frame.drop("win_long", "win_short", "gain_long", "gain_short")
    assert_frame_equal(damped(blind), damped(frame))


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match="lack lower_short"):
        damped(predictions_of(1).drop("lower_short"))


def test_strategies_are_found_by_name() -> None:
    assert strategy("damped") is damped
    assert list(STRATEGIES) == ["damped"]
    with pytest.raises(ValueError, match=r"no strategy named 'sharp'.*damped"):
        strategy("sharp")
