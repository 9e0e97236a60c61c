"""Samples that a statistic can be taken of: finite, long enough, not constant."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kernels.evaluation import Floats


def series(values: ArrayLike, name: str, least: int) -> Floats:
    """Return `values` as float64[n].

    Parameters
    ----------
    values : float[n]
    name : str
        What an error calls them.
    least : int
        Rows that are needed.

    Raises
    ------
    ValueError
        If there is another number of dimensions, fewer rows, NaN or an infinity.
    """
    return _sample(values, name, least, 1)


def table(values: ArrayLike, name: str, least: int) -> Floats:
    """Return `values` as float64[n, k].

    Parameters
    ----------
    values : float[n, k]
        Rows in time, a column a trial.
    name : str
        What an error calls them.
    least : int
        Rows that are needed.

    Raises
    ------
    ValueError
        If there is another number of dimensions, no column, fewer rows, NaN or an infinity.
    """
    array = _sample(values, name, least, 2)
    if not array.shape[1]:
        raise ValueError(f"{name} has no columns; give one a trial")
    return array


def refuse_constant(values: Floats, name: str) -> None:
    """Pass on if no column is constant.

    Parameters
    ----------
    values : float64[n] or float64[n, k]
    name : str
        What an error calls them.

    Raises
    ------
    ValueError
        If one is: there is no deviation to divide by.
    """
    constant = np.flatnonzero(np.atleast_1d(np.ptp(values, axis=0) == 0))
    if not len(constant):
        return
    if values.ndim == 1:
        raise ValueError(f"{name} is {values[0]:g} in all {len(values)} rows; it must vary")
    raise ValueError(
        f"{name}: {len(constant)} of {values.shape[1]} columns are constant, the first number "
        f"{constant[0]}; leave these trials out and count them among the trials"
    )


def refuse_one_sided(outcome: Floats) -> None:
    """Pass on if outcome[n] has both kinds.

    Raises
    ------
    ValueError
        If all are alike: there is nothing to tell apart.
    """
    if np.ptp(outcome) == 0:
        raise ValueError(f"all {len(outcome)} outcomes are {outcome[0]:g}; give both kinds")


def level_within(level: float) -> float:
    """Return `level`, which must lie between 0 and 1.

    Raises
    ------
    ValueError
        If it does not.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level:g}; 0.95 as a rule")
    return level


def _sample(values: ArrayLike, name: str, least: int, dimensions: int) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimensions, not {array.ndim}")
    rows = len(array)
    if rows < least:
        raise ValueError(f"{name} has {rows} rows of at least {least}: {least - rows} are missing")
    unknown = int((~np.isfinite(array)).sum())
    if unknown:
        raise ValueError(f"{unknown} of {array.size} values of {name} are NaN or infinite")
    return array
