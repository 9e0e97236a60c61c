"""What is wrong with a strategy's text: where, the line itself, and the nearest name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from infra.errors import SepError

_SHOWN: Final = 120
"""Characters of a line that are shown."""


@dataclass(frozen=True)
class Source:
    """A text and what it is called in messages."""

    name: str
    text: str = field(repr=False)

    def line(self, number: int) -> str:
        """Return a line, counted from 1; nothing where there is none."""
        lines = self.text.split("\n")
        return lines[number - 1].rstrip("\r") if 0 < number <= len(lines) else ""


@dataclass(frozen=True)
class Place:
    """A line and a column of a source, both counted from 1."""

    source: Source
    line: int
    column: int


class DslError(SepError, ValueError):
    """A strategy's text is not a program, or asks for what is not there.

    Attributes
    ----------
    problem : str
        The message without its place.
    place : Place or None
    """

    def __init__(self, problem: str, place: Place | None = None) -> None:
        self.problem, self.place = problem, place
        super().__init__(problem if place is None else f"{_where(place)}: {problem}{_shown(place)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the known name most like another, or nothing.

    Parameters
    ----------
    name : str
    known : iterable of str
    """
    cutoff = 0.5 if len(name) <= 3 else 0.6
    found = get_close_matches(name[:64], sorted(set(known)), n=1, cutoff=cutoff)
    return f"; did you mean {found[0]}?" if found else ""


def _where(place: Place) -> str:
    return f"{place.source.name}:{place.line}:{place.column}"


def _shown(place: Place) -> str:
    line = place.source.line(place.line).expandtabs(1)
    start = max(0, place.column - 1 - _SHOWN // 2)
    caret = " " * (place.column - 1 - start) + "^"
    return f"\n    {line[start : start + _SHOWN]}\n    {caret}"
