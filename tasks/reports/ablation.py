"""What confidence would be without one of its learners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.special import expit, logit

from kernels.outcomes import SIDES
from tasks.research.learners.rows import Floats
from tasks.research.stack import Stack, moved


def without_each(
    test: pl.DataFrame, opinions: pl.DataFrame, stack: Stack, names: Sequence[str]
) -> dict[str, Floats]:
    """Return confidence without each learner, float64[t, 2] by name; NaN where none was told.

    The learner's weight is set to nothing, the others keep theirs: the stack is not fitted anew,
    which would need what learners said of the past out of their folds.

    Parameters
    ----------
    test : polars.DataFrame
        Predictions of the test span.
    opinions : polars.DataFrame
        As `tasks.research.training.opinions` returns.
    stack : Stack
    names : sequence of str
        Learners in the order of its weights.
    """
    said = test.select("position").join(opinions, on="position", how="left", maintain_order="left")
    odds = logit(_by_side(test, "confidence"))
    return {
        name: expit(odds - stack.slope * weight * moved(logit(_by_side(said, name)), stack.base))
        for name, weight in zip(names, stack.weights.tolist(), strict=True)
    }


def _by_side(frame: pl.DataFrame, name: str) -> Floats:
    """Return a column of both sides, float64[n, 2]; NaN where there is nothing."""
    columns = [frame[f"{name}_{side}"].cast(pl.Float64).fill_null(np.nan) for side in SIDES]
    return np.column_stack([column.to_numpy() for column in columns])
