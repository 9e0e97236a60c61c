"""What a call is given: how many arguments, of which kinds, and the constants among them."""

from __future__ import annotations

from typing import Any

from tasks.strategy.language.errors import DslError, Place, nearest
from tasks.strategy.language.graph import Graph, Node
from tasks.strategy.language.registry import Builtin, Kind, Slot

_ARTICLE = {"number": "a number", "bool": "true or false", "string": "a text", "any": "a value"}


def slots_of(function: Builtin, count: int, place: Place) -> tuple[Slot, ...]:
    """Return the slots of so many arguments.

    Parameters
    ----------
    function : Builtin
    count : int
    place : Place

    Raises
    ------
    DslError
        If the function does not take so many.
    """
    slots = function.slots
    if function.many and count > len(slots):
        slots += (slots[-1],) * min(count - len(slots), 64)
    least = sum(not slot.optional for slot in slots)
    if not least <= count <= len(slots):
        takes = f"{least}" if least == len(slots) else f"{least} to {len(slots)}"
        takes = f"{least} or more" if function.many else takes
        call = f"{function.signature} takes {takes} argument{'s' * (takes != '1')}"
        raise DslError(f"{call}, not {count}", place)
    return slots


def check_kind(function: Builtin, slot: Slot, node: Node, place: Place) -> None:
    """Refuse an argument of another kind.

    Parameters
    ----------
    function : Builtin
    slot : Slot
    node : Node
    place : Place

    Raises
    ------
    DslError
        If it is.
    """
    right = {"number", "bool"} if slot.kind == "any" else {slot.kind}
    if function.name in ("==", "!="):
        right.add("string")
    if node.kind not in right:
        wanted, given = _ARTICLE[slot.kind], _ARTICLE[node.kind]
        raise DslError(f"{slot.name} of {function.name} is {wanted}, not {given}", place)


def same_kind(function: Builtin, nodes: list[Node], place: Place) -> Kind:
    """Return the kind that all "any" arguments of a call have.

    Parameters
    ----------
    function : Builtin
    nodes : list of Node
    place : Place

    Raises
    ------
    DslError
        If they differ.
    """
    kinds = sorted({node.kind for node in nodes})
    if len(kinds) > 1:
        both = " and ".join(_ARTICLE[kind] for kind in kinds)
        raise DslError(f"{function.name} needs values of one kind, not {both}", place)
    return nodes[0].kind


def constant(graph: Graph, function: str, slot: Slot, node: Node, place: Place) -> Any:
    """Return the value of a constant argument.

    Parameters
    ----------
    graph : Graph
    function : str
        For messages.
    slot : Slot
    node : Node
    place : Place

    Raises
    ------
    DslError
        If it is none, or not one that the slot takes.
    """
    what = f"{slot.name} of {function}"
    if node.stream is not None:
        raise DslError(f"{what} must be known before anything runs, not differ by bar", place)
    value = graph.value(node)
    if isinstance(value, str):
        if slot.choices and value not in slot.choices:
            hint = nearest(value, slot.choices) or f": choose one of {', '.join(slot.choices)}"
            raise DslError(f'{what} cannot be "{value}"{hint}', place)
        return value
    if value is None or (slot.whole and value != int(value)):
        raise DslError(f"{what} is a {'whole ' * slot.whole}number, not {_said(value)}", place)
    if not slot.low <= value <= slot.high:
        raise DslError(f"{what} is from {slot.low:g} to {slot.high:g}, not {value:g}", place)
    return int(value) if slot.whole else value


def _said(value: Any) -> str:
    return "null" if value is None else f"{value:g}"
