"""Functions that put a series into another form."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from kernels import windows
from tasks.strategy.language.builtins.operators import chosen
from tasks.strategy.language.builtins.series import LAST, NEXT, series
from tasks.strategy.language.builtins.statistics import FULL
from tasks.strategy.language.registry import ANY, CONDITION, Builtin, Floats, Slot, X, bars, over

_N2 = bars(low=2)


def _scaled(x: Floats, n: int) -> Floats:
    low, high = windows.lowest(x, n), windows.highest(x, n)
    return (x - low) / np.where(high > low, high - low, np.nan)


def _standardized(x: Floats, n: int) -> Floats:
    mean, variance = (np.append(np.nan, array[:-1])[: len(x)] for array in windows.moments(x, n))
    apart: Floats = (x - mean) / np.sqrt(np.where(variance > 0, variance, np.nan))
    return apart


FUNCTIONS: Final = (
    series(
        "standardize",
        (X, _N2),
        "Deviations from the mean of the n bars before this one.",
        "deviations",
        "standardize(close(), 100)",
        lambda _, x, n: over(lambda a: _standardized(a, n), x),
        NEXT,
        "n bars",
        nulls="null until n + 1 bars are there, where one is null, or the n are equal",
        group="Transform",
    ),
    series(
        "scale",
        (X, _N2),
        "Where x lies between the least and the greatest of the last n bars.",
        "0 to 1",
        "scale(close(), 100)",
        lambda _, x, n: over(lambda a: _scaled(a, n), x),
        LAST,
        "n - 1 bars",
        nulls=f"{FULL}, or where all are equal",
        group="Transform",
    ),
    Builtin(
        "where",
        "Transform",
        (CONDITION, Slot("a", "any"), Slot("b", "any")),
        "same",
        "a where the condition is true, b where it is false.",
        "as a",
        "where(close() > open(), high(), low())",
        chosen,
        nulls="null where the condition or the chosen value is",
    ),
    Builtin(
        "fill",
        "Transform",
        (ANY, Slot("value", "any")),
        "same",
        "x, or the value where x is null.",
        "as x",
        "fill(spread(), 0)",
        lambda _, x, value: x.fill_null(value),
        nulls="null where both are",
    ),
    Builtin(
        "rank_across_pairs",
        "Transform",
        (X,),
        "number",
        "The share of pairs, of streams as long, with a lower x; equal ones count by half.",
        "0 to 1",
        "rank_across_pairs(rate_of_change(close(), 24))",
        lambda *_: pl.lit(None),
        special="across",
        nulls="null where x is null for any pair",
    ),
)
