"""Time series. Recursive averages are finite: see `averages`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl

from kernels import windows
from tasks.strategy.language.builtins.averages import (
    by_span,
    by_wilder,
    ema,
    exponential,
    memory,
    true_range,
)
from tasks.strategy.language.builtins.statistics import FULL
from tasks.strategy.language.registry import (
    ANY,
    CONDITION,
    Builtin,
    Floats,
    Slot,
    X,
    Y,
    bars,
    before,
    column,
    finite,
    over,
    quotient,
)

GROUP: Final = "Time series"
_N, _N2 = bars(), bars(low=2)
_SMOOTH = bars(high=1_000)
Earlier = Callable[..., int]


def _rsi(x: Floats, decay: float) -> Floats:
    moves = np.diff(x, prepend=np.nan)
    up = exponential(np.maximum(moves, 0.0), decay)
    down = exponential(np.maximum(-moves, 0.0), decay)
    return 100 * up / np.where(up + down > 0, up + down, np.nan)


def _band(x: Floats, n: int, width: float) -> Floats:
    mean, variance = windows.moments(x, n)
    return mean + width * np.sqrt(variance)


def _slope(x: Floats, n: int) -> Floats:
    return windows.drift(x, n)[0] / ((n * n - 1) / 12)


def _trend(x: Floats, n: int) -> Floats:
    along, variance = windows.drift(x, n)
    still = np.where(variance > 0, variance, np.nan)
    return np.clip(along / np.sqrt(still * ((n * n - 1) / 12)), -1.0, 1.0)


def _since(condition: Floats, n: int) -> Floats:
    full = windows.total(condition, n)
    rows = np.arange(len(condition), dtype=np.float64)
    last = np.maximum.accumulate(np.where(condition == 1, rows, -np.inf))
    return np.where(full > 0, rows - last, np.nan)


def _steps(x: Floats, n: int, sign: float) -> Floats:
    moves = np.diff(x, prepend=np.nan) * sign
    up = np.where(np.isnan(moves), np.nan, moves > 0)
    total: Floats = windows.total(up, n)
    return total


def _all(kernel: Callable[[Floats], Floats], x: pl.Expr, n: int) -> pl.Expr:
    return over(kernel, x) == float(n)


def _crossed(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    now, then = x > y, before(x, 1) <= before(y, 1)
    return pl.when(now.is_not_null() & then.is_not_null()).then(now & then)


def series(
    name: str,
    slots: Any,
    says: str,
    units: str,
    example: str,
    build: Callable[..., pl.Expr],
    earlier: Earlier,
    warmup: str,
    *,
    gives: Any = "number",
    nulls: str = FULL,
    group: str = GROUP,
) -> Builtin:
    """Return a built-in function over earlier bars.

    Parameters
    ----------
    name : str
    slots : tuple of Slot
    says, units, example : str
    build, earlier : callable
    warmup : str
    gives : str
    nulls, group : str
    """
    return Builtin(
        name,
        group,
        slots,
        gives,
        says,
        units,
        example,
        build,
        role="window",
        earlier=earlier,
        warmup=warmup,
        nulls=nulls,
    )


LAST, NEXT = (lambda _, n: n - 1), (lambda _, n: n)
_EMA = "16 half-lives, 5.5 n bars"
_WILDER = "16 half-lives, 11 n bars"
_ONE = "null at the first bar, and where one of the values is null"

FUNCTIONS: Final = (
    series(
        "lag",
        (ANY, bars(low=0)),
        "The value n bars before.",
        "as x",
        "lag(close(), 1)",
        lambda _, x, n: before(x, n),
        NEXT,
        "n bars",
        gives="same",
        nulls="null for the first n bars, and where that value is null",
    ),
    series(
        "change",
        (X, _N),
        "x less x of n bars before.",
        "as x",
        "change(close(), 12)",
        lambda _, x, n: finite(x - before(x, n)),
        NEXT,
        "n bars",
        nulls="null for the first n bars, and where one of the two is null",
    ),
    series(
        "rate_of_change",
        (X, _N),
        "The change over n bars as a share of the value before.",
        "a share",
        "rate_of_change(close(), 12)",
        lambda _, x, n: finite(quotient(x, before(x, n)) - 1),
        NEXT,
        "n bars",
        nulls="null for the first n bars, where one of the two is null, or the earlier one 0",
    ),
    series(
        "sma",
        (X, _N),
        "The simple average.",
        "as x",
        "sma(close(), 50)",
        lambda _, x, n: over(lambda a: windows.total(a, n) / n, x),
        LAST,
        "n - 1 bars",
    ),
    series(
        "ema",
        (X, _SMOOTH),
        "The exponential average: a value weighs 1 - 2 / (n + 1) of the next newer one.",
        "as x",
        "ema(close(), 20)",
        lambda _, x, n: ema(x, by_span(n)),
        lambda _, n: memory(by_span(n)) - 1,
        _EMA,
    ),
    series(
        "wma",
        (X, _N),
        "The linear average: the newest weighs n, the oldest 1.",
        "as x",
        "wma(close(), 20)",
        lambda _, x, n: over(lambda a: windows.ramp(a, n), x),
        LAST,
        "n - 1 bars",
    ),
    series(
        "atr",
        (_SMOOTH,),
        "The average true range (Wilder): a value weighs 1 - 1 / n of the next newer one.",
        "price",
        "2 * atr(14)",
        lambda given, n: ema(true_range(given), by_wilder(n)),
        lambda n: memory(by_wilder(n)),
        _WILDER,
    ),
    series(
        "true_range",
        (),
        "The range of the bar, the close before it included.",
        "price",
        "true_range()",
        true_range,
        lambda: 1,
        "1 bar",
        nulls=_ONE,
    ),
    series(
        "rsi",
        (bars(high=1_000),),
        "The relative strength of closes (Wilder): ups as a share of all moves.",
        "0 to 100",
        "rsi(14) < 30",
        lambda given, n: over(lambda a: _rsi(a, by_wilder(n)), column(given, "close")),
        lambda n: memory(by_wilder(n)),
        _WILDER,
        nulls=f"{FULL}, or where nothing moved",
    ),
    series(
        "macd",
        (X, bars("fast", high=1_000, default=12), bars("slow", high=1_000, default=26)),
        "The fast exponential average less the slow one.",
        "as x",
        "macd(close()) > 0",
        lambda _, x, fast, slow: finite(ema(x, by_span(fast)) - ema(x, by_span(slow))),
        lambda _, fast, slow: memory(by_span(max(fast, slow))) - 1,
        _EMA,
    ),
    series(
        "bollinger_upper",
        (X, _N2, Slot("k", constant=True, optional=True, default=2.0)),
        "The mean and k deviations of the last n bars.",
        "as x",
        "close() > bollinger_upper(close(), 20)",
        lambda _, x, n, k: over(lambda a: _band(a, n, k), x),
        lambda _, n, k: n - 1,
        "n - 1 bars",
    ),
    series(
        "bollinger_lower",
        (X, _N2, Slot("k", constant=True, optional=True, default=2.0)),
        "The mean less k deviations of the last n bars.",
        "as x",
        "close() < bollinger_lower(close(), 20, 2.5)",
        lambda _, x, n, k: over(lambda a: _band(a, n, -k), x),
        lambda _, n, k: n - 1,
        "n - 1 bars",
    ),
    series(
        "highest",
        (X, _N),
        "The greatest of the last n bars.",
        "as x",
        "close() > lag(highest(high(), 20), 1)",
        lambda _, x, n: over(lambda a: windows.highest(a, n), x),
        LAST,
        "n - 1 bars",
    ),
    series(
        "lowest",
        (X, _N),
        "The least of the last n bars.",
        "as x",
        "lowest(low(), 20)",
        lambda _, x, n: over(lambda a: windows.lowest(a, n), x),
        LAST,
        "n - 1 bars",
    ),
    series(
        "slope",
        (X, _N2),
        "The slope of the line through the last n bars (least squares).",
        "x a bar",
        "slope(close(), 20)",
        lambda _, x, n: over(lambda a: _slope(a, n), x),
        LAST,
        "n - 1 bars",
    ),
    series(
        "trend",
        (X, _N2),
        "How straight the last n bars run: their correlation with time.",
        "-1 to 1",
        "trend(close(), 50) > 0.8",
        lambda _, x, n: over(lambda a: _trend(a, n), x),
        LAST,
        "n - 1 bars",
        nulls=f"{FULL}, or where all are equal",
    ),
    series(
        "crosses_above",
        (X, Y),
        "Whether x is above y and was not at the bar before.",
        "true or false",
        "crosses_above(ema(close(), 10), ema(close(), 30))",
        lambda _, x, y: _crossed(x, y),
        lambda *_: 1,
        "1 bar",
        gives="bool",
        nulls=_ONE,
    ),
    series(
        "crosses_below",
        (X, Y),
        "Whether x is below y and was not at the bar before.",
        "true or false",
        "crosses_below(close(), sma(close(), 50))",
        lambda _, x, y: _crossed(y, x),
        lambda *_: 1,
        "1 bar",
        gives="bool",
        nulls=_ONE,
    ),
    series(
        "bars_since",
        (CONDITION, bars(default=500)),
        "How many bars ago a condition was last true, among the last n.",
        "bars",
        "bars_since(close() > open()) < 5",
        lambda _, x, n: over(lambda a: _since(a, n), x),
        LAST,
        "n - 1 bars",
        nulls=f"{FULL}, or where it was true at none",
    ),
    series(
        "rising",
        (X, _N),
        "Whether x rose at each of the last n bars.",
        "true or false",
        "rising(close(), 3)",
        lambda _, x, n: _all(lambda a: _steps(a, n, 1.0), x, n),
        NEXT,
        "n bars",
        gives="bool",
        nulls="null until n + 1 bars are there, and where one of them is null",
    ),
    series(
        "falling",
        (X, _N),
        "Whether x fell at each of the last n bars.",
        "true or false",
        "falling(close(), 3)",
        lambda _, x, n: _all(lambda a: _steps(a, n, -1.0), x, n),
        NEXT,
        "n bars",
        gives="bool",
        nulls="null until n + 1 bars are there, and where one of them is null",
    ),
)
