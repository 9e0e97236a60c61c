"""Training: what the past teaches of confidence, and what is then believed of each bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.outcomes import SIDES, Outcomes
from tasks.research.confidence import Apart, Confidence, Past
from tasks.research.knowledge import rows_of
from tasks.research.learners.rows import Rows
from tasks.research.measure import Measures
from tasks.research.model import Frozen, Model
from tasks.research.resolve import with_distances
from tasks.research.walkforward import learnt_from


def train(measures: Measures, outcomes: Outcomes, frozen: Frozen, answers: pl.DataFrame) -> Model:
    """Learn confidence, what it is worth, and how careful it pays to be.

    Parameters
    ----------
    measures : Measures
        Of all bars, with costs; those of the test span are not looked at.
    outcomes : Outcomes
        Of all bars; likewise.
    frozen : Frozen
    answers : polars.DataFrame
        What `replay` returned, and the pool said; likewise.

    Returns
    -------
    Model
    """
    return Model(
        _identity(frozen), frozen, Confidence.fit(_past(measures, outcomes, frozen, answers))
    )


def told_apart(
    measures: Measures, outcomes: Outcomes, frozen: Frozen, answers: pl.DataFrame
) -> Apart:
    """Return what is believed of the past itself, by fits that had not seen it.

    Parameters
    ----------
    measures : Measures
        As for `train`.
    outcomes : Outcomes
    frozen : Frozen
    answers : polars.DataFrame
    """
    return Confidence.fit_apart(_past(measures, outcomes, frozen, answers))[1]


def _past(measures: Measures, outcomes: Outcomes, frozen: Frozen, answers: pl.DataFrame) -> Past:
    positions = learnt_from(frozen, answers)
    return Past(
        rows=rows_of(measures, positions, log_sigma=frozen.log_sigma, answers=answers),
        win=np.asarray(outcomes.win)[positions],
        gain=np.asarray(outcomes.gain)[positions],
        unit=units(measures.metrics)[positions],
        exit_bar=np.asarray(outcomes.exit_bar)[positions],
        forward=frozen.spans.calibration.start,
        horizon=frozen.recipe.horizon,
        seed=frozen.recipe.seed,
    )


def predictions(
    measures: Measures, outcomes: Outcomes, model: Model, answers: pl.DataFrame
) -> pl.DataFrame:
    """Return one row a bar: metrics, span, what is believed of it and what became of it.

    Parameters
    ----------
    measures : Measures
        Of all bars, with costs.
    outcomes : Outcomes
        Of the same bars.
    model : Model
    answers : polars.DataFrame
        What the search said of some bars; nothing is believed of the others.
    """
    columns: dict[str, Any] = {}
    for side, name in enumerate(SIDES):
        columns[f"win_{name}"] = outcomes.win[:, side]
        columns[f"gain_{name}"] = outcomes.gain[:, side]
    metrics = measures.metrics
    bars = with_distances(metrics, model.frozen.recipe).with_columns(
        position=pl.int_range(pl.len(), dtype=pl.Int64),
        split=pl.Series(model.frozen.spans.names(len(metrics)), dtype=pl.String),
        **columns,
    )
    resolved = bars.with_columns(pl.col("^win_.*$").replace(-1, None))
    told = model.predict(*asked(measures, model.frozen, answers))
    return resolved.join(told, on="position", how="left", maintain_order="left").fill_nan(None)


def opinions(measures: Measures, model: Model, answers: pl.DataFrame) -> pl.DataFrame:
    """Return what each learner alone says of the bars of the test span, weighed or not.

    Parameters
    ----------
    measures : Measures
        Of all bars, with costs.
    model : Model
    answers : polars.DataFrame

    Returns
    -------
    polars.DataFrame
        position, and for each learner and side the probability of a win, `{learner}_{side}`.
    """
    test = answers.filter(pl.col("position") >= model.frozen.spans.test.start)
    rows, _ = asked(measures, model.frozen, test)
    said = model.confidence.opinions(rows)
    columns = {
        f"{learner}_{name}": odds[:, side]
        for learner, odds in said.items()
        for side, name in enumerate(SIDES)
    }
    return pl.DataFrame({"position": rows.position, **columns}).fill_nan(None)


def asked(
    measures: Measures, frozen: Frozen, answers: pl.DataFrame, first: int = 0
) -> tuple[Rows, NDArray[np.float64]]:
    """Return what is known of the bars that a search was asked of, and their units.

    Parameters
    ----------
    measures : Measures
        With costs.
    frozen : Frozen
    answers : polars.DataFrame
    first : int
        Number of the first measured bar.
    """
    positions = answers["position"].to_numpy()
    rows = rows_of(measures, positions, first=first, log_sigma=frozen.log_sigma, answers=answers)
    return rows, units(measures.metrics)[positions - first]


def units(metrics: pl.DataFrame) -> NDArray[np.float64]:
    """Return the deviation of the horizon of each bar, float64[n]; NaN where it is zero."""
    return metrics["unit"].to_numpy()  # what is null comes as NaN


def _identity(frozen: Frozen) -> str:
    every = (frozen.lead_hashes, frozen.pool_hashes, frozen.stream_hashes)
    others = [each for hashes in every for each in sorted(hashes.items())]
    hashes = [f"{pair}:{digest}" for pair, digest in others]
    return frozen.recipe.fingerprint(frozen.data_hash, frozen.code_version, *hashes)
