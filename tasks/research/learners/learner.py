"""The seam of learners: what each is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tasks.research.learners.folds import Folds
from tasks.research.learners.rows import Floats, Labels, Rows


class Fitted(Protocol):
    """What a learner has learnt; frozen, and part of a model's file."""

    def apply(self, rows: Rows) -> Floats:
        """Tell the log-odds that a bar's trade wins, float64[n, 2]; NaN where nothing is known.

        Each row depends on itself alone, bit for bit.
        """

    def draws(self, rows: Rows) -> Floats | None:
        """Tell the log-odds as other histories might have taught them: float64[n, 2, DRAWS].

        None where a learner has no draws of its own: those of its weight speak for it.
        """

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""


@dataclass(frozen=True)
class Trained:
    """What a learner made of its span.

    Attributes
    ----------
    fitted : Fitted
    apart : float64[n, 2]
        Log-odds of each row by a fit that saw nothing near it.
    ahead : float64[n, 2]
        Log-odds of the rows of the calibration span by a fit on all before; NaN elsewhere.
    """

    fitted: Fitted
    apart: Floats
    ahead: Floats


class Learner(Protocol):
    """A way to learn from bars whose outcome is known."""

    def fit(self, rows: Rows, labels: Labels, folds: Folds) -> Trained | None:
        """Learn; None where the rows have nothing of what this learner looks at.

        Parameters
        ----------
        rows : Rows
            Of the library and the calibration span.
        labels : Labels
            What became of them.
        folds : Folds
            Of the same rows.
        """

    def load(self, plain: dict[str, Any]) -> Fitted:
        """Read what the `to_dict` of what it fitted wrote, exactly."""
