"""How much of what could be known and earned was: told where a generator knows the truth."""

from __future__ import annotations

import math
from typing import Any, Final

import polars as pl

from kernels.outcomes import SIDES
from tasks.reports.calibration import calibration, opined
from tasks.reports.cautions import Trade
from tasks.reports.format import number, percent
from tasks.research.recipe import Recipe
from tasks.research.simulation import Simulation

LEAST_SKILL: Final = 0.005
"""Skill of the truth below which a share of it says nothing."""

LEAST_DEVIATIONS: Final = 2.0
"""Deviations of its own chance that the truth's net gain must exceed to be divided by."""

FAR: Final = 4.0
"""Deviations of the horizon beyond which a stop hardly changes what a trade is worth."""


def speaks_of(truth: pl.DataFrame, recipe: Recipe, predictions: pl.DataFrame) -> bool:
    """Say whether a truth is of these bars and of the trades of this recipe.

    Parameters
    ----------
    truth : polars.DataFrame
        As `tasks.intake.truth.read_truth` returns.
    recipe : Recipe
    predictions : polars.DataFrame
        The metrics frame.
    """
    test = predictions.filter(pl.col("split") == "test").select("timestamp", "close")
    same = test.join(truth, on=["timestamp", "close"], how="semi")
    horizon = truth["horizon"].max()
    return bool(_timed(recipe, predictions) and _free(recipe) and horizon == recipe.horizon) and (
        0 < test.height == same.height
    )


def _free(recipe: Recipe) -> bool:
    """Say whether trades pay the spread alone."""
    costs = recipe.costs
    return costs.slippage == 0 and costs.commission == 0 and not costs.financing


def _timed(recipe: Recipe, predictions: pl.DataFrame) -> bool:
    """Say whether trades end by time, as good as all of them."""
    if not recipe.rule:
        stop = recipe.stop_deviations
        return recipe.target_deviations is None and (stop is None or stop >= FAR)
    far = pl.col("stop_distance") >= 0.999 * FAR * pl.col("unit") * pl.col("close")
    near = predictions.filter(~far | pl.col("target_distance").is_not_null())
    return near.is_empty()


def against_truth(
    predictions: pl.DataFrame,
    simulation: Simulation,
    truth: pl.DataFrame,
    trade: Trade,
    *,
    horizon: int,
) -> dict[str, Any]:
    """Compare confidence and gain on the test span with those of whoever knows the truth.

    Parameters
    ----------
    predictions : polars.DataFrame
        The metrics frame.
    simulation : Simulation
        Of the strategy's signals.
    truth : polars.DataFrame
        Of the same bars.
    trade : callable
    horizon : int
        Bars from entry to the time exit.

    Returns
    -------
    dict
        ``brier_skill`` of the truth and ``skill_share`` of it that confidence reached; ``net``
        gain of the oracle, which trades what the truth says is worth it, its ``trades`` and
        ``net_share`` of it that was taken; ``sentence``. A share is None where the truth's own
        figure is too small to divide by.
    """
    known = opined(predictions, truth, "true_probability")
    best, reached = (
        calibration(each, horizon, draws=1)["brier_skill"] for each in (known, predictions)
    )
    oracle = trade(_oracle(predictions, truth)).trades["gain"].to_numpy()
    net, taken = float(oracle.sum()), float(simulation.trades["gain"].sum())
    chance = math.sqrt(float((oracle**2).sum()))
    told = {
        "brier_skill": best,
        "skill_share": _share(reached, best, LEAST_SKILL),
        "net": net,
        "trades": len(oracle),
        "net_share": _share(taken, net, LEAST_DEVIATIONS * chance),
    }
    return told | {"sentence": _sentence(told)}


def _oracle(predictions: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Return predictions that believe the truth, and nothing else."""
    rows = predictions.join(truth.drop("close"), on="timestamp", how="left", maintain_order="left")
    beliefs: dict[str, pl.Expr] = {}
    for side in SIDES:
        gain, probability = pl.col(f"true_gain_{side}"), pl.col(f"true_probability_{side}")
        beliefs |= {f"{name}_{side}": probability for name in ("confidence", "lower", "upper")}
        beliefs |= {f"{name}_{side}": gain for name in ("expected", "margin")}
        beliefs |= {f"doubt_{side}": pl.lit(0.0)}
        beliefs |= {f"break_even_{side}": pl.col(f"break_even_{side}").mean().fill_null(0.5)}
    return rows.with_columns(**beliefs)


def _share(part: float | None, whole: float | None, least: float) -> float | None:
    return None if part is None or whole is None or whole <= least else part / whole


def _sentence(told: dict[str, Any]) -> str:
    skill, net = number(told["brier_skill"], 4), percent(told["net"], sign=True)
    known = _words(told["skill_share"], "known", f"a skill of {skill}")
    return f"{known}, {_words(told['net_share'], 'earned', net)}"


def _words(share: float | None, done: str, figure: str) -> str:
    if share is None:
        return f"too little could be {done} to tell a share of it ({figure})"
    return f"{percent(share, digits=0)} of what could be {done}"
