"""Choosing by grid: the test span has no say, the steadiest set wins, and what is given stays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tasks.intake.rows import planted_rows
from tasks.research.measure import measure
from tasks.research.recipe import Recipe
from tasks.rules.frames import measured
from tasks.rules.selection import (
    CAUTIONS,
    HORIZON,
    STOP,
    Selection,
    chosen_setup,
    grid_of,
    select,
    steadiest,
)
from tasks.rules.setup import Setup
from tasks.rules.sweep import Past
from tasks.rules.texts import find

BARS = 5_000


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return planted_rows(BARS, timeframe="H1", seed=3, size=1.5).drop("source_row")


def setup_of(name: str = "damped_consensus", changes: dict[str, float] | None = None) -> Setup:
    recipe = Recipe.default("PLANTED", "H1", slippage=0.0)
    return Setup.of(find(name, "PLANTED", "H1"), recipe, changes or {})


def past_of(bars: pl.DataFrame, setup: Setup) -> Past:
    measures = measure(bars, "PLANTED", "H1", engine="cpu")
    frames = measured(setup.strategy, {"bars": bars}, engine="cpu")
    return Past(bars, measures, frames, "cpu")


@pytest.fixture(scope="module")
def chosen(bars: pl.DataFrame) -> Selection:
    setup = setup_of()
    return select(setup, past_of(bars, setup), 16)


def test_an_edge_is_found_and_told(chosen: Selection) -> None:
    assert chosen.sets == chosen.setup.tried > 200
    assert 1 <= chosen.effective == chosen.setup.effective <= chosen.sets
    assert chosen.growth > 0
    assert chosen.growth >= chosen.default
    told = chosen.told["parameters"]
    assert chosen.setup.recipe.caution == told["caution"]
    assert chosen.setup.parameters.get(HORIZON, 8) == told["horizon"]
    assert chosen.setup.parameters.get(STOP, 4) == told["stop"]
    assert chosen.told["trades"] >= 30
    assert len(chosen.returns) == len(chosen.days)
    assert np.ptp(chosen.returns, axis=0).min() > 0


def test_the_test_span_has_no_say(bars: pl.DataFrame, chosen: Selection) -> None:
    setup = setup_of()
    past = past_of(bars, setup)
    stop = past.spans(16).calibration.stop
    wild = pl.int_range(pl.len()) >= stop
    poisoned = bars.with_columns(
        pl.when(wild).then(pl.col(name) * 3).otherwise(pl.col(name))
        for name in bars.columns
        if name not in ("timestamp", "volume")
    )
    other = past_of(poisoned, setup)
    found = select(setup, other, 16)
    assert found.told == chosen.told
    np.testing.assert_array_equal(found.returns, chosen.returns)


def test_what_is_given_stays() -> None:
    grid = grid_of(setup_of(changes={HORIZON: 12.0}), [HORIZON])
    assert grid.horizons == (12,)
    grid = grid_of(setup_of(changes={STOP: 5.0}), [STOP])
    assert grid.stops == (5.0,)
    asked = setup_of()
    asked = replace(asked, recipe=replace(asked.recipe, caution=0.3))
    assert grid_of(asked, []).thresholds == (0.3,)


def test_sets_are_ones_that_the_text_may_have() -> None:
    setup = setup_of()
    grid = grid_of(setup, [])
    assert grid.thresholds == CAUTIONS
    for number in range(0, len(grid), 7):
        chosen_setup(setup, grid.values(number)).recipes  # noqa: B018


def test_the_strategy_of_python_has_targets_too() -> None:
    setup = setup_of("damped")
    grid = grid_of(setup, [])
    assert len(grid.targets) > 1
    made = chosen_setup(setup, (0.5, 6.0, math.inf, 2.0))
    assert (made.recipe.caution, made.recipe.horizon) == (0.5, 6)
    assert (made.recipe.stop_deviations, made.recipe.target_deviations) == (None, 2.0)


def test_noise_keeps_what_was_asked_for() -> None:
    noise = planted_rows(BARS, timeframe="H1", seed=4, size=0.0).drop("source_row")
    setup = setup_of()
    found = select(setup, past_of(noise, setup), 16)
    if not found.told["trades"]:
        assert found.told["parameters"] == {"caution": 0, "horizon": 8, "stop": 4, "target": None}
    assert found.sets > 200


def test_a_spike_is_not_the_steadiest() -> None:
    """Of two peaks the broad one is chosen, though the other is higher."""
    setup = setup_of()
    grid = grid_of(setup, [])
    ratios = np.zeros(grid.shape)
    ratios[2, 1, 1, 0] = 0.5
    ratios[5:8, 2:5, 2:5, 0] = 0.3
    swept = type("Swept", (), {})()
    swept.grid, swept.sharpe = grid, ratios.ravel()
    swept.result = type("Result", (), {"trades": np.full(len(grid), 100)})()
    best = np.unravel_index(steadiest(swept, 0), grid.shape)
    assert tuple(int(i) for i in best) == (6, 3, 3, 0)
    swept.result.trades[:] = 29
    assert steadiest(swept, 17) == 17
