"""The spread of a recipe by hour of the week: measured where the pair's own quotes are stored."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import Final

from infra.market.spreads import measured
from infra.market.timeframes import TIMEFRAMES, bar_seconds
from infra.stores.bulk import BarStore
from tasks.research.recipe import Recipe

_HOUR: Final = bar_seconds("H1")


def with_spreads(recipe: Recipe, store: BarStore, end: datetime) -> Recipe:
    """Return a recipe with the spreads that quoted bars of its pair have before a moment.

    Bars of an hour and less are asked, those nearest in length to its own first; where none has
    quotes enough the recipe stays as it is.

    Parameters
    ----------
    recipe : Recipe
    store : BarStore
    end : datetime
        Nothing from then on is looked at.
    """
    for timeframe in _asked(recipe, store):
        bars = store.read(recipe.pair, timeframe, None, end)
        if found := measured(bars, f"{recipe.pair} {timeframe}"):
            return replace(
                recipe, spread=found.spread, spread_hours=found.hours, spread_source=found.source
            )
    return recipe


def _asked(recipe: Recipe, store: BarStore) -> list[str]:
    """Return the stored timeframes that begin a bar every hour, the nearest in length first."""
    stored, own = store.pairs(), bar_seconds(recipe.timeframe)
    hourly = [
        timeframe
        for timeframe, seconds in TIMEFRAMES.items()
        if seconds <= _HOUR and (recipe.pair, timeframe) in stored
    ]
    return sorted(hourly, key=lambda timeframe: abs(math.log(bar_seconds(timeframe) / own)))
