"""Other instruments, as far as they were known when a bar closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from infra.market.timeframes import bar_length
from tasks.research.knowledge import LEAD
from tasks.research.measure import BarsError, Measures, measure_by
from tasks.research.recipe import Recipe

COLUMNS = ("damped_value", "momentum_4", "momentum_16")
STALE = 12
"""Bars after which what another instrument did is no news."""


def with_leads(
    measures: Measures, bars: Mapping[str, pl.DataFrame], recipe: Recipe, *, engine: str = "auto"
) -> Measures:
    """Return measures with what other instruments had done by each bar's close.

    Parameters
    ----------
    measures : Measures
    bars : mapping of str to polars.DataFrame
        Bars of each other pair, of the same timeframe; one that began with a bar closed with it.
    recipe : Recipe
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    Measures
        With columns `lead_<pair>_<what>`: nought where nothing was known for `STALE` bars.

    Raises
    ------
    BarsError
        If another pair has no bars, or bad ones.
    """
    metrics = measures.metrics
    for pair in recipe.leads:
        metrics = metrics.join_asof(
            _said(bars[pair], pair, recipe, engine),
            on="timestamp",
            strategy="backward",
            tolerance=STALE * bar_length(recipe.timeframe),
        )
    filled = metrics.with_columns(pl.col(f"^{LEAD}.*$").fill_nan(None).fill_null(0.0))
    return replace(measures, metrics=filled)


def _said(bars: pl.DataFrame, pair: str, recipe: Recipe, engine: str) -> pl.DataFrame:
    if bars.is_empty():
        raise BarsError(
            f"there are no bars of {pair}, which the recipe looks at: run `ingest` first"
        )
    known = measure_by(recipe, bars, pair=pair, engine=engine)
    named = {f"{LEAD}{pair}_{name}": pl.col(name).cast(pl.Float64) for name in COLUMNS}
    return known.metrics.select("timestamp", **named)
