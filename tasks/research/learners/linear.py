"""Regularised logistic regression on columns of bars: what most learners are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from kernels.cpu.linear import products as multiply
from tasks.research.learners.folds import Folds
from tasks.research.learners.learner import Trained
from tasks.research.learners.rows import Chosen, Floats, Labels, Rows

RIDGES = (0.003, 0.03, 0.3, 3.0)
"""Precisions of the prior tried, as shares of the number of separate outcomes."""

INTERCEPT = 0.03
"""Deviation of the prior of intercepts around the base rate that both sides share: of where a
market drifts its past tells little (Merton 1980)."""

SIGNED = 1 / 6
"""A column has a sign if the share of its values above zero lies so near a half: it is not
centred, so that a drift which its values tell of is left to them."""

STEPS, ENOUGH = 25, 1e-5
NEARLY_FREE = 1e-6
"""Least precision of slopes: enough for a system that can be solved, even if no row is left."""

FLOOR = 1e-9
"""Least deviation of a column that is no constant, beside its mean."""

REACH = 5.0
"""Deviations beyond which a column says no more: far values are hardly learnt from."""


Columns: TypeAlias = Callable[[Rows], Floats]


@dataclass(frozen=True)
class Linear:
    """A fitted logistic regression, by side.

    Attributes
    ----------
    columns : callable
        What it looks at: float64[n, d] of rows.
    centre, scale : float64[d]
        Mean, or 0 of a column with a sign, and deviation of each where it was fitted.
    slopes : float64[2, d + 1]
        Intercept and slopes on standardised columns, in log-odds.
    drawn : float64[2, draws, d + 1]
        The same under resamples of the blocks it was fitted on.
    ridge : float
        Chosen of `RIDGES`.
    """

    columns: Columns
    centre: Floats
    scale: Floats
    slopes: Floats
    drawn: Floats
    ridge: float

    def apply(self, rows: Rows) -> Floats:
        """Tell the log-odds of rows, float64[n, 2]; NaN where a column is."""
        return products(self._design(rows), self.slopes)

    def draws(self, rows: Rows) -> Floats:
        """Tell the log-odds of rows under each draw, float64[n, 2, draws]."""
        drawn = self.drawn.reshape(-1, self.drawn.shape[-1])
        return products(self._design(rows), drawn).reshape(len(rows), 2, -1)

    def _design(self, rows: Rows) -> Floats:
        return _design(self.columns(rows), self.centre, self.scale)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; a scale of null stands for inf."""
        arrays = {name: getattr(self, name).tolist() for name in ("centre", "slopes", "drawn")}
        scale = [None if np.isinf(value) else value for value in self.scale.tolist()]
        return {**arrays, "scale": scale, "ridge": self.ridge}


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on some columns: a `Learner`.

    Attributes
    ----------
    columns : callable
        What it looks at, of rows: float64[n, d]; n x 0 where there is nothing of it.
    """

    columns: Columns

    def fit(self, rows: Rows, labels: Labels, folds: Folds) -> Trained | None:
        """Fit under the ridge whose out-of-fold predictions are the most likely.

        Parameters
        ----------
        rows : Rows
            Those with a NaN in a column are passed over.
        labels : Labels
        folds : Folds
        """
        columns = self.columns(rows)
        whole = np.isfinite(columns).all(axis=1) & (labels.weight > 0)
        if not columns.shape[1] or not whole.any():
            return None
        centre, scale = _moments(columns[whole])
        z = _design(columns, centre, scale)
        sides = [_Problem(z, labels.only(whole), side) for side in (0, 1)]
        ridge, slopes, apart = _choose_ridge(sides, folds)
        before, ahead = folds.ahead()
        forward = np.column_stack([each.tell(each.solve(ridge, before), ahead) for each in sides])
        drawn = [each.draws(b, ridge, folds) for each, b in zip(sides, slopes, strict=True)]
        fitted = Linear(self.columns, centre, scale, np.stack(slopes), np.stack(drawn), ridge)
        return Trained(fitted, apart, forward)

    def load(self, plain: dict[str, Any]) -> Linear:
        """Read what `Linear.to_dict` wrote, exactly."""
        arrays = {name: np.array(plain[name]) for name in ("centre", "slopes", "drawn")}
        scale = np.array([np.inf if value is None else value for value in plain["scale"]])
        return Linear(self.columns, scale=scale, ridge=plain["ridge"], **arrays)


def standard_products(columns: Floats) -> Floats:
    """Return columns[n, d] and the products of all pairs of them, float64[n, d + d (d + 1) / 2]."""
    pairs = zip(*np.triu_indices(columns.shape[1]), strict=True)
    return np.column_stack([columns, *(columns[:, i] * columns[:, j] for i, j in pairs)])


class _Problem:
    """The regression of one side: rows, outcomes and weights."""

    def __init__(self, z: Floats, labels: Labels, side: int) -> None:
        self.all = z
        self.rows = np.flatnonzero(labels.weight > 0)
        self.z, self.labels = z[self.rows], labels.take(self.rows)
        self.weight = self.labels.weight
        self.win = self.labels.win[:, side].astype(np.float64)

    def centre(self, chosen: Chosen = slice(None)) -> Floats:
        """Return the prior's mean on some of the rows: the base rate of both sides."""
        base = logit(self.labels.take(chosen).rate())
        return np.append(base, np.zeros(self.z.shape[1] - 1))

    def solve(
        self,
        ridge: float,
        chosen: NDArray[np.bool_] | None = None,
        start: Floats | None = None,
    ) -> Floats:
        """Return intercept and slopes on some of the rows, by Newton's method; NaN on none."""
        kept = slice(None) if chosen is None else chosen[self.rows]
        z, win, weight = self.z[kept], self.win[kept], self.weight[kept]
        if not len(weight):
            return np.full(z.shape[1], np.nan)
        centre = self.centre(kept)
        slopes = centre if start is None else start
        prior = _precision(z.shape[1], ridge * weight.sum())
        for _ in range(STEPS):
            p = expit(z @ slopes)
            gradient = z.T @ (weight * (win - p)) - prior * (slopes - centre)
            step = np.linalg.solve(_curvature(z, weight * p * (1 - p), prior), gradient)
            slopes = slopes + step / max(1.0, float(np.abs(step).max()))
            if np.abs(step).max() < ENOUGH:
                break
        return slopes

    def tell(self, slopes: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """Return the log-odds of some of all rows, NaN of the others."""
        said = np.full(len(self.all), np.nan)
        said[chosen] = self.all[chosen] @ slopes
        return said

    def apart(self, slopes: Floats, ridge: float, folds: Folds) -> Floats:
        """Return the log-odds of each row by a fit that saw nothing near it.

        One step of Newton's method leads from the fit on all rows to that without some of them:
        log-odds are small, so that the curvature hardly moves. NaN where no rows are left.
        """
        p = expit(self.z @ slopes)
        pull, weight = self.weight * (self.win - p), self.weight * p * (1 - p)
        whole = (self.z * weight[:, None]).T @ self.z
        said = np.full(len(self.all), np.nan)
        for fitted, told in folds:
            out = ~fitted[self.rows]
            if out.all():
                continue
            left = whole - (self.z[out] * weight[out, None]).T @ self.z[out]
            prior = _precision(len(slopes), ridge * self.weight[~out].sum())
            gradient = self.z[~out].T @ pull[~out] - prior * (slopes - self.centre(~out))
            said[told] = self.all[told] @ (
                slopes + np.linalg.solve(left + np.diag(prior), gradient)
            )
        return said

    def likelihood(self, said: Floats) -> float:
        """Return the weighted log likelihood of log-odds; rows of which nothing is said count 0."""
        heard = np.isfinite(said[self.rows])
        odds, win = said[self.rows][heard], self.win[heard]
        return -float((self.weight[heard] * np.logaddexp(0, np.where(win > 0, -odds, odds))).sum())

    def draws(self, slopes: Floats, ridge: float, folds: Folds) -> Floats:
        """Return the slopes under each resample of blocks, by one step of Newton's method."""
        p = expit(self.z @ slopes)
        pull = self.z * (self.weight * (self.win - p))[:, None]
        block = folds.block[self.rows]
        of_block = np.stack([np.bincount(block, column, folds.blocks) for column in pull.T])
        prior = _precision(len(slopes), ridge * self.weight.sum())
        curvature = _curvature(self.z, self.weight * p * (1 - p), prior)
        moved = np.linalg.solve(curvature, of_block @ (folds.times - 1).T)
        return np.asarray(slopes + moved.T)


def _choose_ridge(sides: list[_Problem], folds: Folds) -> tuple[float, list[Floats], Floats]:
    """Return the ridge of the most likely out-of-fold predictions, its slopes, and these."""
    tried = {}
    slopes = [each.centre() for each in sides]
    for ridge in RIDGES:
        slopes = [each.solve(ridge, start=b) for each, b in zip(sides, slopes, strict=True)]
        said = [each.apart(b, ridge, folds) for each, b in zip(sides, slopes, strict=True)]
        likely = sum(each.likelihood(odds) for each, odds in zip(sides, said, strict=True))
        tried[likely] = ridge, slopes, np.column_stack(said)
    return tried[max(tried)]


def _moments(columns: Floats) -> tuple[Floats, Floats]:
    centre, scale = columns.mean(axis=0), columns.std(axis=0)
    constant = scale <= FLOOR * np.maximum(np.abs(centre), 1)
    signed = np.abs((columns > 0).mean(axis=0) - 0.5) < SIGNED
    return np.where(signed, 0.0, centre), np.where(constant, np.inf, scale)


def _design(columns: Floats, centre: Floats, scale: Floats) -> Floats:
    """Return a column of ones and the standardised columns."""
    z = np.clip((columns - centre) / scale, -REACH, REACH)
    return np.column_stack([np.ones(len(z)), z])


def products(z: Floats, slopes: Floats) -> Floats:
    """Multiply rows by vectors of slopes in one fixed order: a row's bits hang on no other.

    Parameters
    ----------
    z : float64[n, d]
    slopes : float64[v, d]

    Returns
    -------
    float64[n, v]
    """
    total = np.empty((len(z), len(slopes)))
    multiply(z, np.ascontiguousarray(slopes.T), total)
    return total


def _precision(size: int, precision: float) -> Floats:
    prior = np.full(size, max(precision, NEARLY_FREE))
    prior[0] = INTERCEPT**-2
    return prior


def _curvature(z: Floats, weight: Floats, prior: Floats) -> Floats:
    return np.asarray((z * weight[:, None]).T @ z + np.diag(prior))
