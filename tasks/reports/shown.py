"""Calibration shown: how far confidence keeps its word on the test span, and beside what.

Per side of one exit rule, net of cost: reliability without bins and its bands, parts of the Brier
score, skill against the base rate of the training spans, risk and gain by coverage, the skill of
baselines, and what each learner adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from kernels.evaluation import Floats
from kernels.outcomes import SIDES
from kernels.statistics.bootstrap import DRAWS, LEAST, longest_block
from kernels.statistics.calibration import Corp, corp, corp_bands
from kernels.statistics.coverage import risk_coverage
from kernels.statistics.skills import Skills, skills
from tasks.reports.ablation import without_each
from tasks.reports.baselines import History, baselines
from tasks.reports.calibration import finite
from tasks.research.stack import Stack

BAND_ROWS: Final = 4000
"""Outcomes that bands are drawn of; of more every second, third .. is taken."""
BAND_DRAWS: Final = 400
COVERAGES: Final = np.arange(1, 101) / 100
CONFIDENCE: Final = "confidence"
BRIER: Final = ("score", "miscalibration", "discrimination", "uncertainty")
Bools = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Tested:
    """The test span, as it is judged.

    Attributes
    ----------
    said, gain : float64[t, 2]
        Confidence and net gain by side.
    won : float64[t, 2]
    known : bool[t, 2]
        Where confidence was told and the outcome is known.
    base : float64[2]
        Share of wins on the training spans.
    horizon, seed, draws : int
    """

    said: Floats
    gain: Floats
    won: Floats
    known: Bools
    base: Floats
    horizon: int
    seed: int
    draws: int

    @classmethod
    def of(cls, test: pl.DataFrame, base: Floats, **options: int) -> Tested:
        """Read predictions of the test span.

        Parameters
        ----------
        test : polars.DataFrame
        base : float64[2]
        **options : int
            ``horizon``, ``seed``, ``draws``.
        """
        said, gain, won = (
            np.column_stack(
                [test[f"{name}_{side}"].cast(pl.Float64).fill_null(np.nan) for side in SIDES]
            )
            for name in ("confidence", "gain", "win")
        )
        return cls(said, gain, won, np.isfinite(said) & (won >= 0), base, **options)

    def refusal(self, side: int) -> str | None:
        """Say why nothing can be shown of a side; None if it can."""
        known, won = self.known[:, side], self.won[self.known[:, side], side]
        if known.sum() < LEAST:
            return f"{int(known.sum())} outcomes of at least {LEAST}"
        if np.ptp(won) == 0:
            return f"all {len(won)} trades {'won' if won[0] else 'lost'}"
        return None if 0 < self.base[side] < 1 else "the training spans have outcomes of one kind"

    def losses(self, forecast: Floats) -> Floats:
        """Return squared errors of a forecast, float64[t, 2]; 0 where nothing is judged."""
        return np.where(self.known, (forecast - self.won) ** 2, 0.0)


def shown(
    predictions: pl.DataFrame,
    opinions: pl.DataFrame,
    stack: Stack,
    weights: Mapping[str, float],
    *,
    horizon: int,
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Judge the confidence of one exit rule on its test span.

    Parameters
    ----------
    predictions : polars.DataFrame
        The metrics frame.
    opinions : polars.DataFrame
        As `tasks.research.training.opinions` returns.
    stack : Stack
    weights : mapping of str to float
        By learner, in its order.
    horizon : int
        Bars from entry to the time exit.
    seed, draws : int
        Of the bootstraps and of the random neighbours.

    Returns
    -------
    dict
        JSON-ready: ``horizon``, ``seed``, ``draws``, ``sides`` (by side ``outcomes``, ``base_rate``
        of the training spans, ``why`` where nothing can be shown, else None, and ``reliability``,
        ``bands``, ``brier``, ``coverage``), ``skills`` (rows of ``name`` and, for "both" and each
        side, ``skill``, ``low``, ``high``; the first is `CONFIDENCE`) and ``ablation`` (rows of
        ``name``, ``weight``, ``without``: the skill of the others, and ``adds``: what is lost).
    """
    history, test = History.of(predictions, horizon, seed), _tested(predictions)
    span = Tested.of(test, history.base(), horizon=horizon, seed=seed, draws=draws)
    sides = {name: _side(span, side) for side, name in enumerate(SIDES)}
    facts = {"horizon": horizon, "seed": seed, "draws": draws, "sides": sides}
    judged = [side for side in (0, 1) if span.refusal(side) is None]
    if not judged:
        return facts | {"skills": [], "ablation": []}
    forecasts = {CONFIDENCE: span.said, **baselines(history)}
    others = without_each(test, opinions, stack, list(weights))
    return facts | _judged(span, forecasts, others, weights, judged)


