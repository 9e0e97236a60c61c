"""Recipes: defaults of a pair, checked values, one fingerprint for equal recipes."""

from __future__ import annotations

import json

import pytest

from infra.market.instruments import default_spread, pip
from infra.market.timeframes import bar_seconds
from tasks.document import from_plain, to_plain
from tasks.research.recipe import Recipe


def test_the_usual_recipe_of_a_pair() -> None:
    recipe = Recipe.default("EUR_USD", "H1", horizon=None)
    assert recipe.horizon == 8
    assert recipe.spread == pytest.approx(1.4e-4)
    assert Recipe.default("USD_JPY", "M1").spread == pytest.approx(1.4e-2)
    assert Recipe.default("EUR_USD", "H1", horizon=24).horizon == 24


def test_a_synthetic_instrument_carries_its_own_costs() -> None:
    assert default_spread("PLANTED") == 0


def test_a_recipe_survives_json() -> None:
    recipe = Recipe.default("EUR_USD", "M1", target_deviations=2.0, seed=3)
    assert from_plain(Recipe, json.loads(json.dumps(to_plain(recipe)))) == recipe


def test_the_fingerprint_tells_recipes_and_data_apart() -> None:
    one, two = (Recipe.default("EUR_USD", "H1", seed=seed) for seed in (1, 2))
    assert one.fingerprint("a") == Recipe.default("EUR_USD", "H1", seed=1).fingerprint("a")
    assert len({one.fingerprint("a"), one.fingerprint("b"), two.fingerprint("a")}) == 3


@pytest.mark.parametrize(
    ("horizon", "bars", "stride"), [(8, 5_000, 2), (60, 726_000, 15), (1, 10, 1), (8, 726_000, 15)]
)
def test_the_librarys_stride(horizon: int, bars: int, stride: int) -> None:
    assert Recipe.default("EUR_USD", "M1", horizon=horizon).stride_for(bars) == stride


@pytest.mark.parametrize("changes", [{"horizon": 0}, {"spread": -1.0}, {"slippage": -1.0}])
def test_impossible_values_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Recipe.default("EUR_USD", "H1", **changes)


def test_an_unknown_timeframe_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="M1, M5"):
        bar_seconds("H3")
    with pytest.raises(ValueError, match="M1, M5"):
        Recipe.default("EUR_USD", "H3")


def test_pips() -> None:
    assert (pip("USD_JPY"), pip("EUR_USD")) == (0.01, 0.0001)
