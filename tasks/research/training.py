"""Training: what the counted neighbours teach about confidence and break-even."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.confidence import Confidence, Counts, break_even
from kernels.outcomes import SIDES, Outcomes
from tasks.research.model import Frozen, Model
from tasks.research.resolve import with_distances
from tasks.research.spans import Span


def train(outcomes: Outcomes, frozen: Frozen, counts: pl.DataFrame) -> Model:
    """Learn each side's confidence and break-even.

    Parameters
    ----------
    outcomes : Outcomes
        Of all bars.
    frozen : Frozen
    counts : polars.DataFrame
        What `search` returned for the library, calibration and test spans; the test span's
        rows are not looked at.

    Returns
    -------
    Model
    """
    library = frozen.spans.library
    confidence, even = {}, {}
    for side, name in enumerate(SIDES):
        win, gain = outcomes.win[:, side], outcomes.gain[:, side]
        past = win[library.start : library.stop]
        confidence[name] = Confidence.fit(
            train=_counts(counts, name, win, library),
            calibration=_counts(counts, name, win, frozen.spans.calibration),
            base_rate=float(np.mean(past[past >= 0])),
            horizon=frozen.recipe.horizon,
            seed=frozen.recipe.seed,
        )
        even[name] = break_even(gain[library.start : library.stop])
    return Model(_identity(frozen), frozen, confidence, even)


def predictions(
    metrics: pl.DataFrame, outcomes: Outcomes, model: Model, counts: pl.DataFrame
) -> pl.DataFrame:
    """Return one row a bar: metrics, span, confidence and what became of it.

    Parameters
    ----------
    metrics : polars.DataFrame
        What `measure` says of all bars.
    outcomes : Outcomes
        Of the same bars.
    model : Model
    counts : polars.DataFrame
        Neighbour counts of some bars; the others get nulls.
    """
    columns: dict[str, Any] = {}
    for side, name in enumerate(SIDES):
        columns[f"win_{name}"] = outcomes.win[:, side]
        columns[f"gain_{name}"] = outcomes.gain[:, side]
    bars = with_distances(metrics, model.frozen.recipe).with_columns(
        position=pl.int_range(pl.len(), dtype=pl.Int64),
        split=pl.Series(model.frozen.spans.names(len(metrics)), dtype=pl.String),
        **columns,
    )
    resolved = bars.with_columns(pl.col("^win_.*$").replace(-1, None))
    predicted = resolved.join(
        model.predict(counts), on="position", how="left", maintain_order="left"
    )
    return predicted.fill_nan(None)


def _counts(counts: pl.DataFrame, side: str, win: NDArray[np.int8], span: Span) -> Counts:
    """Return the counted queries of a span whose outcome lies in it."""
    rows = counts.filter(pl.col("position").is_between(span.start, span.stop - 1))
    position = rows["position"].to_numpy()
    return Counts(
        position=position,
        wins=rows[f"wins_{side}"].to_numpy(),
        k_eff=rows["k_eff"].to_numpy(),
        win=win[position],
    )


def _identity(frozen: Frozen) -> str:
    return frozen.recipe.fingerprint(frozen.data_hash, frozen.code_version)
