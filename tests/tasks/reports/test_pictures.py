from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from infra.market.quotes import Costs
from tasks.reports.belief_pictures import draw_confidence, draw_reliability
from tasks.reports.drawing import thin
from tasks.reports.learner_pictures import draw_caution, draw_learners
from tasks.reports.learners import STACK
from tasks.reports.money_pictures import (
    draw_equity,
    draw_plateau,
    draw_waterfall,
    equity_bands,
    is_sum,
)
from tasks.reports.pictures import draw, draw_metrics, draw_price
from tasks.reports.report import CAPTIONS
from tasks.reports.shown_pictures import draw_coverage
from tasks.research.simulation import TRADES, Simulation, simulate
from tasks.strategy.strategies import damped
from tests.tasks.frames import one_segment, predictions_of, random_predictions
from tests.tasks.reports.test_shown import case, judge

LEARNT = ("learners", "caution")
"""Pictures that say in words that nothing was learnt."""
NO_TRADES = pl.DataFrame(schema=TRADES)
NO_EQUITY = pl.DataFrame(
    schema={"timestamp": pl.Datetime("us", "UTC"), "equity": pl.Float64, "drawdown": pl.Float64}
)
Picture = Callable[[pl.DataFrame], bytes]
PICTURES: dict[str, Picture] = {
    "price": lambda predictions: draw_price(predictions, NO_TRADES),
    "reliability": lambda predictions: draw_reliability(predictions, horizon=8),
    "metrics": draw_metrics,
    "confidence": draw_confidence,
}


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert image.width == 1088
    return image.convert("RGB")


def ink(png: bytes) -> float:
    """Share of pixels that are not the background."""
    pixels = np.asarray(opened(png))
    return float((pixels != 255).any(axis=2).mean())


def backtest(predictions: pl.DataFrame) -> Simulation:
    test = predictions.filter(pl.col("split") == "test")
    options = {"segments": one_segment(test.height), "costs": Costs(spread=0.02)}
    return simulate(test, damped(test), horizon=8, **options)  # type: ignore[arg-type]


def test_every_picture_of_a_backtest_is_drawn_small_and_the_same_again() -> None:
    predictions = random_predictions(1500, seed=1, skill=1.0)
    simulation = backtest(predictions)
    assert simulation.trades.height > 10
    pictures = draw(predictions, simulation, horizon=8)
    assert list(pictures) == list(CAPTIONS)
    for name, png in pictures.items():
        assert len(png) < 250_000
        assert (0.01 if name not in LEARNT else 0.001) < ink(png) < 0.6
    assert draw_equity(simulation.equity) == pictures["equity"]


def test_equity_is_drawn_over_the_test_span_alone() -> None:
    predictions = random_predictions(600, seed=6, skill=1.0)
    within = backtest(predictions)
    before = predictions.filter(pl.col("split") != "test").select("timestamp")
    flat = before.with_columns(equity=pl.lit(1.0), drawdown=pl.lit(0.0))
    whole = Simulation(within.trades, pl.concat([flat, within.equity]))
    assert draw(predictions, whole, horizon=8)["equity"] == draw_equity(within.equity)


def test_trades_leave_their_colours_on_the_price() -> None:
    predictions = random_predictions(800, seed=2, skill=1.0)
    with_trades = np.asarray(opened(draw_price(predictions, backtest(predictions).trades)))
    without = np.asarray(opened(draw_price(predictions, NO_TRADES)))
    for colour in ((0, 114, 178), (213, 94, 0)):
        near = [
            np.abs(image - np.array(colour)).max(axis=2) < 24 for image in (with_trades, without)
        ]
        assert near[0].sum() > near[1].sum() + 200


@pytest.mark.parametrize("name", list(PICTURES))
def test_pictures_of_nothing_are_still_pictures(name: str) -> None:
    frame = predictions_of(30)
    nulls = frame.with_columns(pl.lit(None).alias(c) for c in frame.columns[6:])
    for empty in (frame.head(0), nulls, frame.with_columns(split=pl.lit("library"))):
        assert ink(PICTURES[name](empty)) > 0


@pytest.mark.parametrize("name", list(PICTURES))
def test_holes_are_gaps_not_errors(name: str) -> None:
    predictions = random_predictions(400, seed=3)
    null, nan = pl.col("position") % 3 == 0, pl.col("position") > 350
    floats = pl.col("^(confidence|lower|upper|margin|entropy|coherence|stability|damped).*$")
    holes = predictions.with_columns(
        pl.when(nan).then(math.nan).when(~null).then(floats).name.keep()
    )
    assert ink(PICTURES[name](holes)) > 0.01


def test_a_confidence_that_never_moves_is_drawn() -> None:
    assert ink(draw_reliability(predictions_of(50), horizon=8)) > 0.01


def test_equity_without_trades_and_without_bars() -> None:
    times = predictions_of(20).select("timestamp")
    flat = times.with_columns(equity=pl.lit(1.0), drawdown=pl.lit(0.0))
    assert ink(draw_equity(flat)) > 0.005
    assert ink(draw_equity(NO_EQUITY)) > 0.005


