"""Similar paths, fitted: the locally weighted regression on the neighbours, as it comes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.research.learners.folds import Folds
from tasks.research.learners.learner import Trained
from tasks.research.learners.rows import Floats, Labels, Rows


class AsSearched:
    """What the search told with the neighbours; nothing is left to learn."""

    def apply(self, rows: Rows) -> Floats:
        """Tell the log-odds of the local fit, float64[n, 2]; NaN without neighbours."""
        return rows.local

    def draws(self, rows: Rows) -> None:
        """Tell nothing: it has no draws of its own."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: none."""
        return {}


class Local:
    """The locally weighted regression of `kernels.local`: a `Learner`.

    Neighbours of rows of the library span lie nowhere near them, those of later rows were known
    at their close: what is said of a row is out of its fold as it is.
    """

    def fit(self, rows: Rows, labels: Labels, folds: Folds) -> Trained | None:
        """Take what the search told.

        Parameters
        ----------
        rows : Rows
        labels : Labels
        folds : Folds
        """
        if not (np.isfinite(rows.local).all(axis=1) & (labels.weight > 0)).any():
            return None
        later = (rows.position >= folds.forward)[:, None]
        return Trained(AsSearched(), rows.local, np.where(later, rows.local, np.nan))

    def load(self, plain: dict[str, Any]) -> AsSearched:
        """Read what `AsSearched.to_dict` wrote."""
        return AsSearched(**plain)


LEARNER = Local()
