"""Encoders and dampings compared on the past: every set counts, the test span has no say."""

from __future__ import annotations

import polars as pl

from tasks.intake.rows import planted_rows
from tasks.research.measure import Measures, measure_by
from tasks.research.recipe import Recipe
from tasks.rules.outer import FINALISTS, MOST, select_setting, settings
from tasks.rules.selection import Selection
from tasks.rules.setup import Setup
from tasks.rules.texts import find

RECIPE = Recipe.default("PLANTED", "H1", slippage=0.0)


def measure(recipe: Recipe, bars: pl.DataFrame) -> Measures:
    return measure_by(recipe, bars, engine="cpu")


def selected(bars: pl.DataFrame) -> Selection:
    setup = Setup.of(find("damped_consensus", "PLANTED", "H1"), RECIPE, {})
    return select_setting(setup, bars, measure, count=3, fixed=(), engine="cpu")


def test_settings_are_each_another_and_at_most_eight() -> None:
    found = settings(RECIPE, 20, volume=True)
    assert found[0] == RECIPE
    assert len({(each.encoder, each.damping) for each in found}) == len(found) == MOST
    assert settings(RECIPE, 1, volume=True) == [RECIPE]
    assert "volume" not in {each.encoder for each in settings(RECIPE, 20, volume=False)}


def test_every_set_counts_and_the_test_span_has_no_say() -> None:
    bars = planted_rows(4_000, timeframe="H1", seed=3, size=2.0).drop("source_row")
    found = selected(bars)
    tried = found.told["settings"]
    assert [each["encoder"] for each in tried] == ["direction", "volatility", "direction"]
    assert tried[2]["tau"] == 4.0
    one = found.sets // (3 + FINALISTS)
    assert found.sets == found.setup.tried == (3 + FINALISTS) * one > 1_000
    assert 1 <= found.effective <= found.sets
    assert found.returns.shape[1] <= FINALISTS * one
    wild = pl.int_range(pl.len()) >= 3_100  # behind every calibration span
    poisoned = bars.with_columns(
        pl.when(wild).then(pl.col(name) * 3).otherwise(pl.col(name)).alias(name)
        for name in bars.columns
        if name not in ("timestamp", "volume")
    )
    assert selected(poisoned).told == found.told
