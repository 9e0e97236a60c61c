"""Nodes: what a program computes, each once, however often it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from infra.market.timeframes import bar_seconds
from tasks.strategy.language.builtins.operators import LITERAL
from tasks.strategy.language.errors import DslError, Place
from tasks.strategy.language.modules import Stream
from tasks.strategy.language.registry import Bars, Builtin, Kind

MOST_NODES: Final = 4_000
MOST_EARLIER: Final = 100_000
"""Bars that a program may look back."""

DTYPES: Final[Mapping[Kind, pl.DataType]] = MappingProxyType(
    {"number": pl.Float64(), "bool": pl.Boolean(), "string": pl.String()}
)


@dataclass(eq=False)
class Node:
    """A column to compute, or a constant.

    Attributes
    ----------
    function : Builtin
    arguments : tuple
        Nodes, and constants of constant slots.
    stream : str or None
        Whose bars it has a value for; None for a constant.
    kind : Kind
    earlier : Mapping of str to int
        Bars before the present one that it hangs on, by stream.
    number : int
        Its place in the graph: behind its arguments.
    """

    function: Builtin
    arguments: tuple[Any, ...]
    stream: str | None
    kind: Kind
    earlier: Mapping[str, int]
    number: int

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The arguments that are nodes."""
        return tuple(each for each in self.arguments if isinstance(each, Node))


class Graph:
    """All nodes of a program; equal ones are one."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self.streams = streams
        self.nodes: list[Node] = []
        self._known: dict[tuple[Any, ...], Node] = {}
        self._values: dict[int, Any] = {}

    def literal(self, value: float | bool | str | None, kind: Kind = "number") -> Node:
        """Return the node of a constant.

        Parameters
        ----------
        value : float, bool, str or None
        kind : Kind
            Of null; that of others is known.
        """
        kinds: dict[type, Kind] = {bool: "bool", str: "string", float: "number"}
        return self.add(LITERAL, (value,), None, kinds.get(type(value), kind), None)

    def add(
        self,
        function: Builtin,
        arguments: tuple[Any, ...],
        stream: str | None,
        kind: Kind,
        place: Place | None,
    ) -> Node:
        """Return the node of a function's value.

        Parameters
        ----------
        function : Builtin
        arguments : tuple
        stream : str or None
        kind : Kind
        place : Place or None
            For messages.

        Raises
        ------
        DslError
            If the program becomes too large, or looks back too far.
        """
        words = (
            each.number if isinstance(each, Node) else (type(each), each) for each in arguments
        )
        nodes = [isinstance(each, Node) for each in arguments]
        key = (function.name, function.group, stream, kind, *nodes, *words)
        if key not in self._known:
            if len(self.nodes) >= MOST_NODES:
                raise DslError(f"the program has more than {MOST_NODES:,} parts", place)
            earlier = self._earlier(function, arguments, stream, place)
            node = Node(function, arguments, stream, kind, earlier, len(self.nodes))
            self._known[key] = node
            self.nodes.append(node)
        return self._known[key]

    def value(self, node: Node) -> Any:
        """Return the value of a constant; None for null."""
        if node.function is LITERAL:
            return node.arguments[0]
        if node.number not in self._values:
            parts = [
                self._literal(each) if isinstance(each, Node) else each for each in node.arguments
            ]
            built = node.function.build(Bars(), *parts)
            self._values[node.number] = pl.select(built).item()
        return self._values[node.number]

    def _literal(self, node: Node) -> pl.Expr:
        return pl.lit(self.value(node), dtype=DTYPES[node.kind])

    def _earlier(
        self, function: Builtin, arguments: tuple[Any, ...], stream: str | None, place: Place | None
    ) -> dict[str, int]:
        if stream is None:
            return {}
        own = function.earlier(*(None if isinstance(each, Node) else each for each in arguments))
        needs = {stream: 0}
        for node in (each for each in arguments if isinstance(each, Node)):
            for name, count in node.earlier.items():
                needs[name] = max(needs.get(name, 0), count)
        total = {name: count + self._bars(own, stream, name) for name, count in needs.items()}
        if max(total.values()) > MOST_EARLIER:
            raise DslError(f"this looks back more than {MOST_EARLIER:,} bars", place)
        return total

    def _bars(self, count: int, stream: str, other: str) -> int:
        """Return how many of another stream's bars begin within so many of one stream's."""
        if stream == other or count == 0:
            return count
        length, others = (bar_seconds(self.streams[name].timeframe) for name in (stream, other))
        return -(-count * length // others) + 1
