"""What became of each bar's trade: the exit rule of a recipe applied to bars."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.outcomes import Outcomes, outcomes
from tasks.research.charges import Charges
from tasks.research.measure import closing_of
from tasks.research.recipe import Recipe
from tasks.research.simulation import quotes


def distances(
    metrics: pl.DataFrame, recipe: Recipe
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return stop and target distances of each bar.

    Parameters
    ----------
    metrics : polars.DataFrame
        With `close` and `sigma`; with `stop_RULE` and perhaps `target_RULE` for the rule of a
        strategy.
    recipe : Recipe

    Returns
    -------
    stop, target : float64[n] or None
        In price units: those of the recipe's rule, NaN where it has none at a bar; else deviations
        of the whole horizon times close * sigma * sqrt(horizon), infinite (no barrier) where sigma
        is zero.
    """
    if recipe.rule:
        return _named(metrics, f"stop_{recipe.rule}"), _named(metrics, f"target_{recipe.rule}")
    unit = (metrics["close"] * metrics["sigma"]).to_numpy() * math.sqrt(recipe.horizon)
    unit = np.where(unit == 0, np.inf, unit)

    def scaled(deviations: float | None) -> NDArray[np.float64] | None:
        return None if deviations is None else np.asarray(deviations * unit, np.float64)

    return scaled(recipe.stop_deviations), scaled(recipe.target_deviations)


def _named(metrics: pl.DataFrame, name: str) -> NDArray[np.float64] | None:
    if name not in metrics.columns:
        return None
    return np.ascontiguousarray(metrics[name].fill_null(math.nan).to_numpy(), np.float64)


def closing(metrics: pl.DataFrame, recipe: Recipe) -> NDArray[np.bool_]:
    """Say after which bars the recipe enters no trade because the market closes: bool[n].

    Parameters
    ----------
    metrics : polars.DataFrame
        With `timestamp`.
    recipe : Recipe
        None are left out where it trades over closures (`weekend`).
    """
    if recipe.weekend:
        return np.zeros(len(metrics), np.bool_)
    return closing_of(metrics, recipe.pair, recipe.timeframe)


def with_distances(metrics: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Return the metrics with what an entry after each bar would be.

    That is stop_distance and target_distance (NaN where there is none), and closing (whether
    none is made, because the market closes).

    Parameters
    ----------
    metrics : polars.DataFrame
        As `measure` returns them.
    recipe : Recipe
        Its stop and target are in deviations.
    """
    nothing = np.full(len(metrics), np.nan)
    stop, target = distances(metrics, recipe)
    return metrics.with_columns(
        stop_distance=nothing if stop is None else stop,
        target_distance=nothing if target is None else target,
        closing=closing(metrics, recipe),
    )


def resolve(
    bars: pl.DataFrame, metrics: pl.DataFrame, recipe: Recipe, *, engine: str = "auto"
) -> Outcomes:
    """Follow the trade of each bar and side to its exit (docs/mathematics.md, "Outcomes").

    Parameters
    ----------
    bars : polars.DataFrame
        Bars of one pair; bid and ask are used where they carry them.
    metrics : polars.DataFrame
        What `measure` says of the same bars.
    recipe : Recipe
        Horizon, barriers, costs, and whether to trade over closures.
    engine : {"auto", "cpu", "gpu"}
    """
    stop, target = distances(metrics, recipe)
    out = outcomes(
        quotes(bars, recipe.costs),
        metrics["segment"].to_numpy(),
        horizon=recipe.horizon,
        stop=stop,
        target=target,
        slippage=recipe.slippage,
        closing=closing(metrics, recipe),
        engine=engine,
    )
    return Charges.of(bars, recipe.costs).charged(out)
