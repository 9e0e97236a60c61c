"""The stack: learners combined in log-odds, each as far as it proved itself out of its fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from tasks.research.learners.folds import DRAWS, Folds
from tasks.research.learners.rows import Floats, Labels

INTERCEPT, WEIGHT = 0.03, 0.3
"""Deviations of the priors: of intercepts around 0, and of weights (never below 0) around the
probability that a learner alone, among all of them and the base rate, is right."""

HOLDS, NEARLY = 0.9, 0.05
"""What is believed of the slope before the calibration span speaks: that what was learnt still
holds (1, give or take a twentieth), or, one time in ten, that it does in part or not (0 to 1)."""

SLOPES = np.linspace(0, 1.25, 126)

ALIKE = 0.5
"""What a side's outcome adds to the other's: a long and a short of one bar are nearly mirrored."""

_INTERCEPTS = 2


@dataclass(frozen=True)
class Stack:
    """Weights of learners, frozen.

    A row's log-odds are ``base + slope * (intercepts + sum of weights * (learner - base))``.

    Attributes
    ----------
    base : float64[2]
        Log-odds of the base rate, by side.
    intercepts : float64[2]
    weights : float64[l]
        One a learner, at least 0.
    slope : float
        How much of it the calibration span confirmed: 1 for all.
    drawn_intercepts : float64[draws, 2]
    drawn_weights : float64[draws, l]
    drawn_slopes : float64[draws]
        The same as other histories might have taught them.
    drawn_base : float64[draws, 2]
        How far the base rate would lie from what it is, in log-odds, in these.
    """

    base: Floats
    intercepts: Floats
    weights: Floats
    slope: float
    drawn_intercepts: Floats
    drawn_weights: Floats
    drawn_slopes: Floats
    drawn_base: Floats

    @classmethod
    def fit(
        cls, base: Floats, apart: Floats, ahead: Floats, labels: Labels, folds: Folds, seed: int
    ) -> Stack:
        """Weigh learners by what they said of rows they had not seen.

        Parameters
        ----------
        base : float64[2]
            Log-odds of the base rate, by side.
        apart, ahead : float64[n, 2, l]
            What each learner said, out of fold, and of the calibration span from before; NaN
            where it said nothing.
        labels : Labels
        folds : Folds
            Of the same rows.
        seed : int
            Of the slope's draws.

        Notes
        -----
        Stacked generalisation (Wolpert 1992; Breiman 1996, whose weights are not negative either)
        in log-odds. Weights maximise a posterior whose prior leans on Bayesian model averaging
        (Hoeting et al. 1999): of learners that know the same the better one leads. Draws take one
        step of Newton's method from there under resampled blocks. The slope then asks the
        calibration span, told from before it by weights of before, whether what was learnt still
        holds: an edge that died is damped.
        """
        problem = _Weights(base, moved(apart, base), labels, folds)
        solved = problem.solve()
        drawn = problem.draws(solved)
        intercepts, weights = solved[:_INTERCEPTS], solved[_INTERCEPTS:]
        before, _ = folds.ahead()
        earlier = _Weights(base, moved(apart, base), labels.only(before), folds).solve()
        slope, deviation = _confirmed(base, earlier, moved(ahead, base), labels)
        scores = np.random.default_rng(seed).standard_normal(DRAWS)
        return cls(
            base=base,
            intercepts=intercepts,
            weights=weights,
            slope=slope,
            drawn_intercepts=drawn[:, :_INTERCEPTS],
            drawn_weights=drawn[:, _INTERCEPTS:],
            drawn_slopes=np.maximum(slope + deviation * scores, 0),
            drawn_base=_drawn_base(base, labels, folds),
        )

    @classmethod
    def of_base_rates(cls, base: Floats, outcomes: float) -> Stack:
        """Say the base rate, with the doubt that so many outcomes leave of it.

        Parameters
        ----------
        base : float64[2]
        outcomes : float
            That do not overlap.
        """
        rate = expit(base)
        deviation = 1 / np.sqrt((outcomes + 1) * rate * (1 - rate))
        scores = np.random.default_rng(0).standard_normal(DRAWS)
        drawn = np.outer(scores / scores.std(), deviation)
        still, nothing = np.zeros_like(drawn), np.zeros((DRAWS, 0))
        return cls(base, np.zeros(2), np.zeros(0), 1.0, still, nothing, np.ones(DRAWS), drawn)

    def apply(self, said: Floats) -> Floats:
        """Combine what learners said, float64[n, 2, l], to log-odds, float64[n, 2].

        Each row depends on itself alone, bit for bit.
        """
        total = np.tile(self.intercepts, (len(said), 1))
        for learner, weight in enumerate(self.weights):
            if weight > 0:
                total += weight * moved(said[:, :, learner], self.base)
        return np.asarray(self.base + self.slope * total)

    def deviation(self, drawn: dict[int, Floats], rows: int) -> Floats:
        """Tell how far the log-odds of rows might lie off, float64[n, 2].

        Parameters
        ----------
        drawn : dict of int to float64[n, 2, draws] or float64[n, 2, 1]
            What each learner of weight said in its draws, by number; one for all where it has none.
        rows : int
            n.
        """
        total = np.tile(self.drawn_intercepts.T, (rows, 1, 1))
        for learner, said in drawn.items():
            moves = said - self.base[:, None]
            total += self.drawn_weights[:, learner] * np.where(np.isfinite(moves), moves, 0.0)
        total *= self.drawn_slopes
        total += self.drawn_base.T
        # in one fixed order: a mean over rows of another length would sum in another
        mean = _sum(total) / DRAWS
        return np.sqrt(_sum((total - mean[..., None]) ** 2) / (DRAWS - 1))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Stack:
        """Read what `to_dict` wrote, exactly."""
        arrays = {name: np.array(v) for name, v in plain.items() if isinstance(v, list)}
        arrays["drawn_weights"] = arrays["drawn_weights"].reshape(DRAWS, -1)
        return cls(**{**plain, **arrays})


def moved(said: Floats, base: Floats) -> Floats:
    """Return how far log-odds lie from the base rate's; 0 where nothing was said.

    Parameters
    ----------
    said : float64[n, 2] or float64[n, 2, l]
    base : float64[2]
    """
    sides = base if said.ndim == 2 else base[:, None]
    return np.nan_to_num(said - sides)


class _Weights:
    """The fit of intercepts and weights on rows that were told out of fold."""

    def __init__(self, base: Floats, x: Floats, labels: Labels, folds: Folds) -> None:
        known = labels.weight > 0
        self.base, self.folds = base, folds
        self.x, self.block = x[known], folds.block[known]
        self.win, self.weight = labels.win[known], ALIKE * labels.weight[known, None]
        count = x.shape[2]
        self.precision = np.repeat([INTERCEPT**-2.0, WEIGHT**-2.0], [_INTERCEPTS, count])
        self.centre = np.concatenate([np.zeros(_INTERCEPTS), self._alone()])

    def solve(self) -> Floats:
        """Return intercepts and weights of the greatest posterior."""
        count = self.x.shape[2]
        start = np.concatenate([np.zeros(_INTERCEPTS), np.full(count, 1 / max(1, count))])
        bounds = [(None, None)] * _INTERCEPTS + [(0, None)] * count
        found = minimize(
            self._loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-10}
        )
        return np.asarray(found.x)

    def draws(self, solved: Floats) -> Floats:
        """Return solutions under resampled blocks, float64[draws, 2 + l]; what is 0 stays so."""
        free = np.concatenate([np.ones(_INTERCEPTS, np.bool_), solved[_INTERCEPTS:] > 0])
        p = expit(self._log_odds(solved))
        design = self._design()[:, :, free]
        pull = design * (self.weight * (self.win - p))[:, :, None]
        weight = (self.weight * p * (1 - p))[:, :, None]
        curvature = np.einsum("nsi,nsj->ij", design * weight, design)
        curvature += np.diag(self.precision[free])
        blocks = self.folds.blocks
        of_block = np.stack([np.bincount(self.block, c, blocks) for c in pull.sum(axis=1).T])
        drawn = np.tile(solved, (DRAWS, 1))
        drawn[:, free] += np.linalg.solve(curvature, of_block @ (self.folds.times - 1).T).T
        drawn[:, _INTERCEPTS:] = np.maximum(drawn[:, _INTERCEPTS:], 0)
        return drawn

    def _design(self) -> Floats:
        """Return float64[n, 2, 2 + l]: an intercept a side, and the learners."""
        own = np.broadcast_to(np.eye(_INTERCEPTS), (len(self.x), _INTERCEPTS, _INTERCEPTS))
        return np.concatenate([own, self.x], axis=2)

    def _log_odds(self, tried: Floats) -> Floats:
        return np.asarray(self.base + tried[:_INTERCEPTS] + self.x @ tried[_INTERCEPTS:])

    def _loss(self, tried: Floats) -> tuple[float, Floats]:
        odds = self._log_odds(tried)
        loss = float((self.weight * (np.logaddexp(0, odds) - self.win * odds)).sum())
        pull = self.weight * (expit(odds) - self.win)
        slopes = np.concatenate([pull.sum(axis=0), np.einsum("ns,nsl->l", pull, self.x)])
        off = tried - self.centre
        prior = self.precision * off
        return loss + float(prior @ off) / 2, slopes + prior

    def _alone(self) -> Floats:
        """Return the probability of each learner to be the one that is right, float64[l].

        Of all and the base rate, alike beforehand, given the rows (Hoeting et al. 1999).
        """
        said = self.base[:, None] + np.insert(self.x, 0, 0.0, axis=2)
        won = self.win[:, :, None]
        each = self.weight[:, :, None] * (won * said - np.logaddexp(0, said))
        likely = each.sum(axis=(0, 1))
        belief = np.exp(likely - likely.max())
        return np.asarray(belief[1:] / belief.sum())


def _drawn_base(base: Floats, labels: Labels, folds: Folds) -> Floats:
    """Return how far base rates lie off under resampled blocks, in log-odds, float64[draws, 2]."""
    known, rate = labels.weight > 0, expit(base)
    pull = labels.weight[known, None] * (labels.win[known] - rate)
    of_block = np.stack([np.bincount(folds.block[known], c, folds.blocks) for c in pull.T])
    curvature = (labels.weight.sum() + 1) * rate * (1 - rate)
    return np.asarray((folds.times - 1) @ of_block.T / curvature)


def _confirmed(base: Floats, earlier: Floats, x: Floats, labels: Labels) -> tuple[float, float]:
    """Return the slope that the calibration span grants, mean and deviation of its posterior."""
    rows = (labels.weight > 0) & (x != 0).any(axis=(1, 2))
    said = earlier[:_INTERCEPTS] + x[rows] @ earlier[_INTERCEPTS:]
    win = labels.win[rows]
    weight = ALIKE * labels.weight[rows, None]
    likely = np.empty(len(SLOPES))
    for number, slope in enumerate(SLOPES):
        odds = base + slope * said
        likely[number] = (weight * (win * odds - np.logaddexp(0, odds))).sum()
    belief = _prior() * np.exp(likely - likely.max())
    belief /= belief.sum()
    mean = float(belief @ SLOPES)
    return mean, float(np.sqrt(belief @ (SLOPES - mean) ** 2))


def _prior() -> Floats:
    """Return what is believed of each of `SLOPES` beforehand, in sum 1."""
    still = np.exp(-(((SLOPES - 1) / NEARLY) ** 2) / 2)
    less = (SLOPES <= 1).astype(np.float64)
    return np.asarray(HOLDS * still / still.sum() + (1 - HOLDS) * less / less.sum())


def _sum(values: NDArray[np.float64]) -> Floats:
    """Sum over draws, [n, 2, DRAWS] -> [n, 2], in one order whatever n."""
    while (half := values.shape[2] // 2) > 0:
        values = values[:, :, :half] + values[:, :, half:]
    return values[:, :, 0]
