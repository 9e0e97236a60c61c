"""Is what is said still true? A test of calibration that may be looked at after each outcome.

A bettor who holds probabilities for wrong gains only where they are wrong (Shafer 2021): by Ville's
inequality (1939) a fair bettor's stake ever grows twentyfold with a probability of 5 % at most,
however long and however often one looks. Of forecasts: Arnold, Henzi and Ziegel 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from kernels.evaluation import Floats
from kernels.statistics.samples import level_within, series

SHIFTS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""By how many log-odds the truth is bet to lie below what is said, or above it."""

DOUBT = 0.75
"""Share of the stake that is bet on confidence being too high."""

LEVEL = 0.05
"""Probability of a false alarm, over all time."""

_MOST = 1e100  # more is not counted: a stake stays a number


@dataclass(frozen=True)
class Sequence:
    """What a bettor against a sequence of probabilities made of a stake of 1.

    Attributes
    ----------
    high : float64[n]
        After each outcome, of bets that confidence is too high.
    low : float64[n]
        Of bets that it is too low.
    value : float64[n]
        Of both, `DOUBT` of the stake on the former: the e-value.
    level : float
    """

    high: Floats
    low: Floats
    value: Floats
    level: float

    @property
    def last(self) -> float:
        """The e-value now; 1 without an outcome."""
        return float(self.value[-1]) if len(self.value) else 1.0

    @property
    def most(self) -> float:
        """The greatest e-value so far."""
        return float(self.value.max(initial=1.0))

    @property
    def alarm(self) -> int | None:
        """Outcomes after which the e-value first reached 1 / level; None if it never has."""
        passed = np.flatnonzero(self.value >= 1 / self.level)
        return int(passed[0]) + 1 if len(passed) else None

    @property
    def side(self) -> Literal["high", "low"]:
        """Whether confidence is rather too high or too low: when the alarm came, or else now."""
        if not len(self.value):
            return "high"
        at = -1 if self.alarm is None else self.alarm - 1
        return "high" if DOUBT * self.high[at] >= (1 - DOUBT) * self.low[at] else "low"


def sequence(probability: ArrayLike, outcome: ArrayLike, *, level: float = LEVEL) -> Sequence:
    """Bet against probability[n], outcome by outcome.

    Parameters
    ----------
    probability : float[n]
        What was said, 0 to 1, each before its outcome and after all earlier ones were known:
        outcomes that overlap must be thinned.
    outcome : float[n]
        What came, 0 or 1, in the order of time.
    level : float
        Probability of a false alarm, over all time.

    Raises
    ------
    ValueError
        If lengths differ, a value is NaN or leaves 0 .. 1, or `level` does not lie between.
    """
    p, y = series(probability, "probability", 0), series(outcome, "outcome", 0)
    if len(p) != len(y):
        raise ValueError(f"{len(p)} probabilities and {len(y)} outcomes: give one for each")
    if len(p) and not (min(p.min(), y.min()) >= 0 and max(p.max(), y.max()) <= 1):
        raise ValueError("probabilities and outcomes must lie between 0 and 1")
    high, low = stakes(p, y)
    return Sequence(high, low, DOUBT * high + (1 - DOUBT) * low, level_within(level))


def stakes(p: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return what bets on too high and too low made, float64[n, ...] each.

    Parameters
    ----------
    p, y : float64[n, ...]
        Many sequences side by side.

    Notes
    -----
    A bet of shift d multiplies its stake by q / p after a win and (1 - q) / (1 - p) after a
    loss, q the probability of log-odds logit p - d. Were the win as probable as was said, or
    more so, that is 1 at most in the mean. Stakes are laid out over d, and over the outcome j
    from which on is bet, 1 / (j (j + 1)) of each: a model that spoke the truth for long is soon
    found out once it no longer does.
    """
    return _staked(p, y, -1.0), _staked(p, y, 1.0)


def _staked(p: Floats, y: Floats, sign: float) -> Floats:
    grown, placed = np.empty(p.shape), np.zeros((len(SHIFTS), *p.shape[1:]))
    shifts = np.exp(sign * np.array(SHIFTS)).reshape(-1, *(1,) * (p.ndim - 1))
    for t, (said, came) in enumerate(zip(p, y, strict=True), start=1):
        # as ratios that are numbers at 0 and 1, too
        gained = came / (said + (1 - said) / shifts) + (1 - came) / (1 - said + said * shifts)
        placed = np.minimum((placed + 1 / (t * (t + 1))) * gained, _MOST)
        grown[t - 1] = placed.mean(axis=0) + 1 / (t + 1)
    return grown
