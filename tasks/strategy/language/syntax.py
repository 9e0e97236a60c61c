"""What a text consists of: items, and the expressions in them. Places are no part of equality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tasks.strategy.language.errors import Place, Source


@dataclass(frozen=True)
class _Placed:
    place: Place = field(compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class _Expression(_Placed):
    depth: int = field(compare=False, repr=False, kw_only=True, default=1)


@dataclass(frozen=True)
class Number(_Expression):
    """A number, and whether it is written without point and exponent."""

    value: float
    whole: bool = False


@dataclass(frozen=True)
class Text(_Expression):
    """A text in quotes."""

    value: str


@dataclass(frozen=True)
class Truth(_Expression):
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True)
class Name(_Expression):
    """A name of the pattern or function it stands in."""

    name: str


@dataclass(frozen=True)
class Member(_Expression):
    """`pattern.name`."""

    owner: str
    name: str


@dataclass(frozen=True)
class Call(_Expression):
    """`function(...)`, or `stream.function(...)`."""

    name: str
    arguments: tuple[Expression, ...]
    stream: str | None = None


@dataclass(frozen=True)
class Unary(_Expression):
    """`!x` or `-x`."""

    operator: str
    operand: Expression


@dataclass(frozen=True)
class Binary(_Expression):
    """`x operator y`."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class If(_Expression):
    """`if (condition) { then } else { other }`."""

    condition: Expression
    then: Expression
    other: Expression


@dataclass(frozen=True)
class Weighted(_Expression):
    """`weighted_sum { x: weight, ... }`."""

    terms: tuple[tuple[Expression, Expression], ...]


Expression: TypeAlias = (
    Number | Text | Truth | Name | Member | Call | Unary | Binary | If | Weighted
)


@dataclass(frozen=True)
class StreamItem(_Placed):
    """`stream name from "pair" { timeframe: "M5" }`."""

    name: str
    pair: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ImportItem(_Placed):
    """`import "file.sep" { names }`."""

    path: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class FunctionItem(_Placed):
    """`function name(parameters) = body;`."""

    name: str
    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True)
class ParamItem(_Placed):
    """`param name = default in [low, high];`."""

    name: str
    default: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class Binding(_Placed):
    """`name = expression;`."""

    name: str
    value: Expression


@dataclass(frozen=True)
class PatternItem(_Placed):
    """`pattern name inherits parent { input: stream; ... }`."""

    name: str
    parent: str | None
    input: str | None
    members: tuple[ParamItem | Binding, ...]


@dataclass(frozen=True)
class Field(_Placed):
    """`name: expression;` of a signal."""

    name: str
    value: Expression


@dataclass(frozen=True)
class SignalItem(_Placed):
    """`signal name { trigger: ...; ... }`."""

    name: str
    fields: tuple[Field, ...]


Item: TypeAlias = StreamItem | ImportItem | FunctionItem | PatternItem | SignalItem


@dataclass(frozen=True)
class Script:
    """A file's items, in their order."""

    items: tuple[Item, ...]
    source: Source = field(compare=False, repr=False)


def children(expression: Expression) -> Iterator[Expression]:
    """Yield the expressions that stand directly in one."""
    if isinstance(expression, Call):
        yield from expression.arguments
    elif isinstance(expression, Unary):
        yield expression.operand
    elif isinstance(expression, Binary):
        yield from (expression.left, expression.right)
    elif isinstance(expression, If):
        yield from (expression.condition, expression.then, expression.other)
    elif isinstance(expression, Weighted):
        for term in expression.terms:
            yield from term


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and all that stand in it."""
    rest = [expression]
    while rest:
        rest.extend(children(one := rest.pop()))
        yield one
