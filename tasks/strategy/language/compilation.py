"""From a project to what is computed of its signals and patterns, for given parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tasks.strategy.language import syntax
from tasks.strategy.language.builtins import BUILTINS
from tasks.strategy.language.calls import constant
from tasks.strategy.language.elaboration import SIDE_OF, Elaborator, Scope
from tasks.strategy.language.errors import DslError, nearest
from tasks.strategy.language.graph import Graph, Node
from tasks.strategy.language.modules import Project
from tasks.strategy.language.registry import Kind, Slot
from tasks.strategy.language.syntax import SignalItem

ACTIONS: Final = ("BUY", "SELL", "CLOSE")
FIELDS: Final = (
    "trigger", "confidence", "action", "stop", "target", "horizon", "size", "weekend",
)  # fmt: skip
MOST_HORIZON: Final = 100_000
_NEEDED: Final = {"CLOSE": ("trigger",)}
_MAY: Final = {"CLOSE": ("trigger", "action")}
_KINDS: Final[dict[str, Kind]] = {"trigger": "bool", "weekend": "bool"}


@dataclass(frozen=True)
class Signal:
    """What is computed of a signal.

    Attributes
    ----------
    name, action : str
    side : str or None
        None for CLOSE.
    trigger : Node
    stop, target, size, confidence : Node or None
    horizon : int or None
    weekend : bool
    texts : dict of str to syntax.Expression
        Its fields as they are written.
    """

    name: str
    action: str
    side: str | None
    trigger: Node
    stop: Node | None
    target: Node | None
    size: Node | None
    confidence: Node | None
    horizon: int | None
    weekend: bool
    texts: Mapping[str, syntax.Expression]

    @property
    def roots(self) -> tuple[Node, ...]:
        """The nodes that are there."""
        each = (self.trigger, self.stop, self.target, self.size, self.confidence)
        return tuple(node for node in each if node is not None)


@dataclass(frozen=True)
class Compiled:
    """A program for one set of parameters.

    Attributes
    ----------
    graph : Graph
    signals : tuple of Signal
    members : dict of str to Node
        What patterns name, by `pattern.name`, each on its own bars.
    """

    graph: Graph
    signals: tuple[Signal, ...]
    members: Mapping[str, Node]


def compiled(project: Project, parameters: Mapping[str, float]) -> Compiled:
    """Check a project and return what it computes.

    Parameters
    ----------
    project : Project
    parameters : Mapping of str to float

    Raises
    ------
    DslError
        If anything in it is unknown, missing or of the wrong kind.
    """
    fields = {item.name: _fields(item) for item in project.signals}
    actions = {item.name: _action(item, fields[item.name]) for item in project.signals}
    rules = {name: SIDE_OF[action] for name, action in actions.items() if action in SIDE_OF}
    maker = Elaborator(project, parameters, rules)
    members = {
        f"{pattern.name}.{name}": maker.member(pattern, name)
        for pattern in project.patterns.values()
        for name in pattern.members
    }
    for module in (project.main, *project.modules.values()):
        _check_functions(module.functions.values())
    made = (_signal(maker, item, fields[item.name], actions[item.name]) for item in project.signals)
    return Compiled(maker.graph, tuple(made), members)


def _fields(item: SignalItem) -> dict[str, syntax.Expression]:
    fields: dict[str, syntax.Expression] = {}
    for field in item.fields:
        if field.name not in FIELDS:
            hint = nearest(field.name, FIELDS)
            raise DslError(f"a signal has no {field.name}{hint}", field.place)
        if field.name in fields:
            raise DslError(f"signal {item.name} has {field.name} twice", field.place)
        fields[field.name] = field.value
    return fields


def _action(item: SignalItem, fields: Mapping[str, syntax.Expression]) -> str:
    if (said := fields.get("action")) is None:
        raise DslError(f"signal {item.name} has no action: BUY, SELL or CLOSE", item.place)
    if not isinstance(said, syntax.Name) or said.name not in ACTIONS:
        hint = nearest(getattr(said, "name", "").upper(), ACTIONS)
        raise DslError(f"an action is BUY, SELL or CLOSE{hint}", said.place)
    for name in _NEEDED.get(said.name, ("trigger", "stop", "horizon")):
        if name not in fields:
            raise DslError(f"signal {item.name} has no {name}", item.place)
    for name, value in fields.items():
        if name not in _MAY.get(said.name, FIELDS):
            raise DslError(f"a signal that closes has no {name}", value.place)
    return said.name


def _signal(
    maker: Elaborator, item: SignalItem, fields: Mapping[str, syntax.Expression], action: str
) -> Signal:
    side = SIDE_OF.get(action)
    place: dict[str, Any] = {"signal": item.name, "side": side} if side else {}
    scope = Scope(maker.project.base.name, maker.project.main, **place)
    stop = _node(maker, "stop", fields, scope)
    sized = Scope(scope.stream, scope.module, **place, stop=stop)
    trigger = _node(maker, "trigger", fields, scope)
    assert trigger is not None
    return Signal(
        item.name,
        action,
        side,
        trigger,
        stop,
        _node(maker, "target", fields, scope),
        _node(maker, "size", fields, sized),
        _node(maker, "confidence", fields, scope),
        _horizon(maker, fields, scope),
        _weekend(maker, fields, scope),
        fields,
    )


def _node(
    maker: Elaborator, name: str, fields: Mapping[str, syntax.Expression], scope: Scope
) -> Node | None:
    if name not in fields:
        return None
    node, kind = maker.node(fields[name], scope), _KINDS.get(name, "number")
    if node.kind != kind:
        wanted = "true or false" if kind == "bool" else "a number"
        raise DslError(f"{name} is {wanted}", fields[name].place)
    return node


def _horizon(
    maker: Elaborator, fields: Mapping[str, syntax.Expression], scope: Scope
) -> int | None:
    if (node := _node(maker, "horizon", fields, scope)) is None:
        return None
    slot = Slot("horizon", constant=True, whole=True, low=1, high=MOST_HORIZON)
    place = fields["horizon"].place
    return int(constant(maker.graph, "a signal", slot, node, place))


def _weekend(maker: Elaborator, fields: Mapping[str, syntax.Expression], scope: Scope) -> bool:
    if (node := _node(maker, "weekend", fields, scope)) is None:
        return False
    slot = Slot("weekend", "bool", constant=True, low=0, high=1)
    return bool(constant(maker.graph, "a signal", slot, node, fields["weekend"].place))


def _check_functions(functions: Iterable[tuple[syntax.FunctionItem, Any]]) -> None:
    """Refuse unknown names in functions, whether or not anything calls them."""
    for item, module in functions:
        for part in syntax.walk(item.body):
            if isinstance(part, syntax.Name) and part.name not in item.parameters:
                hint = nearest(part.name, item.parameters)
                raise DslError(
                    f"function {item.name} has no parameter {part.name}{hint}", part.place
                )
            if isinstance(part, syntax.Call):
                known = [*BUILTINS, *module.functions]
                if part.name not in known:
                    hint = nearest(part.name, known)
                    raise DslError(f"there is no function {part.name}{hint}", part.place)
                if part.name == item.name:
                    raise DslError(f"function {item.name} needs itself", part.place)


def reachable(roots: Iterable[Node]) -> list[Node]:
    """Return nodes and all that they are computed from, arguments first."""
    found: dict[int, Node] = {}
    rest = list(roots)
    while rest:
        node = rest.pop()
        if node.number not in found:
            found[node.number] = node
            rest.extend(node.nodes)
    return [found[number] for number in sorted(found)]
