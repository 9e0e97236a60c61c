"""What makes two paths similar: weights of their dimensions, and how many neighbours are asked.

Learnt on the library span by purged cross-validation: each fold's queries ask the rows that lie
nowhere near it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from kernels.confidence import fit_strength
from kernels.dimensions import DIMENSIONS
from kernels.evaluation import log_loss, non_overlapping
from kernels.local import local_logistic
from kernels.nearest import nearest
from kernels.paths import Standard, unit_paths
from kernels.tally import count_wins, posterior

FOLDS = 4
QUERIES, ROWS = 20_000, 10_000
"""Asked and searched at most while choosing."""

COUNTS = (32, 64, 128, 256)
USUAL = 128
"""Neighbours, while weights are compared."""

AFFORDED = 2**23
"""Neighbours times rows of the library, at most: what every query of a long history costs."""

RIDGES = (32.0, 256.0)
STRENGTHS = (16.0, 128.0, 1024.0)
"""Outcomes that the base rate is worth to the local fit."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """What similar means to a model.

    Attributes
    ----------
    way : str
        How weights are found: one of `WEIGHTS`.
    weight : float64[64]
        Of each standardised dimension, found so on the library span.
    lift : float
        How much the length of a path says (`Standard.weighted`); 0 for nothing.
    k : int
        Neighbours asked for, before overlapping ones are dropped.
    strength, ridge : float
        Of the local fit on the neighbours (`kernels.local`).
    """

    way: str
    weight: Floats
    lift: float
    k: int
    strength: float
    ridge: float

    def standard(self, plain: Standard) -> Standard:
        """Return the standard of the paths that are compared."""
        return plain.weighted(self.weight, self.lift)


@dataclass(frozen=True)
class Sample:
    """Bars of the library span that have a trajectory and outcomes.

    Attributes
    ----------
    position : int64[n]
        Bar numbers, ascending.
    trajectory : float32[n, 16, 4]
    features : float32[n, m]
        What the local fit looks at.
    win : int8[n, 2]
    horizon : int
    """

    position: NDArray[np.int64]
    trajectory: NDArray[np.float32]
    features: NDArray[np.float32]
    win: NDArray[np.int8]
    horizon: int


@dataclass(frozen=True)
class Apart:
    """What neighbours said of bars of the library span by rows that lie nowhere near them.

    Attributes
    ----------
    position : int64[q]
        Ascending.
    wins : int64[q, 2]
    k_eff : int64[q]
    local : float64[q, 2]
        Log-odds of the local fit; NaN without neighbours.
    """

    position: NDArray[np.int64]
    wins: NDArray[np.int64]
    k_eff: NDArray[np.int64]
    local: Floats


def choose(sample: Sample, plain: Standard, *, engine: str = "auto") -> Similarity:
    """Choose weights, then the number of neighbours, then the local fit: each by log loss.

    Parameters
    ----------
    sample : Sample
    plain : Standard
        Of the library span.
    engine : {"auto", "cpu", "gpu"}
    """
    trial = _Trial(sample, plain, engine, apart=sample.horizon)
    ways = [(way, lifted) for way in WEIGHTS for lifted in (False, True)]
    way, lifted = min(ways, key=lambda each: trial.loss(each[0], each[1], trial.usual))
    k = min(trial.counts, key=lambda count: trial.loss(way, lifted, count))
    fits = list(product(STRENGTHS, RIDGES))
    strength, ridge = min(fits, key=lambda each: trial.local_loss(way, lifted, k, each[0], each[1]))
    weight = WEIGHTS[way](sample.trajectory, plain, sample.win)
    return Similarity(way, weight, _lift(weight) if lifted else 0.0, k, strength, ridge)


def told_apart(
    sample: Sample, plain: Standard, chosen: Similarity, *, engine: str = "auto"
) -> Apart:
    """Ask each fold's queries the rows that lie nowhere near it, under weights learnt from these.

    Parameters
    ----------
    sample : Sample
    plain : Standard
    chosen : Similarity
    engine : {"auto", "cpu", "gpu"}
    """
    # outcomes of neighbouring bars are nearly one: half a horizon apart is enough
    trial = _Trial(sample, plain, engine, apart=max(1, sample.horizon // 2))
    lifted = chosen.lift > 0
    parts = []
    for fold in np.unique(trial.fold):
        wins, k_eff, _, _, asked, _ = trial.search(chosen.way, lifted, chosen.k, fold)
        odds = trial.local_odds(chosen.way, lifted, chosen.k, chosen.strength, chosen.ridge, fold)
        parts.append((trial.sample.position[asked], wins, k_eff[:, 0], odds))
    return Apart(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def relevance(trajectory: NDArray[np.float32], plain: Standard, win: NDArray[np.int8]) -> Floats:
    """Weigh each dimension by its correlation with the outcomes of both sides, float64[64].

    Parameters
    ----------
    trajectory : float32[n, 16, 4]
    plain : Standard
    win : int8[n, 2]
    """
    z = (trajectory.reshape(len(trajectory), -1) - plain.mean) / plain.deviation
    won = win - win.mean(axis=0)
    scale = np.sqrt((z**2).sum(axis=0))[:, None] * np.sqrt((won**2).sum(axis=0))
    correlation = (z - z.mean(axis=0)).T @ won / np.maximum(scale, 1e-300)
    weight = np.sqrt((correlation**2).sum(axis=1))
    return np.asarray(weight / weight.max()) if weight.max() > 0 else np.ones(DIMENSIONS)


def shares(win: NDArray[np.int8]) -> Floats:
    """Return the share of wins by side, float64[2]: never none or all, of which no odds are.

    Parameters
    ----------
    win : int8[n, 2]
        At least one bar's, all known.
    """
    least = 0.5 / len(win)
    return np.asarray(np.clip(win.mean(axis=0), least, 1 - least))


def last_step(*_: Any) -> Floats:
    """Weigh the last step above all, float64[64].

    Not alone: in four dimensions paths lie so close that a search can rule out hardly any.
    """
    return np.repeat([0.25, 1.0], [DIMENSIONS - 4, 4])


def alike(*_: Any) -> Floats:
    """Weigh all dimensions alike, float64[64]."""
    return np.ones(DIMENSIONS)


WEIGHTS: dict[str, Callable[..., Floats]] = {
    "alike": alike,
    "last step": last_step,
    "relevance": relevance,
}


class _Trial:
    """Queries of each fold against rows that lie nowhere near it."""

    def __init__(self, sample: Sample, plain: Standard, engine: str, *, apart: int) -> None:
        thin = -(-len(sample.position) // QUERIES)
        self.sample = _every(sample, thin)
        self.plain, self.engine, self.apart = plain, engine, apart
        position = self.sample.position
        self.fold = (position - position[0]) * FOLDS // (int(position[-1] - position[0]) + 1)
        rows = len(position) * (FOLDS - 1) // FOLDS
        self.step = -(-rows // ROWS)
        most = min(rows // self.step // 4, AFFORDED // (2 * len(sample.position)))
        self.counts = [k for k in COUNTS if k <= max(COUNTS[0], most)]
        self.usual = min(USUAL, self.counts[-1])
        self.rates = shares(self.sample.win)
        self._found: dict[Any, Any] = {}

    def loss(self, way: str, lift: bool, k: int) -> float:
        """Return the log loss of shrunk shares of wins, over both sides."""
        parts = [self.search(way, lift, k, fold) for fold in np.unique(self.fold)]
        wins, k_eff, won = (
            np.concatenate(each) for each in zip(*(p[:3] for p in parts), strict=True)
        )
        losses = []
        for side, rate in enumerate(self.rates):
            strength = fit_strength(wins[:, side], k_eff[:, side], base_rate=rate)
            mean = posterior(wins[:, side], k_eff[:, side], base_rate=rate, strength=strength)
            there = np.isfinite(mean)
            losses.append(log_loss(mean[there], won[there, side]))
        return float(np.mean(losses))

    def local_loss(self, way: str, lift: bool, k: int, strength: float, ridge: float) -> float:
        """Return the log loss of the local fit, over both sides."""
        losses = []
        for fold in np.unique(self.fold):
            won = self.search(way, lift, k, fold)[2]
            odds = self.local_odds(way, lift, k, strength, ridge, fold)
            there = np.isfinite(odds).all(axis=1)
            losses.append(log_loss(expit(odds[there]).ravel(), won[there].ravel()))
        return float(np.mean(losses))

    def local_odds(
        self, way: str, lift: bool, k: int, strength: float, ridge: float, fold: int
    ) -> Floats:
        """Return the log-odds of the local fit for the queries of a fold, float64[q, 2]."""
        *_, neighbours, asked, rows = self.search(way, lift, k, fold)
        return np.asarray(
            local_logistic(
                neighbours,
                self.sample.features[asked],
                self.sample.features[rows],
                self.sample.win[rows],
                base_rate=self.rates,
                strength=strength,
                ridge=ridge,
                engine=self.engine,
            )
        )

    def search(self, way: str, lift: bool, k: int, fold: int) -> Any:
        """Return wins, k_eff, own outcomes, neighbours, queries and rows of a fold."""
        key = (way, lift, k, int(fold))
        if key not in self._found:
            self._found[key] = self._searched(way, lift, k, int(fold))
        return self._found[key]

    def _searched(self, way: str, lift: bool, k: int, fold: int) -> Any:
        sample, told = self.sample, np.flatnonzero(self.fold == fold)
        first, last = sample.position[told[[0, -1]]]
        asked = told[non_overlapping(sample.position[told], self.apart)]
        gap = 2 * (sample.horizon + 1)
        away = (sample.position < first - gap) | (sample.position > last + gap)
        rows = np.flatnonzero(away)[:: self.step]
        weight = WEIGHTS[way](sample.trajectory[rows], self.plain, sample.win[rows])
        standard = self.plain.weighted(weight, _lift(weight) if lift else 0.0)
        neighbours = nearest(
            unit_paths(sample.trajectory[asked], standard),
            unit_paths(sample.trajectory[rows], standard),
            position=sample.position[rows],
            group=np.zeros(len(rows), np.int32),
            known_before=np.full(len(asked), len(rows), np.int64),
            exclusion=sample.horizon,
            k=k,
            engine=self.engine,
        )
        wins, k_eff = count_wins(neighbours, sample.win[rows])
        return wins, k_eff, sample.win[asked], neighbours, asked, rows


def _lift(weight: Floats) -> float:
    """Return the length that weighted paths have in the mean: it says half."""
    return float(np.sqrt((weight[1:] ** 2).sum()))


def _every(sample: Sample, step: int) -> Sample:
    columns = {name: value[::step] for name, value in vars(sample).items() if name != "horizon"}
    return replace(sample, **columns)
