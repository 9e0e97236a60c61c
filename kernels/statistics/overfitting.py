"""Probability of backtest overfitting, by combinatorially symmetric cross-validation (CSCV)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernels.evaluation import Floats
from kernels.statistics.samples import refuse_constant, table

BLOCKS = 16
MOST_BLOCKS = 20
"""C(20, 10) = 184,756 splits."""
LEAST_ROWS = 4
"""Of a block: fewer have no Sharpe ratio to speak of."""
AT_ONCE = 1 << 22
"""Splits times trials held at once."""
NOTHING = 1e-12
"""Share of its mean square below which the variance of a half is rounding."""


@dataclass(frozen=True)
class Overfitting:
    """What became, out of sample, of the trial that was best in sample, over all splits.

    Attributes
    ----------
    probability : float
        PBO: share of splits in which it was no better than the median trial.
    loss : float
        Share of splits in which its ratio was below 0 out of sample.
    slope, r2 : float
        Of its ratio out of sample on that in sample; below 0 is overfitting. 0 where that in
        sample never varies.
    logit : float64[splits]
        ln(w / (1 - w)) of its relative rank w out of sample.
    inside, outside : float64[splits]
        Its Sharpe ratios, per row.
    """

    probability: float
    loss: float
    slope: float
    r2: float
    logit: Floats
    inside: Floats
    outside: Floats


def backtest_overfitting(
    returns: ArrayLike, *, blocks: int = BLOCKS, purge: int = 0
) -> Overfitting:
    """Choose the best of k trials on each half of the blocks, and rank it on the other half.

    Bailey, Borwein, Lopez de Prado and Zhu 2017, The probability of backtest overfitting, J.
    Computational Finance 20(4). Without an edge the probability is near a half, not 0.

    Parameters
    ----------
    returns : float[n, k]
        Net returns of all k trials, the bad ones too, over the same n rows. The oldest rows that
        fill no block are left out. Near copies of one trial make ranks, and so the number, mild.
    blocks : int
        Even, 4 to 20.
    purge : int
        Rows left out at the start of each block: a trade's length, where trades overlap rows.

    Raises
    ------
    ValueError
        If `blocks` or `purge` is out of its bounds, there are fewer than 2 trials or than 4 rows
        a block, a value is NaN or infinite, or a column constant.
    """
    if blocks % 2 or not 4 <= blocks <= MOST_BLOCKS or purge < 0:
        raise ValueError(
            f"blocks must be even, 4 to {MOST_BLOCKS}, and purge 0 or more, not {blocks}, {purge}"
        )
    trials = table(returns, "returns", blocks * (LEAST_ROWS + purge))
    if trials.shape[1] < 2:
        raise ValueError("one trial cannot be chosen among; give all that were tried")
    refuse_constant(trials, "returns")
    pieces = [_best(*halves) for halves in _ratios(trials, blocks, purge)]
    inside, outside, rank = (np.concatenate(each) for each in zip(*pieces, strict=True))
    share = rank / (trials.shape[1] + 1)
    logit = np.log(share / (1 - share))
    slope, r2 = _line(inside, outside)
    lost = float((outside < 0).mean())
    return Overfitting(float((logit <= 0).mean()), lost, slope, r2, logit, inside, outside)


def _ratios(trials: Floats, blocks: int, purge: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield Sharpe ratios [splits, k] in and out of sample: one matrix product of block sums."""
    length, k = len(trials) // blocks, trials.shape[1]
    centre = trials.mean(axis=0)
    # centred, so that squares lose no digits to the mean
    kept = (trials - centre)[-length * blocks :].reshape(blocks, length, k)[:, purge:]
    sums = np.concatenate([kept.sum(axis=1), (kept**2).sum(axis=1)], axis=1)
    rows = (length - purge) * blocks // 2
    halves = _halves(blocks)
    step = max(AT_ONCE // (2 * k), 1)
    for first in range(0, len(halves), step):
        chosen = halves[first : first + step] @ sums
        yield tuple(  # type: ignore[misc]
            _ratio(each[:, :k] / rows, each[:, k:] / rows, centre, rows)
            for each in (chosen, sums.sum(axis=0) - chosen)
        )


def _halves(blocks: int) -> Floats:
    """Return [splits, blocks]: 1 where a block is in sample."""
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    halves = np.zeros((len(chosen), blocks))
    np.put_along_axis(halves, chosen, 1.0, axis=1)
    return halves


def _ratio(mean: Floats, square: Floats, centre: Floats, rows: int) -> Floats:
    """Return the Sharpe ratios; 0 where a trial stood still."""
    variance = (square - mean**2) * rows / (rows - 1)
    still = variance <= NOTHING * square
    return np.where(still, 0.0, (centre + mean) / np.sqrt(np.where(still, 1.0, variance)))


def _best(inside: Floats, outside: Floats) -> tuple[Floats, Floats, Floats]:
    """Return, of the best in sample, both ratios and the rank out of sample (ties: mid-rank)."""
    split: NDArray[np.intp] = np.arange(len(inside))
    best = inside.argmax(axis=1)
    own = outside[split, best]
    below = (outside < own[:, None]).sum(axis=1)
    equal = (outside == own[:, None]).sum(axis=1)
    return inside[split, best], own, below + (equal + 1) / 2


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    dx, dy = x - x.mean(), y - y.mean()
    xx, yy, xy = float(dx @ dx), float(dy @ dy), float(dx @ dy)
    return (xy / xx if xx else 0.0), (xy**2 / (xx * yy) if xx and yy else 0.0)