def _tested(predictions: pl.DataFrame) -> pl.DataFrame:
    return predictions.filter(pl.col("split") == "test")


def _side(span: Tested, side: int) -> dict[str, Any]:
    """Return what is shown of a side; None of what cannot be."""
    known, why = span.known[:, side], span.refusal(side)
    facts = {"outcomes": int(known.sum()), "base_rate": finite(span.base[side]), "why": why}
    if why is not None:
        return facts | dict.fromkeys(("reliability", "bands", "brier", "coverage"))
    said, won, gain = (each[known, side] for each in (span.said, span.won, span.gain))
    curve = corp(said, won)
    return facts | {
        "reliability": _steps(curve),
        "bands": _bands(said, won, span),
        "brier": {name: getattr(curve, name) for name in BRIER},
        "coverage": _coverage(said, won, gain),
    }


def _steps(curve: Corp) -> dict[str, list[float]]:
    """Return both ends of each step of the curve: what lies between says the same."""
    rise = np.flatnonzero(np.diff(curve.came) != 0)
    ends = np.unique(np.concatenate([[0], rise, rise + 1, [len(curve.said) - 1]]))
    return {"said": curve.said[ends].tolist(), "came": curve.came[ends].tolist()}


def _bands(said: Floats, won: Floats, span: Tested) -> dict[str, Any] | None:
    """Return 90 % bands of the curve, of every so many outcomes that there are few enough."""
    every = -(-len(said) // BAND_ROWS)
    said, won = said[::every], won[::every]
    if np.ptp(said) == 0 or np.ptp(won) == 0:
        return None
    own = longest_block(np.stack([won - said, won], axis=1))
    length = min(max(own, (span.horizon + 1) / every), len(said))
    draws = min(span.draws, BAND_DRAWS)
    found = corp_bands(said, won, length=length, draws=draws, seed=span.seed)
    told = {"said": found.said, "low": found.low, "high": found.high}
    facts = {"every": every, "length": length, "draws": draws}
    return {name: values.tolist() for name, values in told.items()} | facts


def _coverage(said: Floats, won: Floats, gain: Floats) -> dict[str, Any]:
    """Return the share of trades lost, and the mean net gain, of the most confident shares."""
    lost = risk_coverage(said, 1 - won)
    paid = risk_coverage(said, -np.nan_to_num(gain))
    rows = np.unique(np.searchsorted(lost.coverage, COVERAGES).clip(0, len(lost.coverage) - 1))
    return {
        "coverage": lost.coverage[rows].tolist(),
        "lost": lost.risk[rows].tolist(),
        "gain": (-paid.risk[rows]).tolist(),
        "area": lost.area,
    }


def _judged(
    span: Tested,
    forecasts: Mapping[str, Floats],
    others: Mapping[str, Floats],
    weights: Mapping[str, float],
    sides: list[int],
) -> dict[str, Any]:
    """Return skills, and what each learner adds to that of both sides; all from the same draws."""
    said, without = ([span.losses(p) for p in told.values()] for told in (forecasts, others))
    usual = span.losses(np.tile(span.base, (len(span.said), 1)))
    # the skill of such a forecast is the difference of two skills, in each draw
    added = [usual - (lost - said[0]) for lost in without]
    told = _by_side(span, [*said, *without, *added], sides)
    both, first = told["both"], len(said)
    return {
        "skills": [
            {"name": name} | {where: _told(found, row) for where, found in told.items()}
            for row, name in enumerate(forecasts)
        ],
        "ablation": [
            {"name": name, "weight": weights[name]}
            | {"without": _told(both, row), "adds": _told(both, row + len(others))}
            for row, name in enumerate(others, start=first)
        ],
    }


def _by_side(span: Tested, losses: list[Floats], sides: list[int]) -> dict[str, Skills]:
    """Return skills of the sides that can be judged, together and each alone."""
    usual = span.losses(np.tile(span.base, (len(span.said), 1)))
    rows = span.known[:, sides].any(axis=1)
    chosen = {"both": sides} | {SIDES[side]: [side] for side in sides}
    return {
        name: skills(
            np.column_stack([lost[rows][:, mine].sum(axis=1) for lost in losses]),
            usual[rows][:, mine].sum(axis=1),
            least=span.horizon + 1,
            draws=span.draws,
            seed=span.seed,
        )
        for name, mine in chosen.items()
    }


def _told(found: Skills, row: int) -> dict[str, float | None]:
    names = {"skill": found.estimate, "low": found.low, "high": found.high}
    return {name: finite(values[row]) for name, values in names.items()}
