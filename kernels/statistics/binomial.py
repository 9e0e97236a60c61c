"""The exact interval of a share: what so many of so many tell of the probability behind them."""

from __future__ import annotations

from scipy.special import betaincinv

from kernels.statistics.samples import level_within


def clopper_pearson(count: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the bounds that no true probability leaves more often than it may, at any size.

    Clopper and Pearson 1934, The use of confidence or fiducial limits, Biometrika 26(4).

    Parameters
    ----------
    count, trials : int
        How many of how many.
    level : float
        Of the two-sided interval.

    Raises
    ------
    ValueError
        If there are no trials, or `count` leaves 0 .. `trials`.
    """
    if trials < 1 or not 0 <= count <= trials:
        raise ValueError(f"{count} of {trials} is no share; give 0 to all of one or more")
    tail = (1 - level_within(level)) / 2
    low = betaincinv(count, trials - count + 1, tail) if count else 0.0
    high = betaincinv(count + 1, trials - count, 1 - tail) if count < trials else 1.0
    return float(low), float(high)
