"""What each learner is worth: its weight, and its own skill beside that of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.reports.calibration import calibration, opined
from tasks.reports.format import number, percent
from tasks.strategy.strategies import METRICS

STACK: Final = "all together"
"""Name of what the learners say as one: confidence."""


def learners(
    predictions: pl.DataFrame,
    opinions: pl.DataFrame,
    weights: Mapping[str, float],
    *,
    horizon: int,
    seed: int = 0,
    draws: int = 1000,
) -> list[dict[str, Any]]:
    """Judge each learner alone on the outcomes of the test span that confidence is judged on.

    Parameters
    ----------
    predictions : polars.DataFrame
        The metrics frame.
    opinions : polars.DataFrame
        As `tasks.research.training.opinions` returns.
    weights : mapping of str to float
        By learner, in the order of the roster.
    horizon : int
        Bars from entry to the time exit.
    seed, draws : int
        Of the block bootstrap that bounds the skill.

    Returns
    -------
    list of dict
        ``name``, ``weight``, ``brier_skill``, ``skill_low`` (its 5 % bound); the last is
        `STACK`, whose weight is None.
    """
    told = {name: opined(predictions, opinions, name) for name in weights}
    told[STACK] = predictions
    return [
        {"name": name, "weight": weights.get(name), **_skill(rows, horizon, seed, draws)}
        for name, rows in told.items()
    ]


def learner_words(learner: Mapping[str, Any]) -> str:
    """Return a learner's weight and skill: "weight 0.31, skill 0.061 alone"."""
    skill = number(learner["brier_skill"], 3)
    if learner["weight"] is None:
        return f"skill {skill}"
    return f"weight {learner['weight']:.2f}, skill {skill} alone"


def weight_words(weight: NDArray[np.float64]) -> str:
    """Return how much each metric, and the last step, counts when paths are compared.

    Parameters
    ----------
    weight : float64[64]
        Of each dimension: 16 steps of 4 metrics.
    """
    share = (weight**2 / (weight**2).sum()).reshape(-1, len(METRICS))
    parts = zip(METRICS, share.sum(axis=0).tolist(), strict=True)
    words = [f"{name.replace('_', ' ')} {percent(part, digits=0)}" for name, part in parts]
    return f"{', '.join(words)}; the last step {percent(float(share[-1].sum()), digits=0)}"


def as_lines(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return a line for each learner of a summary by its name."""
    every: Sequence[Mapping[str, Any]] = summary.get("learners", ())
    return {f"Learner: {each['name']}": learner_words(each) for each in every}


def _skill(rows: pl.DataFrame, horizon: int, seed: int, draws: int) -> dict[str, Any]:
    facts = calibration(rows, horizon, seed=seed, draws=draws)
    return {name: facts[name] for name in ("brier_skill", "skill_low")}
