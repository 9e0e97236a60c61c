"""From text to items, by Lark: its grammar is a file of its own, its LALR parser needs no stack of
Python's, and what it raises says where and what was expected."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from tasks.strategy.language import syntax
from tasks.strategy.language.errors import DslError, Place, Source
from tasks.strategy.language.syntax import Script

MOST_CHARACTERS: Final = 32_768
MOST_DEPTH: Final = 100
"""How deeply expressions may stand in each other."""

GRAMMAR: Final = Path(__file__).with_name("grammar.lark")

_WORDS: Final = {
    "LBRACE": "{", "RBRACE": "}", "LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]",
    "SEMICOLON": ";", "COLON": ":", "COMMA": ",", "EQUAL": "=", "DOT": ".",
    "NAME": "a name", "NUMBER": "a number", "STRING": 'a "text"', "$END": "the end",
}  # fmt: skip
_OPERATORS: Final = {"OR", "AND", "EQUALITY", "RELATION", "SUM", "PRODUCT"}
_STARTS: Final = {"NOT", "MINUS", "TRUE", "FALSE", "IF", "WEIGHTED_SUM", "LPAR", "NUMBER", "STRING"}


def parse(text: str, name: str = "strategy.sep") -> Script:
    """Read a text.

    Parameters
    ----------
    text : str
    name : str
        What messages call it.

    Raises
    ------
    DslError
        If it is too long, too deep, or not in the grammar.
    """
    source = Source(name, text)
    if len(text) > MOST_CHARACTERS:
        raise DslError(f"{name}: {len(text):,} characters; {MOST_CHARACTERS:,} is the most")
    try:
        tree = _parser().parse(_without_first_line(text))
        items = _Builder(source).items(tree)
    except UnexpectedInput as error:
        raise _of(error, source) from None
    return Script(items, source)


def parser() -> Lark:
    """Return the parser, for those who want its tokens."""
    return _parser()


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(
        GRAMMAR.read_text(),
        parser="lalr",
        propagate_positions=True,
        maybe_placeholders=True,
    )


def _without_first_line(text: str) -> str:
    """Blank a line such as `#!/usr/bin/env sep`, so that places stay what they are."""
    if not text.startswith("#!"):
        return text
    first, end, rest = text.partition("\n")
    return " " * len(first) + end + rest


def _of(error: UnexpectedInput, source: Source) -> DslError:
    """Say what was found, and what could have stood there."""
    if isinstance(error, UnexpectedCharacters):
        place = Place(source, error.line, error.column)
        return DslError(f"{error.char!r} cannot stand here", place)
    if not isinstance(error, UnexpectedToken) or error.token.type == "$END":
        lines = source.text.split("\n")
        place = Place(source, len(lines), len(lines[-1]) + 1)
        expected = getattr(error, "expected", ())
        return DslError(f"the text ends in the middle of something{_expected(expected)}", place)
    place = Place(source, error.token.line or 1, error.token.column or 1)
    return DslError(f"unexpected {str(error.token)[:40]!r}{_expected(error.expected)}", place)


def _expected(terminals: Any) -> str:
    """Return "; expected ..." of terminals, those of an expression by one word."""
    left = set(terminals)
    words = []
    for all_of_them, word in ((_STARTS, "an expression"), (_OPERATORS, "an operator")):
        if all_of_them <= left:
            left -= all_of_them | ({"NAME"} if all_of_them is _STARTS else set())
            words.append(word)
    words += sorted(_WORDS.get(name, name.lower().strip("_")) for name in left)
    return f"; expected {' or '.join(words)}" if 0 < len(words) <= 8 else ""


class _Builder:
    """Makes items of Lark's tree, from its leaves on: without recursion, however deep it is."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def items(self, tree: Tree[Token]) -> tuple[syntax.Item, ...]:
        made: dict[int, Any] = {}
        for node in tree.iter_subtrees():
            if node.data == "start":
                continue
            parts = [made[id(part)] if isinstance(part, Tree) else part for part in node.children]
            make = getattr(self, f"_{node.data.rstrip('_')}")
            made[id(node)] = make(self._place(node), *parts)
        return tuple(made[id(part)] for part in tree.children)

    def _place(self, node: Tree[Token]) -> Place:
        return Place(self.source, node.meta.line, node.meta.column)

    def _over(self, place: Place, *inner: syntax.Expression) -> dict[str, Any]:
        """Return place and depth of an expression over others."""
        depth = 1 + max((each.depth for each in inner), default=0)
        if depth > MOST_DEPTH:
            raise DslError(f"expressions stand more than {MOST_DEPTH} deep in each other", place)
        return {"place": place, "depth": depth}

    # items

    def _stream(self, place: Place, name: str, pair: str, *options: tuple[str, str]) -> Any:
        return syntax.StreamItem(str(name), pair[1:-1], options, place=place)

    def _option(self, place: Place, name: str, value: str) -> tuple[str, str]:
        return str(name), value[1:-1]

    def _import(self, place: Place, path: str, *names: str) -> Any:
        return syntax.ImportItem(path[1:-1], tuple(map(str, names)), place=place)

    def _names(self, _: Place, *names: str) -> tuple[str, ...]:
        return tuple(map(str, names))

    def _function(self, place: Place, name: str, names: tuple[str, ...] | None, body: Any) -> Any:
        return syntax.FunctionItem(str(name), names or (), body, place=place)

    def _pattern(self, place: Place, name: str, parent: str | None, *rest: Any) -> Any:
        stream, members = rest[0], rest[1:]
        inherits = None if parent is None else str(parent)
        return syntax.PatternItem(str(name), inherits, stream, members, place=place)

    def _input(self, _: Place, name: str) -> str:
        return str(name)

    def _param(self, place: Place, name: str, *numbers: syntax.Number) -> Any:
        return syntax.ParamItem(str(name), *numbers, place=place)

    def _number(self, place: Place, *parts: Token) -> syntax.Number:
        one = self._literal(place, parts[-1])
        sign = -1 if len(parts) == 2 else 1
        return syntax.Number(sign * one.value, one.whole, place=place)

    def _binding(self, place: Place, name: str, value: Any) -> Any:
        return syntax.Binding(str(name), value, place=place)

    def _signal(self, place: Place, name: str, *fields: syntax.Field) -> Any:
        return syntax.SignalItem(str(name), fields, place=place)

    def _field(self, place: Place, name: str, value: Any) -> Any:
        return syntax.Field(str(name), value, place=place)

    # expressions

    def _literal(self, place: Place, token: Token) -> syntax.Number:
        value = float(token)
        if not math.isfinite(value):
            raise DslError(f"{str(token)[:40]} is too large a number", place)
        return syntax.Number(value, token.isdigit(), place=place)

    def _text(self, place: Place, token: Token) -> Any:
        return syntax.Text(token[1:-1], place=place)

    def _truth(self, place: Place, word: Token) -> Any:
        return syntax.Truth(word == "true", place=place)

    def _name(self, place: Place, token: Token) -> Any:
        return syntax.Name(str(token), place=place)

    def _member(self, place: Place, owner: Token, name: Token) -> Any:
        return syntax.Member(str(owner), str(name), place=place)

    def _call(self, place: Place, name: Token, arguments: Any, stream: str | None = None) -> Any:
        given = arguments or ()
        return syntax.Call(str(name), given, stream, **self._over(place, *given))

    def _member_call(self, place: Place, stream: Token, name: Token, arguments: Any) -> Any:
        return self._call(place, name, arguments, str(stream))

    def _arguments(self, _: Place, *given: Any) -> tuple[Any, ...]:
        return given

    def _group(self, _: Place, inner: Any) -> Any:
        return inner

    def _choice(self, place: Place, condition: Any, then: Any, other: Any) -> Any:
        over = self._over(place, condition, then, other)
        return syntax.If(condition, then, other, **over)

    def _weighted(self, place: Place, *terms: tuple[Any, Any]) -> Any:
        over = self._over(place, *(each for term in terms for each in term))
        return syntax.Weighted(terms, **over)

    def _term(self, _: Place, value: Any, weight: Any) -> tuple[Any, Any]:
        return value, weight

    def _unary(self, place: Place, operator: Token, operand: Any) -> Any:
        return syntax.Unary(str(operator), operand, **self._over(place, operand))

    def _binary(self, place: Place, left: Any, operator: Token, right: Any) -> Any:
        return syntax.Binary(str(operator), left, right, **self._over(place, left, right))

    _either = _both = _equality = _relation = _sum = _product = _binary
