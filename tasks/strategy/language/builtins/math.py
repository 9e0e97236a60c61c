"""Functions of numbers, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Final

import numpy as np
import polars as pl

from tasks.strategy.language.registry import Builtin, Slot, X, Y, finite, over

One = Callable[[pl.Expr], pl.Expr]
GROUP: Final = "Math"


def least(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Return the smaller of two values; null where one is.

    Parameters
    ----------
    a, b : polars.Expr
    """
    return pl.when(a <= b).then(a).when(a > b).then(b)


def greatest(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Return the greater of two values; null where one is.

    Parameters
    ----------
    a, b : polars.Expr
    """
    return pl.when(a >= b).then(a).when(a < b).then(b)


def _of(
    name: str, says: str, example: str, one: One, units: str = "a number", nulls: str = ""
) -> Builtin:
    gone = nulls or "null where x is null"
    return Builtin(
        name, GROUP, (X,), "number", says, units, example, lambda _, x: finite(one(x)), nulls=gone
    )


def _whole(x: pl.Expr) -> pl.Expr:
    return x.sign() * x.abs().floor()


def _rounded(x: pl.Expr) -> pl.Expr:
    return x.sign() * (x.abs() + 0.5).floor()


_POSITIVE = "null where x is null or not above 0"
_UNIT = "null where x is null or beyond -1 to 1"

FUNCTIONS: Final = (
    _of("abs", "The number without its sign.", "abs(close() - open())", lambda x: x.abs(), "as x"),
    _of(
        "sign",
        "1 above zero, -1 below it, 0 at it.",
        "sign(close() - open())",
        lambda x: x.sign(),
        "-1, 0, 1",
    ),
    _of(
        "sqrt",
        "The square root.",
        "sqrt(high() - low())",
        lambda x: x.sqrt(),
        "root of x",
        "null where x is null or below 0",
    ),
    _of("cbrt", "The cube root.", "cbrt(close() - open())", lambda x: x.cbrt(), "root of x"),
    _of(
        "exp",
        "e to the power of x.",
        "exp(close() - open())",
        lambda x: x.exp(),
        nulls="null where x is null or the result too large",
    ),
    _of("log", "The natural logarithm.", "log(close())", lambda x: x.log(), nulls=_POSITIVE),
    _of("log2", "The logarithm to base 2.", "log2(close())", lambda x: x.log(2), nulls=_POSITIVE),
    _of(
        "log10", "The logarithm to base 10.", "log10(close())", lambda x: x.log10(), nulls=_POSITIVE
    ),
    Builtin(
        "pow",
        GROUP,
        (X, Y),
        "number",
        "x to the power of y.",
        "a number",
        "pow(close(), 2)",
        lambda _, x, y: over(np.power, x, y),
        nulls="null where x or y is null or the result no number",
    ),
    Builtin(
        "min",
        GROUP,
        (X, Y),
        "number",
        "The smallest of two or more numbers.",
        "as x",
        "min(open(), close())",
        lambda _, *xs: reduce(least, xs),
        many=True,
    ),
    Builtin(
        "max",
        GROUP,
        (X, Y),
        "number",
        "The greatest of two or more numbers.",
        "as x",
        "max(open(), close())",
        lambda _, *xs: reduce(greatest, xs),
        many=True,
    ),
    _of("floor", "The next whole number below.", "floor(close())", lambda x: x.floor(), "as x"),
    _of("ceil", "The next whole number above.", "ceil(close())", lambda x: x.ceil(), "as x"),
    _of(
        "round",
        "The nearest whole number, halves away from zero.",
        "round(close() * 100)",
        _rounded,
        "as x",
    ),
    _of(
        "trunc",
        "The whole number without the digits behind the point.",
        "trunc(close())",
        _whole,
        "as x",
    ),
    Builtin(
        "clamp",
        GROUP,
        (X, Slot("low"), Slot("high")),
        "number",
        "x, but no less than low and no more than high.",
        "as x",
        "clamp(change(close(), 1), -0.001, 0.001)",
        lambda _, x, low, high: least(greatest(x, low), high),
    ),
    _of("sin", "The sine of an angle.", "sin(hour() / 12 * pi())", lambda x: x.sin(), "-1 to 1"),
    _of("cos", "The cosine of an angle.", "cos(hour() / 12 * pi())", lambda x: x.cos(), "-1 to 1"),
    _of("tan", "The tangent of an angle.", "tan(close() - open())", lambda x: x.tan()),
    _of(
        "asin",
        "The angle of a sine.",
        "asin(close() - open())",
        lambda x: x.arcsin(),
        "radians",
        _UNIT,
    ),
    _of(
        "acos",
        "The angle of a cosine.",
        "acos(close() - open())",
        lambda x: x.arccos(),
        "radians",
        _UNIT,
    ),
    _of(
        "atan",
        "The angle of a tangent.",
        "atan(slope(close(), 20))",
        lambda x: x.arctan(),
        "radians",
    ),
    Builtin(
        "atan2",
        GROUP,
        (Slot("y"), Slot("x")),
        "number",
        "The angle of a point, from the axis of x.",
        "radians",
        "atan2(close() - open(), high() - low())",
        lambda _, y, x: pl.arctan2(y, x),
    ),
    _of(
        "tanh",
        "The hyperbolic tangent, which squeezes numbers into -1 to 1.",
        "tanh(zscore(close(), 20))",
        lambda x: x.tanh(),
        "-1 to 1",
    ),
    Builtin(
        "pi",
        GROUP,
        (),
        "number",
        "3.14159...",
        "a number",
        "pi()",
        lambda _: pl.lit(math.pi),
        nulls="never null",
    ),
    Builtin(
        "e",
        GROUP,
        (),
        "number",
        "2.71828...",
        "a number",
        "e()",
        lambda _: pl.lit(math.e),
        nulls="never null",
    ),
)
