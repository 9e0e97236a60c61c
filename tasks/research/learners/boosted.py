"""Gradient-boosted trees by LightGBM, where it is installed (`pip install 'sep-trader[trees]'`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from infra.errors import SepError
from tasks.research.learners.folds import Folds
from tasks.research.learners.learner import Trained
from tasks.research.learners.rows import Chosen, Floats, Labels, Rows

TREES: Final = 60
SETTINGS: Final = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 200,
    "lambda_l2": 10.0,
    "feature_fraction": 0.5,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 0,
    "verbose": -1,
}
"""Shallow and slow: outcomes overlap, so that far fewer speak than there are rows."""


class NoTrees(SepError, ValueError):
    """A model has trees, and LightGBM is not installed; the message says the way out."""


@dataclass(frozen=True)
class Forest:
    """Fitted trees of both sides.

    Attributes
    ----------
    texts : tuple of str
        LightGBM's own form of them, by side.
    """

    texts: tuple[str, ...]

    @cached_property
    def _boosters(self) -> list[Any]:
        booster = import_module("lightgbm").Booster
        return [booster(model_str=text) for text in self.texts]

    def apply(self, rows: Rows) -> Floats:
        """Tell the log-odds of rows, float64[n, 2]."""
        looked = columns(rows)
        said = [each.predict(looked, raw_score=True, num_threads=1) for each in self._boosters]
        return np.column_stack(said)

    def draws(self, rows: Rows) -> None:
        """Tell nothing: it has no draws of its own."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"texts": list(self.texts)}


def installed() -> bool:
    """Say whether LightGBM is there, and the library of threads (libgomp) that it needs."""
    if find_spec("lightgbm") is None:
        return False
    try:
        import_module("lightgbm")
    except OSError:
        return False
    return True


class Boosted:
    """Trees on the last step, momentum, volatility, cost and hour: a `Learner`."""

    def fit(self, rows: Rows, labels: Labels, folds: Folds) -> Trained | None:
        """Grow trees; None where LightGBM is not installed, or nobody won or lost.

        Parameters
        ----------
        rows : Rows
        labels : Labels
        folds : Folds
        """
        if not installed() or not _has_both_kinds(labels, slice(None)):
            return None
        looked = columns(rows)
        apart = np.full((len(rows), 2), np.nan)
        ahead = apart.copy()
        pairs = [(apart, each) for each in folds] + [(ahead, folds.ahead())]
        for said, (fitted, told) in pairs:
            if _has_both_kinds(labels, fitted) and told.any():
                said[told] = _grow(looked, labels, fitted).apply(rows.take(told))
        return Trained(_grow(looked, labels, np.ones(len(rows), np.bool_)), apart, ahead)

    def load(self, plain: dict[str, Any]) -> Forest:
        """Read what `Forest.to_dict` wrote.

        Raises
        ------
        NoTrees
            If LightGBM is not installed.
        """
        if not installed():
            raise NoTrees(
                "the model has boosted trees, which need LightGBM: run "
                "`pip install 'sep-trader[trees]'`, or train again without it"
            )
        return Forest(tuple(plain["texts"]))


def columns(rows: Rows) -> Floats:
    """Return what the trees look at, float64[n, 10 + l]."""
    hour = rows.time // 3_600_000_000
    return np.column_stack(
        [
            rows.metrics,
            rows.momentum,
            rows.volatility,
            rows.cost,
            hour % 24,
            rows.leads,
        ]
    )


def _has_both_kinds(labels: Labels, chosen: Chosen) -> bool:
    """Say whether, on both sides, some won and some lost: of one kind trees would be too sure."""
    return labels.take(chosen).rarest() > 0


def _grow(looked: Floats, labels: Labels, chosen: NDArray[np.bool_]) -> Forest:
    lightgbm = import_module("lightgbm")
    kept = chosen & (labels.weight > 0)
    texts = []
    for side in (0, 1):
        data = lightgbm.Dataset(looked[kept], labels.win[kept, side], weight=labels.weight[kept])
        texts.append(lightgbm.train(SETTINGS, data, TREES).model_to_string())
    return Forest(tuple(texts))


LEARNER = Boosted()
