"""Paths: standardised trajectories of unit length, whose cosine is similarity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.device import Array, array_module, move, to_host
from kernels.dimensions import DIMENSIONS

FLOOR = 1e-3
"""Least deviation of a dimension: one that hardly moves must not turn rounding into direction."""

BLOCK = 65_536
"""Rows worked on at a time; bounds memory, changes no result."""


@dataclass(frozen=True)
class Standard:
    """What a model freezes of its training span.

    Attributes
    ----------
    mean, deviation : float64[64]
        Of each dimension of a trajectory; NumPy arrays, deviations at least `FLOOR`. An infinite
        one leaves its dimension out.
    lift : float
        What stands in the place of the first dimension, the same for all; 0 leaves that as it is.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    lift: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mean", "deviation"):
            values = getattr(self, name)
            if values.shape != (DIMENSIONS,) or values.dtype != np.float64:
                raise ValueError(
                    f"{name} must be float64[{DIMENSIONS}], not {values.dtype}{values.shape}; "
                    "take it from fit_standard"
                )
        if not (self.deviation > 0).all():
            raise ValueError("deviation must be above zero; take it from fit_standard")

    def weighted(self, weight: NDArray[np.float64], lift: float) -> Standard:
        """Return a standard under which similarity hangs on some dimensions more than on others.

        Parameters
        ----------
        weight : float64[64]
            0 leaves a dimension out.
        lift : float
            The cosine of paths forgets how far they went. Of paths that share one number it does
            not: the smaller that is beside the others, the less the length says.
        """
        with np.errstate(divide="ignore"):
            return Standard(self.mean, self.deviation / weight, lift)


def fit_standard(trajectory: Array, rows: Array) -> Standard:
    """Take mean and deviation of every dimension over the training rows.

    Parameters
    ----------
    trajectory : float[n, 16, 4]
        Of `damp`; rows with a NaN are passed over.
    rows : int64[m] or bool[n]
        The training span.

    Returns
    -------
    Standard

    Raises
    ------
    ValueError
        If the trajectory has another shape, or no training row is whole.
    """
    flat = to_host(_flat(trajectory)[rows]).astype(np.float64)
    whole = flat[np.isfinite(flat).all(axis=1)]
    if not len(whole):
        raise ValueError(
            "no training row has a trajectory; give rows later than 257 bars into a segment"
        )
    return Standard(whole.mean(axis=0), np.maximum(whole.std(axis=0), FLOOR))


def unit_paths(trajectory: Array, standard: Standard) -> Array:
    """Standardise trajectories and scale them to unit length.

    Parameters
    ----------
    trajectory : float[n, 16, 4]
    standard : Standard

    Returns
    -------
    float32[n, 64]
        Of the kind that came in. A row is NaN throughout where the trajectory has a NaN or
        standardises to zero. Each row depends on itself alone, bit for bit.

    Raises
    ------
    ValueError
        If the trajectory has another shape.
    """
    flat = _flat(trajectory)
    xp = array_module(flat)
    mean, deviation = move(standard.mean, xp), move(standard.deviation, xp)
    paths = xp.empty(flat.shape, xp.float32)
    for rows in _blocks(len(flat)):
        z = (flat[rows] - mean) / deviation
        if standard.lift:
            z[:, 0] = xp.where(xp.isnan(z[:, 0]), xp.nan, standard.lift)
        length = xp.sqrt(_row_sum(z * z))
        paths[rows] = z / xp.where(length > 0, length, xp.nan)
    return paths


def has_path(paths: Array) -> Array:
    """Return bool[n]: which rows of `unit_paths` are paths."""
    return ~array_module(paths).isnan(paths[:, 0])


def _flat(trajectory: Array) -> Array:
    if getattr(trajectory, "ndim", None) is None:
        trajectory = np.asarray(trajectory)
    if trajectory.ndim != 3 or trajectory.shape[1:] != (DIMENSIONS // 4, 4):
        raise ValueError(
            f"trajectory has shape {trajectory.shape}, not (n, {DIMENSIONS // 4}, 4); "
            "take it from damp with output='all'"
        )
    return trajectory.reshape(-1, DIMENSIONS)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(first, first + BLOCK) for first in range(0, n, BLOCK))


def _row_sum(values: Array) -> Array:
    """Sum each row in one fixed order, [m, 64] -> [m, 1], whatever m and the array module."""
    while (half := values.shape[1] // 2) > 0:
        values = values[:, :half] + values[:, half:]
    return values
