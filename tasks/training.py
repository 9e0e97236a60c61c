"""Training: what the counted neighbours teach about confidence and break-even."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from kernels.confidence import Confidence, break_even

from kernels.outcomes import Outcomes
from tasks.library import SIDES
from tasks.model import Frozen, Model
from tasks.resolve import with_distances
from tasks.version import code_version


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
    spans = frozen.spans
    position = counts["position"].to_numpy()
    confidence, even = {}, {}
    for side, name in enumerate(SIDES):
        win = np.asarray(outcomes.win[:, side])
        library = win[spans.library.start : spans.library.stop]
        base_rate = float(np.mean(library[library >= 0]))
        rows = {
            split: _rows(position, win, span.start, span.stop)
            for split, span in (("train", spans.library), ("calibration", spans.calibration))
        }
        confidence[name] = Confidence.fit(
            base_rate=base_rate,
            horizon=frozen.recipe.horizon,
            seed=frozen.recipe.seed,
            **rows,
        )
        even[name] = break_even(outcomes.gain[spans.library.start : spans.library.stop, side])
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
    became: dict[str, Any] = {}
    for side, name in enumerate(SIDES):
        became[f"win_{name}"] = outcomes.win[:, side]
        became[f"gain_{name}"] = outcomes.gain[:, side]
    bars = with_distances(metrics, model.frozen.recipe).with_columns(
        position=pl.int_range(pl.len(), dtype=pl.Int64),
        split=pl.Series(model.frozen.spans.names(len(metrics)), dtype=pl.String),
        **became,
    )
    known = bars.with_columns(pl.col("^win_.*$").replace(-1, None))
    told = known.join(model.predict(counts), on="position", how="left", maintain_order="left")
    return told.fill_nan(None)


def _identity(frozen: Frozen) -> str:
    return frozen.recipe.fingerprint(frozen.data_hash, code_version())
