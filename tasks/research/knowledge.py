"""What is known of bars at their close, gathered for the learners from frames of bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.outcomes import SIDES
from kernels.paths import Standard
from tasks.research.learners.rows import Rows
from tasks.research.measure import MOMENTUM, Measures
from tasks.research.recipe import Recipe
from tasks.research.simulation import quotes

LEAD = "lead_"
"""Columns of other instruments begin so."""


def with_costs(metrics: pl.DataFrame, bars: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Return the metrics with what a trade of each bar risks and pays.

    Parameters
    ----------
    metrics : polars.DataFrame
        With `close` and `sigma`.
    bars : polars.DataFrame
        The same bars.
    recipe : Recipe

    Returns
    -------
    polars.DataFrame
        With `unit`, the deviation of the horizon as a share of the price, and `cost`, spread,
        slippage and commission of a round trip in such deviations; null where the deviation is
        zero.
    """
    prices = quotes(bars, recipe.costs)
    fixed = recipe.slippage + 2 * recipe.commission
    paid = (prices.ask_close - prices.bid_close + fixed) / metrics["close"].to_numpy()
    unit = metrics["sigma"].to_numpy() * math.sqrt(recipe.horizon)
    unit = np.where(unit > 0, unit, np.nan)
    return metrics.with_columns(unit=unit, cost=paid / unit)


def log_deviation(metrics: pl.DataFrame) -> NDArray[np.float64]:
    """Return the logarithm of each bar's deviation, float64[n]; NaN where it is zero."""
    return _log(metrics["sigma"].to_numpy())


def features(
    trajectory: NDArray[np.float32], volatility: NDArray[np.float64], standard: Standard
) -> NDArray[np.float32]:
    """Return what the local fit looks at: the standardised last step and volatility.

    Parameters
    ----------
    trajectory : float32[n, 16, 4]
    volatility : float64[n]
        Log deviation beside that of the library span.
    standard : Standard
        Of the library span.

    Returns
    -------
    float32[n, 5]
    """
    last = (trajectory[:, -1] - standard.mean[-4:]) / standard.deviation[-4:]
    return np.column_stack([last, volatility]).astype(np.float32)


def rows_of(
    measures: Measures,
    positions: NDArray[np.int64],
    *,
    first: int = 0,
    log_sigma: float,
    answers: pl.DataFrame | None = None,
) -> Rows:
    """Gather what is known of some bars.

    Parameters
    ----------
    measures : Measures
        Of bars from number `first` on, with `cost` and the columns of other instruments.
    positions : int64[n]
        Bar numbers, ascending.
    first : int
    log_sigma : float
        Mean log deviation of the library span.
    answers : polars.DataFrame, optional
        What the search said of some of them.
    """
    chosen = positions - first
    metrics = measures.metrics
    leads = [name for name in metrics.columns if name.startswith(LEAD)]

    def floats(names: Sequence[str]) -> NDArray[np.float64]:
        return _floats([metrics[name].to_numpy()[chosen] for name in names], len(chosen))

    return Rows(
        position=positions,
        time=metrics["timestamp"].to_numpy()[chosen].astype("datetime64[us]").astype(np.int64),
        trajectory=measures.trajectory[chosen].reshape(len(chosen), -1),
        volatility=_log(metrics["sigma"].to_numpy()[chosen]) - log_sigma,
        cost=floats(["cost"])[:, 0],
        momentum=floats(MOMENTUM),
        pattern=metrics["pattern"].to_numpy()[chosen],
        leads=floats(leads),
        **_answered(positions, answers),
    )


def _answered(positions: NDArray[np.int64], answers: pl.DataFrame | None) -> dict[str, Any]:
    told: dict[str, Any] = {"local": np.full((len(positions), 2), np.nan)}
    for pool in ("", "pooled_"):
        told[f"{pool}wins"] = np.zeros((len(positions), 2), np.int64)
        told[f"{pool}k_eff"] = np.zeros(len(positions), np.int64)
    if answers is None or not len(positions):
        return told
    asked = answers["position"].to_numpy()
    place = np.searchsorted(positions, asked)
    there = positions[np.minimum(place, len(positions) - 1)] == asked
    for name, column in told.items():
        sides = [name] if column.ndim == 1 else [f"{name}_{side}" for side in SIDES]
        if sides[0] in answers.columns:
            said = np.column_stack([answers[each].to_numpy()[there] for each in sides])
            column[place[there]] = said.reshape(-1, *column.shape[1:]).astype(column.dtype)
    return told


def _floats(columns: list[NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    return np.column_stack(columns) if columns else np.empty((rows, 0))


def _log(sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.where(sigma > 0, sigma, np.nan)))
