"""How much caution paid: what the test span would have grown under each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import polars as pl

from kernels.outcomes import SIDES
from tasks.reports.calibration import finite
from tasks.reports.format import percent
from tasks.research.gains import CAUTIONS
from tasks.research.simulation import Simulation

Caution = float | Literal["lower"]
Trade = Callable[[pl.DataFrame], Simulation]
"""Trade the test span of predictions by the rules of the backtest."""

CHOOSERS: Mapping[str, str] = {
    "recipe": "as was asked for",
    "past": "what grew most on the past",
    "nothing": "as too little could be learnt",
}


def cautions(
    predictions: pl.DataFrame,
    trade: Trade,
    *,
    in_force: Caution,
    asked: bool,
    growths: Mapping[float, float],
) -> dict[str, Any]:
    """Trade the test span under every caution.

    Parameters
    ----------
    predictions : polars.DataFrame
        The metrics frame, whose margins are those of the caution in force.
    trade : callable
    in_force : float or "lower"
    asked : bool
        Whether the recipe says so, not the past.
    growths : mapping of float to float
        Log growth on the past by caution.

    Returns
    -------
    dict
        ``in_force``, ``chosen_by`` (of `CHOOSERS`) and ``tried``: a list of ``caution``,
        ``test`` and ``past`` (log growths, None where unknown) and ``trades`` (of the test span).
    """
    numbers = {*CAUTIONS} if in_force == "lower" else {*CAUTIONS, in_force}
    every: list[Caution] = [*sorted(numbers), "lower"]
    tried = []
    for caution in every:
        told = predictions if caution == in_force else with_caution(predictions, caution)
        trades = trade(told).trades
        grown = finite(np.log1p(trades["gain"].to_numpy()).sum())
        past = growths.get(caution) if caution != "lower" else None
        tried.append({"caution": caution, "test": grown, "past": past, "trades": trades.height})
    chosen_by = "recipe" if asked else "past" if growths else "nothing"
    return {"in_force": in_force, "chosen_by": chosen_by, "tried": tried}


def with_caution(predictions: pl.DataFrame, caution: Caution) -> pl.DataFrame:
    """Return predictions with the margins that another caution leaves.

    Parameters
    ----------
    predictions : polars.DataFrame
    caution : float or "lower"
    """
    return predictions.with_columns(_margin(caution, side) for side in SIDES)


def caution_words(caution: Mapping[str, Any]) -> str:
    """Return the caution in force, who chose it, and which would have grown most."""
    tried = caution["tried"]
    best = max(tried, key=lambda each: each["test"] or 0.0)
    told = f"{_name(caution['in_force'])}, {CHOOSERS[caution['chosen_by']]}"
    grown = percent(best["test"] and float(np.expm1(best["test"])), sign=True)
    return f"{told}; most growth on the test span by {_name(best['caution'])} ({grown})"


def _name(caution: Caution) -> str:
    return caution if isinstance(caution, str) else f"{caution:g}"


def _margin(caution: Caution, side: str) -> pl.Expr:
    if caution == "lower":
        left = pl.col(f"lower_{side}") - pl.col(f"break_even_{side}")
    else:
        doubt = caution * pl.col(f"doubt_{side}")
        left = (pl.col(f"expected_{side}") - doubt) / pl.col("unit")
    return left.cast(pl.Float64).alias(f"margin_{side}")
