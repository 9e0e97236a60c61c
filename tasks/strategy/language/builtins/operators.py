"""Operators, literals and choices as functions; null is neither true nor false."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import polars as pl

from tasks.strategy.language.registry import Bars, Builtin, Slot, finite, quotient

Gives = Literal["number", "bool", "string", "same"]
_NUMBERS = (Slot("left"), Slot("right"))
_BOOLS = (Slot("left", "bool"), Slot("right", "bool"))
_ANY = (Slot("left", "any"), Slot("right", "any"))


def chosen(_: Bars, condition: pl.Expr, then: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return one of two values; null where the condition is.

    Parameters
    ----------
    _ : Bars
    condition, then, other : polars.Expr
    """
    return pl.when(condition).then(then).when(~condition).then(other)


def remainder(_: Bars, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """Return what is left of a division, of the sign of the divisor.

    Parameters
    ----------
    _ : Bars
    left, right : polars.Expr
    """
    return finite(left - right * quotient(left, right).floor())


def ranked(_: Bars, own: pl.Expr, *others: pl.Expr) -> pl.Expr:
    """Return the share of values below one's own, the own and equal ones by half.

    Parameters
    ----------
    _ : Bars
    own, *others : polars.Expr
    """
    below = [(other < own).cast(pl.Float64) for other in others]
    equal = [(other == own).cast(pl.Float64) / 2 for other in others]
    return sum([*below, *equal], pl.lit(0.5)) / (len(others) + 1)


def literal(_: Bars, value: Any) -> pl.Expr:
    """Return a constant as an expression.

    Parameters
    ----------
    _ : Bars
    value : object
    """
    return pl.lit(value)


def _operator(
    sign: str, slots: tuple[Slot, ...], gives: Gives, build: Callable[..., Any]
) -> Builtin:
    return Builtin(sign, "Operators", slots, gives, "", "", "", build)


def _compared(build: Callable[..., Any], mirrored: Callable[..., Any]) -> Callable[..., Any]:
    """Compare with columns on the left: Polars forgets a constant column's height on the right."""

    def compare(_: object, left: pl.Expr, right: pl.Expr) -> Any:
        swapped = not left.meta.root_names() and right.meta.root_names()
        return mirrored(right, left) if swapped else build(left, right)

    return compare


OPERATORS: Final[Mapping[str, Builtin]] = MappingProxyType(
    {
        each.name: each
        for each in (
            _operator("||", _BOOLS, "bool", lambda _, a, b: a | b),
            _operator("&&", _BOOLS, "bool", lambda _, a, b: a & b),
            _operator("==", _ANY, "bool", _compared(operator.eq, operator.eq)),
            _operator("!=", _ANY, "bool", _compared(operator.ne, operator.ne)),
            _operator("<", _NUMBERS, "bool", _compared(operator.lt, operator.gt)),
            _operator("<=", _NUMBERS, "bool", _compared(operator.le, operator.ge)),
            _operator(">", _NUMBERS, "bool", _compared(operator.gt, operator.lt)),
            _operator(">=", _NUMBERS, "bool", _compared(operator.ge, operator.le)),
            _operator("+", _NUMBERS, "number", lambda _, a, b: finite(a + b)),
            _operator("-", _NUMBERS, "number", lambda _, a, b: finite(a - b)),
            _operator("*", _NUMBERS, "number", lambda _, a, b: finite(a * b)),
            _operator("/", _NUMBERS, "number", lambda _, a, b: quotient(a, b)),
            _operator("%", _NUMBERS, "number", remainder),
            _operator("!x", (Slot("x", "bool"),), "bool", lambda _, a: ~a),
            _operator("-x", (Slot("x"),), "number", lambda _, a: -a),
            _operator(
                "if",
                (Slot("cond", "bool"), Slot("then", "any"), Slot("else", "any")),
                "same",
                chosen,
            ),
        )
    }
)
LITERAL: Final = _operator("literal", (), "same", literal)
SPREAD: Final = Builtin(
    "spread out", "Operators", (), "same", "", "", "", lambda _, a: a, role="window"
)
"""A constant on every bar, for windows over it."""
AS_OF: Final = Builtin("as of", "Operators", (), "same", "", "", "", literal, role="window")
"""A value of another stream's last closed bar; the plan looks it up."""
ACROSS: Final = _operator("rank_across", (), "number", ranked)
"""The share of pairs whose value is below one's own, equal ones by half; null where one is."""
