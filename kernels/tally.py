"""How many of a query's neighbours won, on both sides at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isinf, nan
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.device import (
    Array,
    Engine,
    array_module,
    choose_engine,
    launch,
    move,
    require_array,
)
from kernels.nearest import Neighbours
from kernels.outcomes import SIDES

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Tally:
    """What the neighbours of each query tell of both sides; column 0 is the long one.

    Attributes
    ----------
    wins, k_eff : int64[q, 2]
        Neighbours that won and neighbours whose outcome is known.
    posterior : float64[q, 2]
        Shrunk share of wins; NaN where k_eff = 0.
    """

    wins: Array
    k_eff: Array
    posterior: Array


def tally(
    neighbours: Neighbours,
    win: Array,
    *,
    base_rate: Sequence[float] | Floats,
    strength: Sequence[float] | Floats,
    engine: str = "auto",
) -> Tally:
    """Count the neighbours of each query for both sides and shrink their shares of wins.

    Parameters
    ----------
    neighbours : Neighbours
    win : int8[N, 2]
        Outcomes of each library row, as in `Outcomes`; -1 is unknown and not counted.
    base_rate : float64[2]
        pi of each side, 0 to 1.
    strength : float64[2]
        m of each side, above 0; inf is the base rate alone.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    Tally
        Arrays of the kind of the neighbours'; the same bits on both engines.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or engine, a number out of range, or an index that is no row of
        `win`.
    EngineUnavailable
        If the GPU is asked for and cannot run.

    Notes
    -----
    (w + m pi) / (k_eff + m): docs/mathematics.md, "Learners".
    """
    require_array("win", win, "int8", (None, len(SIDES)))
    rate, weight = np.array(base_rate, np.float64), np.array(strength, np.float64)
    for name, array in (("base_rate", rate), ("strength", weight)):
        require_array(name, array, "float64", (len(SIDES),))
    if not ((rate >= 0) & (rate <= 1)).all():
        raise ValueError(f"base_rate must be between 0 and 1, not {rate}")
    if not (weight > 0).all():
        raise ValueError(f"strength must be above 0, not {weight}; inf is the base rate alone")
    prior = rate * np.where(np.isinf(weight), 1.0, weight)
    return _tally(choose_engine(engine), neighbours.index, win, prior, weight)


def count_wins(neighbours: Neighbours, win: Array) -> tuple[Array, Array]:
    """Count the neighbours of each query and how many of them won.

    Parameters
    ----------
    neighbours : Neighbours
    win : int8[N] or int8[N, sides]
        Outcome of each library row, for one side or several; -1 is unknown and not counted.

    Returns
    -------
    wins, k_eff : int64[q] or int64[q, sides]
        Of the kind of the neighbours' arrays.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape, or an index that is no row of `win`.
    """
    several = getattr(win, "ndim", 1) == 2
    require_array("win", win, "int8", (None, None) if several else (None,))
    here = choose_engine("cpu" if array_module(neighbours.index) is np else "gpu")
    nothing = np.full(1, nan), np.full(1, inf)
    columns = win if several else win[:, None]
    sides = columns.shape[1]
    counted = _tally(here, neighbours.index, columns, *(row.repeat(sides) for row in nothing))
    if several:
        return counted.wins, counted.k_eff
    return counted.wins[:, 0], counted.k_eff[:, 0]


def _tally(engine: Engine, index: Array, win: Array, prior: Floats, strength: Floats) -> Tally:
    """Count each column of `win`; `prior` is m pi, the product formed once for both engines."""
    require_array("neighbours.index", index, "int64", (None, None))
    xp, (queries, k), (rows, sides) = engine.xp, index.shape, win.shape
    inputs = [move(array, xp) for array in (index, win, prior, strength)]
    numbers = np.int64(k), np.int64(rows), np.int64(sides)
    outputs = [xp.empty((queries, sides), kind) for kind in (np.int64, np.int64, np.float64)]
    launch(engine, "confidence", "tally", queries * sides, *inputs, *numbers, *outputs)
    require_rows(index, outputs[1] < 0, rows)
    return Tally(*(move(array, array_module(index)) for array in outputs))


def require_rows(index: Array, broken: Array, rows: int) -> None:
    """Refuse neighbours that a kernel has found to leave the library.

    Parameters
    ----------
    index : int64[q, k]
        Rows of the library, -1 for none.
    broken : bool array
        True wherever the kernel met an index that is neither.
    rows : int
        Rows of the library.

    Raises
    ------
    ValueError
        If any is broken.
    """
    if bool(broken.any()):
        wrong = index[(index < -1) | (index >= rows)]
        raise ValueError(
            f"neighbours.index must be a row of win, 0 .. {rows - 1}, or -1, not {int(wrong[0])}; "
            "give the outcomes of the library that was searched"
        )


def posterior(wins: Array, k_eff: Array, *, base_rate: float, strength: float) -> Array:
    """Shrink the share of wins towards the base rate: (w + m pi) / (k_eff + m).

    Parameters
    ----------
    wins, k_eff : int64[q]
    base_rate : float
        pi, share of wins of the side in the training span.
    strength : float
        m, outcomes that the base rate is worth; inf is the base rate alone.

    Returns
    -------
    float64[q]
        NaN where k_eff = 0.
    """
    xp = array_module(wins)
    if isinf(strength):
        return xp.where(k_eff > 0, base_rate, xp.nan)
    mean = (wins + strength * base_rate) / (k_eff + strength)
    return xp.where(k_eff > 0, mean, xp.nan)
