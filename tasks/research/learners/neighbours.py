"""Similar paths: the share of wins among the neighbours, shrunk towards the base rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isinf
from typing import Any, TypeAlias

import numpy as np
from scipy.special import logit, ndtri

from kernels.confidence import fit_strength
from kernels.evaluation import non_overlapping
from kernels.tally import posterior
from tasks.research.learners.folds import DRAWS, Folds
from tasks.research.learners.learner import Trained
from tasks.research.learners.rows import Floats, Ints, Labels, Rows

Counted: TypeAlias = Callable[[Rows], tuple[Ints, Ints]]

SCORES = np.random.default_rng(0).permutation(ndtri((np.arange(DRAWS) + 0.5) / DRAWS))
"""Standard normal values of the draws: in no order, so that other learners' go their own way."""


def counted(rows: Rows) -> tuple[Ints, Ints]:
    """Return wins, int64[n, 2], and number, int64[n], of a bar's neighbours."""
    return rows.wins, rows.k_eff


@dataclass(frozen=True)
class Shrunk:
    """Base rates, and how many outcomes they are worth.

    Attributes
    ----------
    base_rate : tuple of float
        By side.
    strength : tuple of float
        By side; inf where neighbours told nothing.
    counted : callable
        Wins and number of the neighbours that are meant.
    """

    base_rate: tuple[float, ...]
    strength: tuple[float, ...]
    counted: Counted = counted

    def apply(self, rows: Rows) -> Floats:
        """Tell the log-odds of the shrunk share of wins, float64[n, 2]; NaN without neighbours."""
        return np.asarray(logit(np.column_stack([self._mean(rows, side) for side in (0, 1)])))

    def draws(self, rows: Rows) -> Floats:
        """Tell quantiles of the posterior of the neighbourhood's win rate, float64[n, 2, draws]."""
        mean = np.column_stack([self._mean(rows, side) for side in (0, 1)])
        # of a beta distribution, carried to log-odds by its slope there
        size = self.counted(rows)[1][:, None] + np.array(self.strength) + 1
        deviation = 1 / np.sqrt(size * mean * (1 - mean))
        return np.asarray(logit(mean)[:, :, None] + deviation[:, :, None] * SCORES)

    def _mean(self, rows: Rows, side: int) -> Floats:
        rate, strength = self.base_rate[side], self.strength[side]
        wins, k_eff = self.counted(rows)
        return np.asarray(posterior(wins[:, side], k_eff, base_rate=rate, strength=strength))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; a strength of null stands for inf."""
        strength = [None if isinf(value) else value for value in self.strength]
        return {"base_rate": self.base_rate, "strength": strength}


class Neighbours:
    """What became of similar paths: a `Learner`.

    Neighbours of rows of the library span lie nowhere near them, those of later rows were known
    at their close: what is said of a row is out of its fold as it is.

    Parameters
    ----------
    counted : callable
        Wins and number of the neighbours that are meant.
    """

    def __init__(self, counted: Counted = counted) -> None:
        self.counted = counted

    def fit(self, rows: Rows, labels: Labels, folds: Folds) -> Trained | None:
        """Choose how much the base rate is worth, on rows of the library span.

        Parameters
        ----------
        rows : Rows
        labels : Labels
        folds : Folds
        """
        won, k_eff = self.counted(rows)
        known = (k_eff > 0) & (labels.weight > 0)
        learnt = np.flatnonzero(known & (rows.position < folds.forward))
        if not len(learnt):
            return None
        learnt = learnt[non_overlapping(rows.position[learnt], folds.gap - 1)]
        rates, strengths = [], []
        for side in (0, 1):
            rates.append(labels.rate())
            wins = won[learnt, side]
            strengths.append(fit_strength(wins, k_eff[learnt], base_rate=rates[-1]))
        fitted = Shrunk(tuple(rates), tuple(strengths), self.counted)
        said = fitted.apply(rows)
        later = (rows.position >= folds.forward)[:, None]
        return Trained(fitted, said, np.where(later, said, np.nan))

    def load(self, plain: dict[str, Any]) -> Shrunk:
        """Read what `Shrunk.to_dict` wrote, exactly."""
        strength = tuple(inf if value is None else value for value in plain["strength"])
        return Shrunk(tuple(plain["base_rate"]), strength, self.counted)


LEARNER = Neighbours()
