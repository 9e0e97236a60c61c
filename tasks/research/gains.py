"""What a win probability is worth: expected net gain, and how careful it pays to be with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log1p

import numpy as np
from scipy.special import expit

from tasks.research.learners.rows import Floats, Ints

CAUTIONS = (0.0, 0.25, 0.5, 1.0, 1.645, 2.5)
"""Deviations of its own doubt that an expected gain must exceed: tried on the past, and shown."""

RUIN = -0.999
"""Least net return that is counted: nobody loses more than all, whose logarithm is no number."""

SLOPE = 0.3
"""Deviation of the prior of a line's slope, in deviations of the horizon a unit of log-odds."""


@dataclass(frozen=True)
class GainLine:
    """Expected net gain by log-odds: a line, in deviations of the horizon (sigma sqrt(h)).

    Attributes
    ----------
    mean : tuple of float
        At the base rate, by side, of both the same: what a trade brings if nothing is known of it.
    slope : float
        By which a unit of log-odds above the base rate moves it.
    mean_deviation, slope_deviation : float
        How far both may lie off.
    """

    mean: tuple[float, ...]
    slope: float
    mean_deviation: float = 0.0
    slope_deviation: float = 0.0

    @classmethod
    def fit(cls, gain: Floats, moved: Floats, weight: Floats) -> GainLine:
        """Fit the line by least squares to rows that were told out of fold.

        Parameters
        ----------
        gain : float64[n, 2]
            Net gains in deviations of the horizon.
        moved : float64[n, 2]
            Log-odds less those of the base rate.
        weight : float64[n]

        Notes
        -----
        The prior of the slope is what follows if a higher share of wins brings no better wins and
        no milder losses, d E / d logit p = (W + L) p (1 - p): the rule p* = L / (W + L). A drift
        moves wins and losses, too, and gives more; the data tell.
        """
        share = weight / weight.sum()
        mean, centre = share @ gain, share @ moved
        rest, x = gain - mean, moved - centre
        variance = float((share @ rest**2).mean())
        told = float((weight @ x**2).mean()) / max(variance, 1e-12)
        pulled = float((weight @ (x * rest)).mean()) / max(variance, 1e-12)
        precision = SLOPE**-2.0
        slope = (pulled + precision * _plain_slope(gain, share)) / (told + precision)
        # of both sides: which way a market went says little of where it goes (Merton 1980)
        at_base = np.full(len(mean), (mean - max(slope, 0.0) * centre).mean())
        return cls(
            mean=tuple(at_base.tolist()),
            slope=max(slope, 0.0),
            mean_deviation=float(np.sqrt(variance / max(weight.sum(), 1.0))),
            slope_deviation=float((told + precision) ** -0.5),
        )

    def expected(self, moved: Floats) -> Floats:
        """Tell expected net gains, float64[n, 2], of log-odds less those of the base rate."""
        return np.asarray(self.mean) + self.slope * moved

    def doubt(self, moved: Floats, deviation: Floats) -> Floats:
        """Tell how far expected gains may lie off, float64[n, 2], by what the line does.

        Parameters
        ----------
        moved : float64[n, 2]
            Log-odds less those of the base rate.
        deviation : float64[n, 2]
            How far these may lie off.
        """
        by_slope = self.slope_deviation * moved
        return np.sqrt((self.slope * deviation) ** 2 + by_slope**2 + self.mean_deviation**2)

    def break_even(self, base: Floats) -> Floats:
        """Tell the probability at which a trade is worth nothing, float64[2].

        Parameters
        ----------
        base : float64[2]
            Log-odds of the base rate.
        """
        # a slope of nothing: no probability is enough, or any
        ways = np.where(np.array(self.mean) > 0, -np.inf, np.inf)
        needed = -np.array(self.mean) / self.slope if self.slope > 0 else ways
        return np.asarray(expit(base + needed))


def _plain_slope(gain: Floats, share: Floats) -> float:
    slopes = []
    for values in gain.T:
        won = values > 0
        p = float(share @ won)
        if 0 < p < 1:
            swing = float((share * values) @ won) / p - float((share * values) @ ~won) / (1 - p)
            slopes.append(swing * p * (1 - p))
    return float(np.mean(slopes)) if slopes else 0.0


def growth(margin: Floats, gain: Floats, position: Ints, exit_bar: Ints) -> float:
    """Return the log growth of trading whatever has a margin, one position at a time.

    Parameters
    ----------
    margin : float64[n, 2]
        Of each side; NaN and what is not above zero is no signal.
    gain : float64[n, 2]
        Net returns; NaN where unknown.
    position : int64[n]
        Bar numbers, ascending.
    exit_bar : int64[n, 2]
        Bar in which the trade is left.
    """
    wanted = np.where(np.isfinite(margin) & np.isfinite(gain), margin, -np.inf)
    side = np.where(wanted[:, 1] > wanted[:, 0], 1, 0)
    signals = np.flatnonzero(wanted.max(axis=1) > 0)
    total, free = 0.0, -1
    for row in signals.tolist():
        if position[row] >= free:
            total += log1p(max(gain[row, side[row]], RUIN))
            free = int(exit_bar[row, side[row]])
    return total


def choose_caution(
    expected: Floats, doubt: Floats, gain: Floats, position: Ints, exit_bar: Ints
) -> tuple[float, dict[float, float]]:
    """Return the caution under which trading grew most, the greatest of equals, and all growths.

    Parameters
    ----------
    expected, doubt : float64[n, 2]
        Told out of fold.
    gain : float64[n, 2]
        Net returns.
    position : int64[n]
    exit_bar : int64[n, 2]
    """
    grown = {
        caution: growth(expected - caution * doubt, gain, position, exit_bar)
        for caution in CAUTIONS
    }
    return max(reversed(CAUTIONS), key=lambda caution: grown[caution]), grown
