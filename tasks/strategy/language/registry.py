"""The registry of built-in functions: checker, compiler, reference and `sep strategy functions`
read what stands here, and nothing else tells them of a function."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.bits import COLUMNS as ENCODERS

Kind: TypeAlias = Literal["number", "bool", "string"]
Floats: TypeAlias = NDArray[np.float64]
Role: TypeAlias = Literal["pointwise", "bars", "window"]
"""What a value hangs on: the same row's values, the bar itself, or bars before it, too."""

MOST_BARS: Final = 10_000
"""Bars that one window may hold."""

SIDES: Final = ("long", "short")


@dataclass(frozen=True)
class Slot:
    """What a function is given at one place.

    Attributes
    ----------
    name : str
    kind : str
        "number", "bool", "string"; "any" for a number or a bool.
    constant : bool
        Whether it must be known before anything runs; a parameter of a pattern is.
    whole : bool
        Whether it is a whole number.
    low, high : float
        What a constant must lie between.
    choices : tuple of str
        What a string may be; empty: anything.
    optional : bool
    default : object
        Of an optional one.
    """

    name: str
    kind: Literal["number", "bool", "string", "any"] = "number"
    constant: bool = False
    whole: bool = False
    low: float = -np.inf
    high: float = np.inf
    choices: tuple[str, ...] = ()
    optional: bool = False
    default: Any = None


@dataclass(frozen=True)
class Bars:
    """The bars that expressions are built for.

    Attributes
    ----------
    pair, timeframe : str
    columns : collection of str
        Of their frame.
    """

    pair: str = ""
    timeframe: str = ""
    columns: Collection[str] = ()


@dataclass(frozen=True)
class Builtin:
    """A built-in function, and all that is said of it anywhere.

    Attributes
    ----------
    name, group : str
    slots : tuple of Slot
    gives : str
        Kind of its value; "same" for that of its last "any".
    says, units, example : str
    build : callable
        From `Bars` and arguments, expressions or constants, to the Polars expression.
    role : Role
    earlier : callable
        From the arguments (None for columns) to how many earlier bars are looked at.
    warmup : str
        The same in words.
    nulls : str
        What nulls do.
    many : bool
        Whether the last slot may be given again and again.
    special : str
        What the checker adds: "rule" (the enclosing signal's), "stop" (its stop), "across" (the
        value on the other pairs' bars); "" for nothing.
    """

    name: str
    group: str
    slots: tuple[Slot, ...]
    gives: Literal["number", "bool", "string", "same"]
    says: str
    units: str
    example: str
    build: Callable[..., pl.Expr]
    role: Role = "pointwise"
    earlier: Callable[..., int] = lambda *_: 0
    warmup: str = "none"
    nulls: str = "null where an argument is null"
    many: bool = False
    special: str = ""

    @property
    def signature(self) -> str:
        """The call as the reference writes it: `mean(x, n)`."""
        parts = [
            f"{slot.name}={_shown(slot)}" if slot.optional else slot.name for slot in self.slots
        ]
        return f"{self.name}({', '.join(parts)}{', ...' if self.many else ''})"


def _shown(slot: Slot) -> str:
    if slot.default is None:
        return "its own"
    return f'"{slot.default}"' if isinstance(slot.default, str) else f"{slot.default:g}"


X: Final = Slot("x")
Y: Final = Slot("y")
ANY: Final = Slot("x", "any")
CONDITION: Final = Slot("cond", "bool")
SIDE: Final = Slot("side", "string", constant=True, choices=SIDES)
RULE: Final = Slot("rule", "string", constant=True, optional=True)
ENCODER: Final = Slot(
    "encoder", "string", constant=True, choices=tuple(ENCODERS), optional=True, default="direction"
)


def bars(name: str = "n", low: int = 1, high: int = MOST_BARS, default: int | None = None) -> Slot:
    """Return the slot of a number of bars.

    Parameters
    ----------
    name : str
    low, high : int
    default : int, optional
        Left out: it must be given.
    """
    return Slot(
        name,
        constant=True,
        whole=True,
        low=low,
        high=high,
        optional=default is not None,
        default=default,
    )


def finite(value: pl.Expr) -> pl.Expr:
    """Return a value as it is where it is a finite number, and null elsewhere.

    NaN is greater than any number in Polars: it would fire triggers.
    """
    return pl.when(value.is_finite()).then(value)


def column(given: Bars, name: str) -> pl.Expr:
    """Return a column of the bars as numbers; nulls where they have none.

    Parameters
    ----------
    given : Bars
    name : str
    """
    if name not in given.columns:
        return pl.when(pl.col("timestamp").is_null()).then(0.0)  # a literal is not as long as bars
    return finite(pl.col(name).cast(pl.Float64))


def over(kernel: Callable[..., Floats], *columns: pl.Expr) -> pl.Expr:
    """Return what a kernel makes of whole columns; null is NaN to it, and NaN null of it.

    Parameters
    ----------
    kernel : callable
        float64[n] each to float64[n].
    *columns : polars.Expr
    """

    def run(series: Any) -> pl.Series:
        arrays = [one.to_numpy() for one in series]
        with np.errstate(all="ignore"):
            values = kernel(*arrays)
        return pl.Series(np.where(np.isfinite(values), values, np.nan), nan_to_null=True)

    return pl.map_batches([one.cast(pl.Float64) for one in columns], run, return_dtype=pl.Float64)


def quotient(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """Return a quotient; null where it is no finite number.

    Polars multiplies by the reciprocal where it finds the divisor to be one number, which hangs on
    the other rows: the same bar could get another last digit.

    Parameters
    ----------
    left, right : polars.Expr
    """
    return over(np.divide, left, right)


def before(column: pl.Expr, count: int) -> pl.Expr:
    """Return the value of so many bars before; null where there is none.

    Parameters
    ----------
    column : polars.Expr
    count : int
    """
    return column.shift(count)
