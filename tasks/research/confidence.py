"""Confidence: the calibrated probability that a trade wins net of cost, and what that is worth.

Learners look at what is known of a bar, the stack combines them, a line turns log-odds into an
expected net gain, and resampled histories say how far both may lie off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from tasks.research.gains import GainLine, choose_caution
from tasks.research.learners.folds import Folds
from tasks.research.learners.learner import Fitted, Learner
from tasks.research.learners.roster import LEARNERS
from tasks.research.learners.rows import Floats, Ints, Labels, Rows
from tasks.research.stack import Stack

SIDES = (0, 1)

BOUND = 1.6448536269514722
"""Normal deviations of the 5 and 95 % bounds."""

INDIVIDUAL, LEAST_INDIVIDUAL = 0.125, 0.05
"""Variance of a bar's own log-odds around what learners can say, as a share of the variance of
what they say, and the least deviation. Single outcomes cannot show it; coverage on walks of known
truth does."""

LEAST = 10.0
"""Separate outcomes of the rarer kind below which nothing but the base rate is learnt."""

PIECE = 4096
"""Rows told at a time: what draws fill stays in the processor's cache."""


@dataclass(frozen=True)
class Past:
    """Rows whose trades have ended, of the library and the calibration span.

    Attributes
    ----------
    rows : Rows
    win : int8[n, 2]
        -1 where unknown.
    gain : float64[n, 2]
        Net returns; NaN where unknown.
    unit : float64[n]
        Deviation of the horizon, as a share of the price.
    exit_bar : int64[n, 2]
    forward : int
        First position of the calibration span.
    horizon : int
    seed : int
    """

    rows: Rows
    win: Any
    gain: Floats
    unit: Floats
    exit_bar: Ints
    forward: int
    horizon: int
    seed: int


@dataclass(frozen=True)
class Beliefs:
    """What is believed of bars; each float64[n, 2], long and short, NaN where nothing is known.

    Attributes
    ----------
    confidence, lower, upper : float64[n, 2]
        Probability that the trade wins net of cost, and its 5 and 95 % bounds.
    expected, doubt : float64[n, 2]
        Expected net gain in deviations of the horizon, and its deviation.
    """

    confidence: Floats
    lower: Floats
    upper: Floats
    expected: Floats
    doubt: Floats


@dataclass(frozen=True)
class Apart:
    """What was believed of the past by fits that had not seen it.

    Attributes
    ----------
    position : int64[n]
        Bar numbers, ascending.
    expected, doubt : float64[n, 2]
        As in `Beliefs`; NaN nowhere.
    """

    position: Ints
    expected: Floats
    doubt: Floats

    @classmethod
    def nothing(cls) -> Apart:
        """Return what is believed where nothing could be learnt."""
        return cls(np.empty(0, np.int64), np.empty((0, 2)), np.empty((0, 2)))