LEARNERS: list[dict[str, Any]] = [
    {"name": "neighbours", "weight": 0.31, "brier_skill": 0.061, "skill_low": 0.04},
    {"name": "hours", "weight": 0.0, "brier_skill": -0.002, "skill_low": None},
    {"name": STACK, "weight": None, "brier_skill": 0.09, "skill_low": 0.07},
]
TRIED: list[dict[str, Any]] = [
    {"caution": 0.0, "test": 0.05, "past": 0.1, "trades": 90},
    {"caution": 1.0, "test": 0.02, "past": 0.12, "trades": 40},
    {"caution": "lower", "test": -0.01, "past": None, "trades": 3},
]


def test_what_was_learnt_is_drawn_and_the_same_again() -> None:
    assert 0.01 < ink(draw_learners(LEARNERS)) < 0.6
    assert draw_learners(LEARNERS) == draw_learners(LEARNERS)
    louder = [{**LEARNERS[0], "weight": 0.9}, *LEARNERS[1:]]
    assert draw_learners(louder) != draw_learners(LEARNERS)
    base_rates = draw_learners(LEARNERS[-1:])
    assert base_rates == draw_learners([])
    assert ink(base_rates) > 0.001


def test_the_caution_in_force_is_marked() -> None:
    drawn = [
        draw_caution({"in_force": chosen, "chosen_by": "past", "tried": TRIED})
        for chosen in (0.0, 1.0, "lower")
    ]
    assert len(set(drawn)) == 3
    assert all(0.01 < ink(png) < 0.6 for png in drawn)
    unknown = [{**each, "past": None, "test": None} for each in TRIED]
    told = {"in_force": 0.0, "chosen_by": "recipe", "tried": unknown}
    assert ink(draw_caution(told)) > 0.005
    assert ink(draw_caution(None)) > 0.005


def test_a_single_bar_is_drawn() -> None:
    one = random_predictions(1, seed=4, splits=(-2.0, -1.0))
    assert one["split"].to_list() == ["test"]
    for picture in PICTURES.values():
        assert ink(picture(one)) > 0


@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=300),
    points=st.integers(2, 40),
)
def test_thinning_keeps_the_extremes(values: list[float], points: int) -> None:
    array = np.array(values, dtype=np.float64)
    rows = thin(array, points)
    assert (np.diff(rows) > 0).all()
    assert rows.size <= max(points, 0) or array.size <= points
    known = array[~np.isnan(array)]
    if known.size:
        assert np.nanmin(array[rows]) == known.min()
        assert np.nanmax(array[rows]) == known.max()


@pytest.mark.parametrize("n", [0, 1, 3999, 4000, 4001, 100_000])
def test_at_most_four_thousand_points(n: int) -> None:
    rows = thin(np.random.default_rng(0).normal(size=n))
    assert rows.size <= 4000
    assert rows.size == n or rows.size > 1900


def test_equity_ends_within_its_bands_and_flat_equity_has_none() -> None:
    growth = np.random.default_rng(0).normal(1e-4, 1e-3, 3000)
    equity = np.exp(growth.cumsum())
    bands = equity_bands(equity)
    assert bands is not None
    rows, low, high = bands
    assert rows[-1] == 2999
    assert low[-1] < equity[-1] < high[-1]
    assert np.diff(high - low)[-1] > -0.1
    for without in (np.ones(3000), equity[:15], equity[:0], np.append(equity, 0.0)):
        assert equity_bands(without) is None


def test_a_waterfall_ends_in_a_sum_or_goes_on() -> None:
    steps = [{"name": name, "gain": gain} for name, gain in (("gross", 0.3), ("spread", -0.1))]
    net = [*steps, {"name": "net", "gain": 0.2}]
    assert is_sum(net)
    assert not is_sum(steps)
    assert ink(draw_waterfall(net)) > 0.01
    assert draw_waterfall(net) != draw_waterfall(steps)
    assert ink(draw_waterfall(steps[:1])) > 0.01


def test_a_plateau_of_one_row_and_of_holes_is_drawn() -> None:
    x, y = {"name": "n", "values": [1, 2]}, {"name": "", "values": [0]}
    plateau = {"x": x, "y": y, "value": {"name": "growth", "rows": [[0.1, None]]}, "chosen": [1, 0]}
    assert ink(draw_plateau(plateau)) > 0.01


def test_what_is_shown_is_drawn_and_nothing_says_so() -> None:
    assert ink(draw_coverage(None)) > 0.005
    predictions, opinions = case()
    told = judge(predictions, opinions)
    assert ink(draw_coverage(told)) > 0.01
    with_curve = draw_reliability(predictions, horizon=8, shown=told)
    assert ink(with_curve) > ink(draw_reliability(predictions, horizon=8)) + 0.02
    few = judge(*case(40))
    assert ink(draw_coverage(few)) > 0.005
    assert ink(draw_reliability(predictions, horizon=8, shown=few)) > 0.01
