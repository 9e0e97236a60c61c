"""Folds in time: no fold's training sees what its rows were told by, or what tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.research.learners.rows import Ints

FOLDS = 5
DRAWS = 64
"""Resamples of the blocks of a span."""

MOST_BLOCKS = 100


@dataclass(frozen=True)
class Folds:
    """Rows cut in time, for predictions of rows by fits that saw nothing near them.

    Attributes
    ----------
    position : int64[n]
        Bar numbers, ascending.
    number : int64[n]
        Fold of each row, 0 .. FOLDS - 1, ascending.
    forward : int64
        First position of the calibration span: what is said of it by a fit on all before.
    gap : int
        Bars between a fold and what it is fitted on: the horizon and one bar of a trade that ends
        in it, and as many again after it.
    times : float64[draws, blocks]
        How often each resample has each block.
    block : int64[n]
        Block of each row.
    """

    position: Ints
    number: Ints
    forward: int
    gap: int
    block: Ints
    times: NDArray[np.float64]

    @classmethod
    def cut(cls, position: Ints, *, forward: int, horizon: int, seed: int) -> Folds:
        """Cut rows into folds and blocks of equal length in bars.

        Parameters
        ----------
        position : int64[n]
            Ascending.
        forward : int
            First position of the calibration span.
        horizon : int
        seed : int
            Of the resamples.
        """
        offset = position - position[0]
        span = int(offset[-1]) + 1
        size = max(horizon, min(4 * horizon, span // 20), -(-span // MOST_BLOCKS))
        # blocks without rows are none: a resample has as many as there are
        block = np.unique(offset // size, return_inverse=True)[1]
        count = int(block[-1]) + 1
        rng = np.random.default_rng(seed)
        times = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
        number = offset * FOLDS // span
        return cls(position, number, forward, horizon + 1, block, times)

    def __iter__(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """Yield, for each fold, the rows to fit on and the rows to tell."""
        for fold in range(FOLDS):
            told = self.number == fold
            if told.any():
                first, last = self.position[told][[0, -1]]
                near = (self.position > first - self.gap) & (self.position < last + 2 * self.gap)
                yield ~near, told

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.times.shape[1])

    def ahead(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the rows before the calibration span, and those of it."""
        return self.position < self.forward - self.gap, self.position >= self.forward
