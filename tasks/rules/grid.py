"""A grid of exit parameters: every combination of thresholds, horizons, stops and targets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from infra.errors import SepError
from kernels.sweep_sets import MOST_POINTS, SweepSets

MOST: Final = 5_000_000
"""Sets of a grid."""
AXES: Final = ("threshold", "horizon", "stop", "target")
SHARES: Final = (0.5, 0.005)
"""Of bars that signal at the lowest and at the highest threshold of a default grid."""


class GridError(SepError, ValueError):
    """A grid of parameters is not one, or nothing can be said of it; the message says why."""


@dataclass(frozen=True)
class Grid:
    """All combinations of four axes, each ascending.

    Attributes
    ----------
    thresholds : tuple of float
        Least scores that signal.
    horizons : tuple of int
        Bars a trade is held.
    stops, targets : tuple of float
        Distances in deviations of the set's own horizon (close * sigma * sqrt(horizon)), as those
        of a `tasks.research.recipe.Recipe`; infinite for none.
    """

    thresholds: tuple[float, ...]
    horizons: tuple[int, ...]
    stops: tuple[float, ...] = (math.inf,)
    targets: tuple[float, ...] = (math.inf,)

    def __post_init__(self) -> None:
        for name, axis in zip(AXES, self.axes, strict=True):
            if not axis:
                raise GridError(f"no {name} is given: name one at least")
            if any(not low < high for low, high in pairwise(axis)):
                raise GridError(f"values of {name} must ascend, each once: {axis}")
        if not all(map(math.isfinite, self.thresholds)):
            raise GridError(f"a threshold must be finite: {self.thresholds}")
        for name, axis in zip(AXES[1:], self.axes[1:], strict=True):
            if not axis[0] > 0:
                raise GridError(f"{name} must be above zero, not {axis[0]:g}")
        if self.horizons[0] < 1 or self.horizons[-1] >= MOST_POINTS:
            raise GridError(f"a horizon is 1 bar or more, not {self.horizons}")
        if len(self) > MOST:
            raise GridError(f"{len(self):,} sets are more than {MOST:,}: name fewer values")

    @classmethod
    def default(cls, horizon: int, scores: ArrayLike | None = None) -> Grid:
        """Return a grid of a few thousand sets around a horizon.

        Parameters
        ----------
        horizon : int
            Of the model whose scores are traded.
        scores : float[n, 2], optional
            Long and short: thresholds at which half of the bars signal down to one in 200, and
            zero. Left out: from zero to half a deviation.
        """
        around = np.geomspace(max(horizon / 4, 1), 4 * horizon, 9)
        return cls(
            thresholds=_thresholds(scores),
            horizons=tuple(sorted({round(bars) for bars in around.tolist()})),
            stops=(0.5, 1.0, 1.5, 2.0, 4.0, math.inf),
            targets=(0.5, 1.0, 2.0, 4.0, math.inf),
        )

    @property
    def axes(self) -> tuple[tuple[float, ...], ...]:
        """Values by axis, in the order of `AXES`."""
        return self.thresholds, self.horizons, self.stops, self.targets

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes: what a result by set is reshaped to."""
        return tuple(map(len, self.axes))

    def __len__(self) -> int:
        return math.prod(self.shape)

    def sets(self) -> SweepSets:
        """Return the sets for a unit of one bar's deviation, the last axis fastest."""
        found = SweepSets.grid(
            thresholds=self.thresholds,
            horizons=self.horizons,
            stops=self.stops,
            targets=self.targets,
        )
        root = np.sqrt(found.horizon).astype(np.float32)
        return replace(found, stop=found.stop * root, target=found.target * root)

    def at(self, number: int) -> Grid:
        """Return the grid of one set alone.

        Parameters
        ----------
        number : int
            Of the set, as results are numbered.
        """
        threshold, horizon, stop, target = self.values(number)
        return Grid((threshold,), (int(horizon),), (stop,), (target,))

    def values(self, number: int) -> tuple[float, ...]:
        """Return a set's threshold, horizon, stop and target.

        Parameters
        ----------
        number : int
        """
        place = np.unravel_index(number, self.shape)
        return tuple(axis[int(i)] for axis, i in zip(self.axes, place, strict=True))

    def neighbours(self, number: int) -> list[int]:
        """Return the sets one step away on one axis each.

        Parameters
        ----------
        number : int
        """
        place = [int(i) for i in np.unravel_index(number, self.shape)]
        steps = [
            [*place[:axis], place[axis] + step, *place[axis + 1 :]]
            for axis, length in enumerate(self.shape)
            for step in (-1, 1)
            if 0 <= place[axis] + step < length
        ]
        return [int(np.ravel_multi_index(tuple(step), self.shape)) for step in steps]


def _thresholds(scores: ArrayLike | None) -> tuple[float, ...]:
    if scores is None:
        return tuple(np.linspace(0, 0.5, 11).tolist())
    known = np.array(scores, np.float64).reshape(-1, 2)
    best = np.fmax(known[:, 0], known[:, 1])
    best = best[np.isfinite(best)]
    if not len(best):
        raise GridError("no bar has a score: nothing can be traded")
    levels = np.quantile(best, 1 - np.geomspace(*SHARES, 10))
    return tuple(sorted({0.0, *(float(f"{level:.3g}") for level in levels.tolist())}))


def values_of(text: str, axis: str) -> tuple[float, ...]:
    """Read the values of an axis: `low:high:count`, evenly spaced, or a list with commas.

    Parameters
    ----------
    text : str
        Stops and targets may be `none`.
    axis : str
        One of `AXES`; horizons become whole numbers.

    Raises
    ------
    GridError
        If it is neither.
    """
    try:
        found = _spaced(*text.split(":")) if ":" in text else [*map(_value, text.split(","))]
    except (ValueError, TypeError) as error:
        raise GridError(
            f"{axis} {text!r} is neither low:high:count, such as 1:4:7, nor a list, such as 1,2,4"
        ) from error
    if axis == "horizon" and all(map(math.isfinite, found)):
        found = [round(value) for value in found]
    return tuple(sorted(set(found)))


def _spaced(low: str, high: str, count: str) -> list[float]:
    if not 1 <= int(count) <= MOST or not -math.inf < float(low) <= float(high) < math.inf:
        raise ValueError(count)
    return [float(f"{value:.6g}") for value in np.linspace(float(low), float(high), int(count))]


def _value(word: str) -> float:
    return math.inf if word.strip() == "none" else float(word)
