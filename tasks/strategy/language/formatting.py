"""One layout for all texts; comments stay, and so do line breaks within an expression."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from tasks.strategy.language.errors import DslError
from tasks.strategy.language.parsing import parse

INDENT: Final = "    "
_TOKEN: Final = re.compile(
    r"""(?P<first>\A\#![^\n]*) | (?P<line>//[^\n]*) | (?P<block>/\*.*?\*/) | (?P<string>"[^"\n]*")
    | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?) | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>\|\||&&|==|!=|<=|>=|[-+*/%!<>={}()\[\];:,.])""",
    re.VERBOSE | re.DOTALL,
)
_BEFORE_UNARY: Final = {*"({[,:=!<>+-*/%", "||", "&&", "==", "!=", "<=", ">=", "in"}
_TIGHT_BEFORE: Final = {*")],;:."}
_TIGHT_AFTER: Final = {"(", "[", "."}
_ONE_BY_ONE: Final = {"stream", "import", "function"}
"""Items that may follow their like without an empty line."""


class Token(NamedTuple):
    """A word of a text, how many line breaks stand before it, and the next word that is code."""

    kind: str
    text: str
    breaks: int
    following: str

    @property
    def is_comment(self) -> bool:
        """Whether it is no code."""
        return self.kind in ("line", "block", "first")


def formatted(text: str, name: str = "strategy.sep") -> str:
    """Return a text in the layout of all; what it means stays the same.

    Parameters
    ----------
    text : str
    name : str
        What messages call it.

    Raises
    ------
    DslError
        If it is not in the grammar.
    """
    script = parse(text, name)
    laid = _Layout()
    for token in _tokens(text):
        laid.add(token)
    result = "".join(laid.parts).strip("\n") + "\n"
    if parse(result, name) != script:
        raise DslError(f"{name}: its layout cannot be changed without its meaning")
    return result


def _tokens(text: str) -> list[Token]:
    tokens, end = [], 0
    for found in _TOKEN.finditer(text):
        breaks = text[end : found.start()].count("\n")
        tokens.append(Token(str(found.lastgroup), found[0].rstrip(), breaks, ""))
        end = found.end()
    following = ""
    for place in reversed(range(len(tokens))):
        tokens[place] = tokens[place]._replace(following=following)
        if not tokens[place].is_comment:
            following = tokens[place].text
    return tokens


Bracket = Literal["block", "inline", "round"]


@dataclass
class _Layout:
    """What has been written, and what stands open."""

    parts: list[str] = field(default_factory=list)
    open: list[Bracket] = field(default_factory=list)
    statement: list[str] = field(default_factory=list)
    item: str = ""
    code: Token | None = None
    last: Token | None = None
    unary: bool = False
    between: bool = True
    """Whether a statement has ended and none has begun."""

    def add(self, token: Token) -> None:
        """Write a token behind what stands between it and the one before."""
        self.parts.append(self._gap(token) + token.text)
        if not token.is_comment:
            self._follow(token)
        self.last = token

    def _gap(self, token: Token) -> str:
        if self.last is None:
            return ""
        if token.is_comment and token.breaks == 0 and self.last.kind not in ("line", "first"):
            return "  "
        if self.between:
            return self._new_statement(token)
        tight = not token.is_comment and token.text in _TIGHT_BEFORE
        if self.last.kind in ("line", "first") or (token.breaks and not tight):
            return "\n" + INDENT * (self.open.count("block") + 1)
        return "" if tight else self._space(token)

    def _new_statement(self, token: Token) -> str:
        closes = token.text == "}"
        opened = self.last is self.code and self.last is not None and self.last.text == "{"
        empty = not closes and not opened and (token.breaks > 1 or self._apart(token))
        depth = self.open.count("block") - closes
        return "\n" * (1 + empty) + INDENT * depth

    def _apart(self, token: Token) -> bool:
        """Whether an empty line belongs here even where none was."""
        assert self.last is not None
        if self.open or (self.last.is_comment and self.last is not self._trailing()):
            return False
        if token.is_comment:
            return self.item in ("pattern", "signal")
        return bool(self.item) and not (token.text == self.item and self.item in _ONE_BY_ONE)

    def _trailing(self) -> Token | None:
        """The last token if it is a comment behind code on its line."""
        return self.last if self.last is not None and self.last.breaks == 0 else None

    def _space(self, token: Token) -> str:
        """Return what stands between two words of a line."""
        assert self.code is not None
        before, text = self.code.text, token.text
        if self.last is not self.code:
            return " "
        if self.unary or before in _TIGHT_AFTER:
            return ""
        if text == "(" and self.code.kind == "name" and before != "if":
            return ""
        return " "

    def _follow(self, token: Token) -> None:
        text, before = token.text, self.code.text if self.code else ""
        if self.between and not self.open:
            self.item = text
        self.between = False
        self.unary = text in ("-", "!") and (self.unary or before in _BEFORE_UNARY)
        self.statement.append(text)
        if text in ("(", "["):
            self.open.append("round")
        elif text == "{":
            block = not self.open and self.item in ("pattern", "signal")
            self.open.append("block" if block else "inline")
            self._end(block)
        elif text in (")", "]", "}"):
            self.open.pop()
            self._end(text == "}" and not self.open and token.following != ";")
        elif text == ";" or (self.statement[:-1] == ["input", ":"] and token.following != ";"):
            self._end(True)
        self.code = token

    def _end(self, ended: bool) -> None:
        if ended:
            self.between = True
            self.statement = []