@dataclass(frozen=True)
class Confidence:
    """What a model has learnt, frozen.

    Attributes
    ----------
    learners : dict of str to Fitted
        All that had something to learn from, those of weight nothing, too.
    stack : Stack
        Weights in the order of `learners`.
    line : GainLine
    individual : float
        Variance of a bar's own log-odds around what is said of it.
    caution : float
        Deviations of doubt that an expected gain must exceed: what grew most on the past.
    growths : dict of float to float
        Log growth on the past by caution, out of fold.
    """

    learners: dict[str, Fitted]
    stack: Stack
    line: GainLine
    individual: float
    caution: float
    growths: dict[float, float]

    @classmethod
    def fit(cls, past: Past, learners: Mapping[str, Learner] = LEARNERS) -> Confidence:
        """Learn from the past.

        Parameters
        ----------
        past : Past
        learners : mapping of str to Learner
            Those asked; one that finds nothing to look at sits out.

        Notes
        -----
        Where a side has fewer than `LEAST` separate wins or losses, or no learner finds anything
        to look at, all that is said is the base rate, with its interval, and no gain is expected.
        """
        return cls.fit_apart(past, learners)[0]

    @classmethod
    def fit_apart(
        cls, past: Past, learners: Mapping[str, Learner] = LEARNERS
    ) -> tuple[Confidence, Apart]:
        """Learn from the past, and say what was believed of it out of fold.

        Parameters
        ----------
        past : Past
        learners : mapping of str to Learner
            As in `fit`.
        """
        usable = np.isfinite(past.gain).all(axis=1) & np.isfinite(past.rows.metrics).all(axis=1)
        usable &= past.unit > 0
        win = np.where(usable[:, None], past.win, -1).astype(np.int8)
        labels = Labels.of(past.rows.position, win, past.horizon)
        base = np.full(len(SIDES), logit(labels.rate()))
        if labels.rarest() < LEAST:
            return cls._of_base_rates(past, labels, base), Apart.nothing()
        fit = _Fit(past, labels, base, learners)
        if not fit.trained:
            return cls._of_base_rates(past, labels, base), Apart.nothing()
        return fit.confidence()

    @classmethod
    def _of_base_rates(cls, past: Past, labels: Labels, base: Floats) -> Confidence:
        stack = Stack.of_base_rates(base, float(labels.weight.sum()))
        line = GainLine.fit(*_gains(past, np.arange(len(past.rows)), labels, 0 * labels.win))
        # what so few trades brought in the mean is no reason for another
        careful = replace(line, mean=tuple(min(mean, 0.0) for mean in line.mean))
        return cls({}, stack, careful, 0.0, 0.0, {})

    def tell(self, rows: Rows) -> Beliefs:
        """Say what is believed of bars; each row depends on itself alone, bit for bit.

        Parameters
        ----------
        rows : Rows
        """
        pieces = [self._tell(rows.take(slice(f, f + PIECE))) for f in range(0, len(rows), PIECE)]
        columns = zip(*(vars(piece).values() for piece in pieces), strict=True)
        if not pieces:
            return Beliefs(*np.empty((5, 0, 2)))
        return Beliefs(*(np.concatenate(column) for column in columns))

    def _tell(self, rows: Rows) -> Beliefs:
        active = dict(self._active())
        said = np.full((len(rows), 2, len(self.learners)), np.nan)
        for number, fitted in active.items():
            said[:, :, number] = fitted.apply(rows)
        odds = self.stack.apply(said)
        drawn = {}
        for number, fitted in active.items():
            own = fitted.draws(rows)
            drawn[number] = said[:, :, number, None] if own is None else own
        deviation = self.stack.deviation(drawn, len(rows))
        reach = BOUND * np.sqrt(deviation**2 + self.individual)
        beliefs = Beliefs(
            confidence=expit(odds),
            lower=expit(odds - reach),
            upper=expit(odds + reach),
            expected=self.line.expected(odds - self.stack.base),
            doubt=self.line.doubt(odds - self.stack.base, deviation),
        )
        unknown = ~np.isfinite(rows.metrics).all(axis=1)
        for column in vars(beliefs).values():
            column[unknown] = np.nan
        return beliefs

    def opinions(self, rows: Rows) -> dict[str, Floats]:
        """Return the probability of a win that each learner alone says, float64[n, 2] by name."""
        return {name: expit(fitted.apply(rows)) for name, fitted in self.learners.items()}

    def _active(self) -> Iterator[tuple[int, Fitted]]:
        for number, fitted in enumerate(self.learners.values()):
            if self.stack.weights[number] > 0:
                yield number, fitted

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each learner, slope included, by name."""
        return dict(
            zip(self.learners, (self.stack.slope * self.stack.weights).tolist(), strict=True)
        )

    @property
    def base_rate(self) -> Floats:
        """Share of wins, the same of both sides, float64[2]."""
        return np.asarray(expit(self.stack.base))

    @property
    def break_even(self) -> Floats:
        """Probability at which a trade is worth nothing, float64[2]."""
        return self.line.break_even(self.stack.base)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "learners": {name: fitted.to_dict() for name, fitted in self.learners.items()},
            "stack": self.stack.to_dict(),
            "line": asdict(self.line) | {"mean": list(self.line.mean)},
            "individual": self.individual,
            "caution": self.caution,
            "growths": list(self.growths.items()),
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Confidence:
        """Read what `to_dict` wrote, exactly."""
        return cls(
            learners={name: LEARNERS[name].load(said) for name, said in plain["learners"].items()},
            stack=Stack.from_dict(plain["stack"]),
            line=GainLine(**{**plain["line"], "mean": tuple(plain["line"]["mean"])}),
            individual=plain["individual"],
            caution=plain["caution"],
            growths=dict(plain["growths"]),
        )


class _Fit:
    """One training: learners on all rows, the stack on those whose neighbours were counted.

    It is on all rows, too, if of few neighbours were counted.
    """

    def __init__(
        self, past: Past, labels: Labels, base: Floats, learners: Mapping[str, Learner]
    ) -> None:
        rows = past.rows
        cut = {"forward": past.forward, "horizon": past.horizon, "seed": past.seed}
        self.past, self.base = past, base
        folds = Folds.cut(rows.position, **cut)
        trained = {name: each.fit(rows, labels, folds) for name, each in learners.items()}
        self.trained = {name: each for name, each in trained.items() if each is not None}
        counted = np.flatnonzero(rows.k_eff > 0)
        enough = self._labels(labels, counted).rarest() >= LEAST
        self.rows = counted if enough else np.arange(len(rows))
        self.labels = self._labels(labels, self.rows)
        self.folds = Folds.cut(rows.position[self.rows], **cut)

    def _labels(self, labels: Labels, chosen: Ints) -> Labels:
        position = self.past.rows.position[chosen]
        return Labels.of(position, labels.win[chosen], self.past.horizon)

    def confidence(self) -> tuple[Confidence, Apart]:
        apart, ahead = (
            np.stack([getattr(each, name)[self.rows] for each in self.trained.values()], axis=-1)
            for name in ("apart", "ahead")
        )
        stack = Stack.fit(self.base, apart, ahead, self.labels, self.folds, self.past.seed)
        odds = stack.apply(apart)
        known = self.labels.weight > 0
        draft = Confidence(
            learners={name: each.fitted for name, each in self.trained.items()},
            stack=stack,
            line=GainLine.fit(*_gains(self.past, self.rows, self.labels, odds - self.base)),
            individual=max(INDIVIDUAL * float(odds[known].var(axis=0).mean()), LEAST_INDIVIDUAL**2),
            caution=0.0,
            growths={},
        )
        return self._with_caution(draft, odds)

    def _with_caution(self, draft: Confidence, odds: Floats) -> tuple[Confidence, Apart]:
        past, rows = self.past, self.rows
        doubt = draft.tell(past.rows.take(rows)).doubt
        told = Apart(past.rows.position[rows], draft.line.expected(odds - self.base), doubt)
        caution, growths = choose_caution(
            told.expected, told.doubt, past.gain[rows], told.position, past.exit_bar[rows]
        )
        return replace(draft, caution=caution, growths=growths), told


def _gains(
    past: Past, rows: Ints, labels: Labels, told: NDArray[Any]
) -> tuple[Floats, NDArray[Any], Floats]:
    """Return gains in units, what was told and weights, of those of some rows that are known."""
    known = labels.weight > 0
    gain = past.gain[rows[known]] / past.unit[rows[known], None]
    return gain, told[known], labels.weight[known]
