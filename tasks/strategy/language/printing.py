"""From items to text: the one form that a program is known by, without comments."""

from __future__ import annotations

from functools import singledispatch
from typing import Final

from tasks.strategy.language import syntax
from tasks.strategy.language.syntax import Expression, Script

_BINDS: Final = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "%": 6,
}  # fmt: skip
_UNARY: Final = 7


def printed(script: Script) -> str:
    """Return a script as text; parsing it gives the script again."""
    return "\n\n".join(map(_item, script.items)) + "\n"


def expressed(expression: Expression) -> str:
    """Return an expression as text, with no parenthesis too many."""
    return _text(expression)


def number(value: float) -> str:
    """Return a number as it is written in a text: 20, 0.5, 1e-05."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


@singledispatch
def _item(item: syntax.Item) -> str:
    raise NotImplementedError(item)


@_item.register
def _(item: syntax.StreamItem) -> str:
    options = ", ".join(f'{name}: "{value}"' for name, value in item.options)
    return f'stream {item.name} from "{item.pair}" {{ {options} }}'


@_item.register
def _(item: syntax.ImportItem) -> str:
    return f'import "{item.path}" {{ {", ".join(item.names)} }}'


@_item.register
def _(item: syntax.FunctionItem) -> str:
    return f"function {item.name}({', '.join(item.parameters)}) = {_text(item.body)};"


@_item.register
def _(item: syntax.PatternItem) -> str:
    inherits = f" inherits {item.parent}" if item.parent else ""
    lines = [f"    input: {item.input}"] if item.input else []
    lines += [f"    {_member(member)}" for member in item.members]
    return "\n".join([f"pattern {item.name}{inherits} {{", *lines, "}"])


@_item.register
def _(item: syntax.SignalItem) -> str:
    lines = [f"    {field.name}: {_text(field.value)};" for field in item.fields]
    return "\n".join([f"signal {item.name} {{", *lines, "}"])


def _member(member: syntax.ParamItem | syntax.Binding) -> str:
    if isinstance(member, syntax.Binding):
        return f"{member.name} = {_text(member.value)};"
    default, low, high = (_literal(each) for each in (member.default, member.low, member.high))
    return f"param {member.name} = {default} in [{low}, {high}];"


def _literal(one: syntax.Number) -> str:
    return str(int(one.value)) if one.whole else repr(one.value)


@singledispatch
def _text(expression: Expression) -> str:
    raise NotImplementedError(expression)


@_text.register
def _(expression: syntax.Number) -> str:
    return _literal(expression)


@_text.register
def _(expression: syntax.Text) -> str:
    return f'"{expression.value}"'


@_text.register
def _(expression: syntax.Truth) -> str:
    return "true" if expression.value else "false"


@_text.register
def _(expression: syntax.Name) -> str:
    return expression.name


@_text.register
def _(expression: syntax.Member) -> str:
    return f"{expression.owner}.{expression.name}"


@_text.register
def _(expression: syntax.Call) -> str:
    given = ", ".join(map(_text, expression.arguments))
    return f"{expression.stream + '.' if expression.stream else ''}{expression.name}({given})"


@_text.register
def _(expression: syntax.Unary) -> str:
    return f"{expression.operator}{_within(expression.operand, _UNARY)}"


@_text.register
def _(expression: syntax.Binary) -> str:
    binds = _BINDS[expression.operator]
    left, right = _within(expression.left, binds), _within(expression.right, binds + 1)
    return f"{left} {expression.operator} {right}"


@_text.register
def _(expression: syntax.If) -> str:
    other = _text(expression.other)
    if not isinstance(expression.other, syntax.If):
        other = f"{{ {other} }}"
    return f"if ({_text(expression.condition)}) {{ {_text(expression.then)} }} else {other}"


@_text.register
def _(expression: syntax.Weighted) -> str:
    terms = ", ".join(f"{_text(value)}: {_text(weight)}" for value, weight in expression.terms)
    return f"weighted_sum {{ {terms} }}"


def _within(expression: Expression, binds: int) -> str:
    text = _text(expression)
    own = _BINDS[expression.operator] if isinstance(expression, syntax.Binary) else _UNARY
    return f"({text})" if own < binds else text
