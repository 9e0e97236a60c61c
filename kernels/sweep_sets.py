"""Sets of exit parameters over one series of scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kernels.device import (
    Array,
    array_module,
    require_array,
)

MOST_POINTS = 1 << 29
"""Range of the prices; with it every level fits int32."""


@dataclass(frozen=True)
class SweepSets:
    """Parameter sets that read the same scores: none of them needs new trajectories.

    Attributes
    ----------
    threshold : float32[m]
        Finite; a side signals where its score is at least this.
    stop, target : float32[m]
        Multiples of the unit of the signal bar, above zero; inf for none.
    horizon : int32[m]
        Bars from the entry to the time exit, at least 1.

    Notes
    -----
    Neighbouring sets run side by side: they are fastest when they trade at the same bars, as
    those of `grid` do.
    """

    threshold: Array
    stop: Array
    target: Array
    horizon: Array

    def __post_init__(self) -> None:
        xp, count = array_module(self.threshold), len(self.threshold)
        for name in ("threshold", "stop", "target"):
            require_array(name, getattr(self, name), "float32", (count,))
        require_array("horizon", self.horizon, "int32", (count,))
        if not bool(xp.isfinite(self.threshold).all()):
            raise ValueError("threshold must be finite; leave out sets that never signal")
        for name in ("stop", "target"):
            if not bool((getattr(self, name) > 0).all()):
                raise ValueError(f"{name} must be above zero; use inf for none")
        if not bool(((self.horizon >= 1) & (self.horizon < MOST_POINTS)).all()):
            raise ValueError("horizon must be at least 1; give the bars until the time exit")

    @classmethod
    def grid(
        cls,
        *,
        thresholds: ArrayLike,
        horizons: ArrayLike,
        stops: ArrayLike = (np.inf,),
        targets: ArrayLike = (np.inf,),
    ) -> SweepSets:
        """Return the Cartesian product, the last argument fastest.

        Results take its shape back by
        ``profit.reshape(len(thresholds), len(horizons), len(stops), len(targets))``.

        Parameters
        ----------
        thresholds : float[a]
            Least scores that signal.
        horizons : int[b]
            Bars from the entry to the time exit.
        stops, targets : float[c], float[d]
            Multiples of the unit of the signal bar; inf for none.

        Returns
        -------
        SweepSets
            Of a b c d sets, in NumPy arrays.
        """
        axes = np.meshgrid(thresholds, horizons, stops, targets, indexing="ij")
        threshold, horizon, stop, target = (axis.ravel() for axis in axes)
        return cls(
            threshold=threshold.astype(np.float32),
            stop=stop.astype(np.float32),
            target=target.astype(np.float32),
            horizon=horizon.astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.threshold)
