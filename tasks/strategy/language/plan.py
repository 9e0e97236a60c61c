"""The order in which columns are computed: what looks at other bars becomes a column of its own,
and all columns of a level are one call of Polars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from infra.market.days import bar_end
from tasks.strategy.language.builtins.operators import AS_OF, LITERAL
from tasks.strategy.language.compilation import reachable
from tasks.strategy.language.graph import DTYPES, Node
from tasks.strategy.language.modules import Stream
from tasks.strategy.language.registry import Bars

MOST_INLINE: Final = 64
"""How large an expression of Polars may be before its inner part becomes a column."""

_REPEATS: Final = 3
"""How often a function's expression may repeat an argument: `finite` asks and then takes it."""


@dataclass(frozen=True)
class Plan:
    """Nodes in the order of their computation.

    Attributes
    ----------
    roots : tuple of Node
    levels : tuple of tuple of Node
        Nodes that become columns; each hangs on those of earlier levels alone.
    last : dict of int to int
        The level after which nobody asks for a column any more, by the node's number.
    """

    roots: tuple[Node, ...]
    levels: tuple[tuple[Node, ...], ...]
    last: Mapping[int, int]


def plan(roots: Sequence[Node]) -> Plan:
    """Order what roots are computed from.

    Parameters
    ----------
    roots : sequence of Node
    """
    nodes = reachable(roots)
    own = _columns(nodes, {node.number for node in roots})
    level: dict[int, int] = {}
    last: dict[int, int] = {}
    levels: list[list[Node]] = []
    uses: dict[int, set[int]] = {}
    for node in nodes:
        inner = set().union(*(uses[each.number] for each in node.nodes)) if node.nodes else set()
        if node.number not in own:
            uses[node.number] = inner
            continue
        uses[node.number] = {node.number}
        mine = level[node.number] = 1 + max((level[each] for each in inner), default=-1)
        levels.extend([] for _ in range(mine + 1 - len(levels)))
        levels[mine].append(node)
        last |= {each: max(last.get(each, 0), mine) for each in inner}
    kept = dict.fromkeys((node.number for node in roots), len(levels))
    return Plan(tuple(roots), tuple(map(tuple, levels)), last | kept)


def _columns(nodes: Sequence[Node], roots: set[int]) -> set[int]:
    """Return the numbers of nodes that become columns of their own."""
    used: dict[int, int] = {}
    for node in nodes:
        for each in set(node.nodes):
            used[each.number] = used.get(each.number, 0) + 1
    own: set[int] = set()
    size: dict[int, int] = {}
    for node in nodes:
        inner = (1 if each.number in own else size[each.number] for each in node.nodes)
        size[node.number] = 2 + _REPEATS * sum(inner)
        if node.number in roots or (
            node.stream is not None
            and (
                node.function.role == "window"
                or used.get(node.number, 0) > 1
                or size[node.number] >= MOST_INLINE
            )
        ):
            own.add(node.number)
    return own


class Run:
    """One computation of a plan over frames.

    Parameters
    ----------
    streams : Mapping of str to Stream
    frames : Mapping of str to polars.DataFrame
        Ascending by `timestamp`, by stream; the first stream's rows are the base.
    base : str
        The stream on whose rows constants stand.
    """

    def __init__(
        self, streams: Mapping[str, Stream], frames: Mapping[str, pl.DataFrame], base: str
    ) -> None:
        self.streams, self.base = streams, base
        self.frames = dict(frames)
        self._bars = {
            name: Bars(streams[name].pair, streams[name].timeframe, frozenset(frame.columns))
            for name, frame in frames.items()
        }
        self._rows: dict[tuple[str, str], pl.Series] = {}
        self._own: set[int] = set()

    def columns(self, made: Plan) -> dict[int, pl.Series]:
        """Return the column of each root, by its number.

        Parameters
        ----------
        made : Plan
        """
        for number, nodes in enumerate(made.levels):
            self._level(nodes)
            self._own |= {node.number for node in nodes}
            self._drop([one for one in self._own if made.last.get(one, -1) <= number])
        return {
            node.number: self.frames[node.stream or self.base][_name(node.number)]
            for node in made.roots
        }

    def _level(self, nodes: Sequence[Node]) -> None:
        fresh: dict[str, list[Any]] = {}
        for node in nodes:
            value = self._looked_up(node) if node.function is AS_OF else self._expression(node)
            typed = value.cast(DTYPES[node.kind]).alias(_name(node.number))
            fresh.setdefault(node.stream or self.base, []).append(typed)
        for stream, columns in fresh.items():
            self.frames[stream] = self.frames[stream].with_columns(columns)

    def _drop(self, numbers: Sequence[int]) -> None:
        names = [_name(number) for number in numbers]
        for stream, frame in self.frames.items():
            self.frames[stream] = frame.drop(names, strict=False)
        self._own -= set(numbers)

    def _expression(self, node: Node) -> pl.Expr:
        if node.function is LITERAL:
            return pl.lit(node.arguments[0], dtype=DTYPES[node.kind])
        given = self._bars[node.stream] if node.stream else Bars()
        return node.function.build(given, *map(self._argument, node.arguments))

    def _argument(self, argument: Any) -> Any:
        if not isinstance(argument, Node):
            return argument
        if argument.stream is not None and argument.number in self._own:
            return pl.col(_name(argument.number))
        return self._expression(argument)

    def _looked_up(self, node: Node) -> pl.Series:
        """Return another stream's value of its last bar that has closed when this bar closes."""
        (inner,) = node.nodes
        assert inner.stream is not None
        assert node.stream is not None
        frame = self.frames[inner.stream]
        value = frame.with_columns(self._argument(inner).alias("_"))["_"]
        return value.gather(self._closed(inner.stream, node.stream))

    def _closed(self, other: str, stream: str) -> pl.Series:
        """Return the row of a stream's last closed bar at the close of each of another's."""
        if (other, stream) not in self._rows:
            ends, closes = (
                bar_end(self.frames[name]["timestamp"], self.streams[name].timeframe)
                .dt.epoch("us")
                .to_numpy()
                for name in (other, stream)
            )
            row = np.searchsorted(ends, closes, side="right") - 1
            places = pl.Series(row, dtype=pl.Int64)
            self._rows[other, stream] = places.replace(-1, None)
        return self._rows[other, stream]


def _name(number: int) -> str:
    return f"_{number}"
