"""Would the same positions have earned as much at another time?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, rfft

from kernels.evaluation import Floats
from kernels.statistics.samples import refuse_constant, series

LEAST = 20
ROUNDING = 1e-9


@dataclass(frozen=True)
class Shift:
    """Where the earned sum stands among those of all shifted positions.

    Attributes
    ----------
    earned : float
        Sum of position times return, unshifted.
    score : float
        Its distance from the mean of the shifts, in their deviations.
    p_value : float
        Share of sums, its own among them, that are as great; never 0.
    shifts : int
        Others that it was compared with.
    """

    earned: float
    score: float
    p_value: float
    shifts: int


def shift_test(position: ArrayLike, returns: ArrayLike, *, apart: int = 1) -> Shift:
    """Compare what positions earned with what they earn against returns of another time.

    All circular shifts at once, by one convolution: exact, and without a seed. Both series keep
    their autocorrelation, trends in price and a usual side earn the same under each shift, and
    only being there at the right time is left (Masters 2018, Permutation and Randomization Tests
    for Trading System Development, where shuffles break the former). Costs do not move with time:
    use gross returns.

    Parameters
    ----------
    position : float[n]
        Held over each row: -1 short, 0 none, 1 long, or a size.
    returns : float[n]
        Of holding one long over each row.
    apart : int
        Shifts by fewer rows, either way, are left out: a trade's length, since they are nearly
        the same positions.

    Raises
    ------
    ValueError
        If lengths differ, there are fewer than 20 rows or fewer than 19 shifts, a value is NaN or
        infinite, or a series is constant.
    """
    held, gained = series(position, "position", LEAST), series(returns, "returns", LEAST)
    if len(held) != len(gained):
        raise ValueError(f"{len(held)} positions and {len(gained)} returns; give one a row of both")
    refuse_constant(held, "position")
    refuse_constant(gained, "returns")
    n = len(held)
    shifts = n + 1 - 2 * apart
    if apart < 1 or shifts < LEAST - 1:
        raise ValueError(
            f"{n} rows leave {max(shifts, 0)} shifts that are {apart} or more apart; "
            f"{LEAST - 1} are needed, for which give {LEAST - 2 + 2 * apart} rows"
        )
    sums = _shifted(held, gained)
    return _compared(sums[0], sums[apart : n + 1 - apart])


def _compared(own: float, others: Floats) -> Shift:
    spread = float(others.std())
    as_great = others >= own - ROUNDING * max(spread, abs(own))
    score = (own - float(others.mean())) / spread if spread else 0.0
    p_value = (1 + int(as_great.sum())) / (1 + len(others))
    return Shift(float(own), score, p_value, len(others))


def _shifted(position: Floats, returns: Floats) -> Floats:
    """Return the sum earned under each shift of the positions, 0 .. n - 1 rows later."""
    earned: Floats = irfft(np.conj(rfft(position)) * rfft(returns), len(position))
    return earned
