"""From items to nodes: every name looked up, every kind checked, every function put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tasks.strategy.language import syntax
from tasks.strategy.language.builtins import BUILTINS, OPERATORS
from tasks.strategy.language.builtins.operators import ACROSS, AS_OF, SPREAD
from tasks.strategy.language.calls import check_kind, constant, same_kind, slots_of
from tasks.strategy.language.errors import DslError, Place, nearest
from tasks.strategy.language.graph import Graph, Node
from tasks.strategy.language.modules import Module, Pattern, Project
from tasks.strategy.language.parsing import MOST_DEPTH
from tasks.strategy.language.registry import Builtin, Slot

SIDE_OF: Final = {"BUY": "long", "SELL": "short"}


@dataclass(frozen=True)
class Scope:
    """Where an expression stands.

    Attributes
    ----------
    stream : str
        Whose bars it is of.
    module : Module
        Whose functions and patterns it can name.
    pattern : Pattern, optional
        Whose names it can use.
    given : Mapping of str to Node
        Parameters of the function.
    signal : str, optional
        The enclosing signal, if it has an exit rule.
    side : str, optional
        Of that signal.
    stop : Node, optional
        Of that signal.
    """

    stream: str
    module: Module
    pattern: Pattern | None = None
    given: Mapping[str, Node] = field(default_factory=dict)
    signal: str | None = None
    side: str | None = None
    stop: Node | None = None


class Elaborator:
    """Makes the nodes of a project's expressions.

    Parameters
    ----------
    project : Project
    parameters : Mapping of str to float
        By `pattern.param`; those left out have their defaults.
    rules : Mapping of str to str
        Signals with an exit rule, and their sides.
    """

    def __init__(
        self, project: Project, parameters: Mapping[str, float], rules: Mapping[str, str]
    ) -> None:
        self.project, self.parameters, self.rules = project, parameters, rules
        self.graph = Graph(project.streams)
        self._depth = 0
        self._members: dict[tuple[Any, ...], Node | None] = {}
        self._calls: dict[tuple[Any, ...], Node | None] = {}
        self._made_calls: dict[tuple[Any, ...], Node] = {}

    def node(self, expression: syntax.Expression, scope: Scope) -> Node:
        """Return the node of an expression.

        Parameters
        ----------
        expression : syntax.Expression
        scope : Scope

        Raises
        ------
        DslError
            If something in it is unknown, of the wrong kind, or too deep.
        """
        self._depth += 1
        if self._depth > MOST_DEPTH:
            problem = f"more than {MOST_DEPTH} deep, once names and functions are put in"
            raise DslError(problem, expression.place)
        try:
            made: Node = getattr(self, f"_{type(expression).__name__.lower()}")(expression, scope)
            return made
        finally:
            self._depth -= 1

    def member(self, pattern: Pattern, name: str, stream: str | None = None) -> Node:
        """Return the node of a pattern's name, on its own bars or another stream's.

        Parameters
        ----------
        pattern : Pattern
        name : str
        stream : str, optional

        Raises
        ------
        DslError
            If the name needs itself.
        """
        stream = stream or pattern.stream or self.project.base.name
        key = (pattern.name, name, stream)
        member, module = pattern.members[name]
        if key not in self._members:
            self._members[key] = None
            self._members[key] = self._made(member, Scope(stream, module, pattern))
        node = self._members[key]
        if node is None:
            raise DslError(f"{pattern.name}.{name} needs itself", member.place)
        return node

    def _made(self, member: syntax.ParamItem | syntax.Binding, scope: Scope) -> Node:
        if isinstance(member, syntax.Binding):
            return self.node(member.value, scope)
        assert scope.pattern is not None
        value = self.parameters.get(f"{scope.pattern.name}.{member.name}", member.default.value)
        return self.graph.literal(float(value))

    # expressions

    def _number(self, one: syntax.Number, _: Scope) -> Node:
        return self.graph.literal(float(one.value))

    def _text(self, one: syntax.Text, _: Scope) -> Node:
        return self.graph.literal(one.value)

    def _truth(self, one: syntax.Truth, _: Scope) -> Node:
        return self.graph.literal(one.value)

    def _name(self, one: syntax.Name, scope: Scope) -> Node:
        if one.name in scope.given:
            return self._checked(scope.given[one.name], scope, one.place)
        if scope.pattern is not None and one.name in scope.pattern.members:
            return self.member(scope.pattern, one.name, scope.stream)
        raise DslError(f"there is no {one.name}{self._instead(one.name, scope)}", one.place)

    def _instead(self, name: str, scope: Scope) -> str:
        """Return what may have been meant by a name that is not there."""
        if name in BUILTINS or name in scope.module.functions:
            return f": {name} is a function, write {name}()"
        owners = [p.name for p in scope.module.patterns.values() if name in p.members]
        if owners:
            return f" here: write {owners[0]}.{name}"
        own = scope.pattern.members if scope.pattern else ()
        return nearest(name, [*scope.given, *own, *scope.module.patterns, *BUILTINS])

    def _member(self, one: syntax.Member, scope: Scope) -> Node:
        pattern = scope.module.patterns.get(one.owner)
        if pattern is None and one.owner in self.project.streams:
            hint = f"write {one.owner}.{one.name}()"
            raise DslError(f"{one.owner} is a stream, and has functions: {hint}", one.place)
        if pattern is None:
            known = [*scope.module.patterns, *self.project.streams]
            raise DslError(f"there is no pattern {one.owner}{nearest(one.owner, known)}", one.place)
        if one.name not in pattern.members:
            hint = nearest(one.name, pattern.members)
            raise DslError(f"pattern {one.owner} has no {one.name}{hint}", one.place)
        return self._as_of(self.member(pattern, one.name), scope.stream, one.place)

    def _as_of(self, node: Node, stream: str, place: Place) -> Node:
        """Return a node as the bars of a stream see it: as of its last closed bar."""
        if node.stream in (None, stream):
            return node
        return self.graph.add(AS_OF, (node,), stream, node.kind, place)

    def _unary(self, one: syntax.Unary, scope: Scope) -> Node:
        return self._apply(OPERATORS[f"{one.operator}x"], (one.operand,), scope, one.place)

    def _binary(self, one: syntax.Binary, scope: Scope) -> Node:
        return self._apply(OPERATORS[one.operator], (one.left, one.right), scope, one.place)

    def _if(self, one: syntax.If, scope: Scope) -> Node:
        parts = (one.condition, one.then, one.other)
        return self._apply(OPERATORS["if"], parts, scope, one.place)

    def _weighted(self, one: syntax.Weighted, scope: Scope) -> Node:
        times, plus = OPERATORS["*"], OPERATORS["+"]
        terms = [self._apply(times, term, scope, one.place) for term in one.terms]
        total = terms[0]
        for term in terms[1:]:
            total = self._pointwise(plus, [total, term], scope, one.place)
        return total

    def _call(self, one: syntax.Call, scope: Scope) -> Node:
        stream = one.stream or scope.stream
        if stream not in self.project.streams:
            hint = nearest(stream, self.project.streams)
            raise DslError(f"there is no stream {stream}{hint}", one.place)
        inner = replace(scope, stream=stream)
        key = (id(one), *_same(inner))
        if key not in self._made_calls:
            self._made_calls[key] = self._function(one, inner)
        return self._as_of(self._made_calls[key], scope.stream, one.place)

    def _function(self, one: syntax.Call, scope: Scope) -> Node:
        if one.name in scope.module.functions:
            return self._own(one, scope)
        if one.name not in BUILTINS:
            known = [*BUILTINS, *scope.module.functions]
            raise DslError(f"there is no function {one.name}{nearest(one.name, known)}", one.place)
        return self._apply(BUILTINS[one.name], one.arguments, scope, one.place)

    def _own(self, one: syntax.Call, scope: Scope) -> Node:
        """Put in a function of the program."""
        item, module = scope.module.functions[one.name]
        if len(item.parameters) != len(one.arguments):
            takes = f"{one.name}({', '.join(item.parameters)})"
            raise DslError(f"write {takes}: it was given {len(one.arguments)}", one.place)
        nodes = [self.node(argument, scope) for argument in one.arguments]
        given = dict(zip(item.parameters, nodes, strict=True))
        inner = replace(scope, module=module, pattern=None, given=given)
        key = (id(item), *_same(inner))
        if key not in self._calls:
            self._calls[key] = None
            self._calls[key] = self.node(item.body, inner)
        if (node := self._calls[key]) is None:
            raise DslError(f"function {one.name} needs itself", one.place)
        return node

    def _apply(
        self, function: Builtin, given: tuple[syntax.Expression, ...], scope: Scope, place: Place
    ) -> Node:
        """Return the node of a built-in function or operator."""
        slots = slots_of(function, len(given), place)
        if function.special == "across":
            return self._across(function, given[0], scope)
        nodes = [self.node(each, scope) for each in given]
        arguments: list[Any] = []
        for slot, node, expression in zip(slots, nodes, given, strict=False):
            check_kind(function, slot, node, expression.place)
            value = (
                constant(self.graph, function.name, slot, node, expression.place)
                if slot.constant
                else self._checked(node, scope, expression.place)
            )
            arguments.append(value)
        arguments += [slot.default for slot in slots[len(given) :]]
        arguments = self._specially(function, arguments, scope, place)
        same = [n for slot, n in zip(slots, nodes, strict=False) if slot.kind == "any"]
        kind = same_kind(function, same, place) if same else function.gives
        if function.gives != "same":
            kind = function.gives
        return self._placed(function, arguments, kind, scope, place)

    def _pointwise(self, function: Builtin, nodes: list[Node], scope: Scope, place: Place) -> Node:
        return self._placed(function, list(nodes), function.gives, scope, place)

    def _placed(
        self, function: Builtin, arguments: list[Any], kind: Any, scope: Scope, place: Place
    ) -> Node:
        nodes = [each for each in arguments if isinstance(each, Node)]
        if function.role == "pointwise":
            fixed = all(node.stream is None for node in nodes)
            node = self.graph.add(
                function, tuple(arguments), None if fixed else scope.stream, kind, place
            )
            return self._folded(node) if fixed else node
        spread = tuple(
            self._spread(each, scope.stream, place) if isinstance(each, Node) else each
            for each in arguments
        )
        return self.graph.add(function, spread, scope.stream, kind, place)

    def _folded(self, node: Node) -> Node:
        """Return a constant as the literal that it comes to, which may be null."""
        return self.graph.literal(self.graph.value(node), node.kind)

    def _spread(self, node: Node, stream: str, place: Place) -> Node:
        """Return a node with a value at every bar."""
        if node.stream is not None:
            return node
        return self.graph.add(SPREAD, (node,), stream, node.kind, place)

    def _checked(self, node: Node, scope: Scope, place: Place) -> Node:
        if node.stream not in (None, scope.stream):
            problem = (
                f"this is of the bars of {node.stream}, where those of {scope.stream} are asked"
            )
            raise DslError(f"{problem}: name the stream in front of it", place)
        return node

    def _specially(
        self, function: Builtin, arguments: list[Any], scope: Scope, place: Place
    ) -> list[Any]:
        if function.special == "stop":
            if scope.stop is None:
                raise DslError(f"{function.name} is for the size of a signal with a stop", place)
            return [*arguments, scope.stop]
        if not function.special.startswith("rule"):
            return arguments
        side, rule = arguments
        if rule is None and scope.signal is None:
            call = f'{function.name}("{side or "long"}", "NAME OF A SIGNAL")'
            raise DslError(f"outside a signal the exit rule must be named: {call}", place)
        if rule is not None and rule not in self.rules:
            hint = nearest(rule, self.rules)
            raise DslError(f'no signal "{rule}" has an exit rule{hint}', place)
        named = str(rule or scope.signal)
        return [side or self.rules[named], named]

    def _across(self, function: Builtin, given: syntax.Expression, scope: Scope) -> Node:
        """Rank a value among those of all streams of the same timeframe."""
        own = self.project.streams[scope.stream]
        others = [
            each.name
            for each in self.project.streams.values()
            if each.timeframe == own.timeframe and each.pair != own.pair
        ]
        if not others:
            problem = f"{function.name} needs streams of other pairs with timeframe {own.timeframe}"
            raise DslError(problem, given.place)
        nodes = []
        for name in (own.name, *others):
            node = self.node(given, replace(scope, stream=name))
            check_kind(function, Slot("x"), node, given.place)
            nodes.append(
                self._as_of(
                    self._checked(node, replace(scope, stream=name), given.place),
                    own.name,
                    given.place,
                )
            )
        return self._placed(ACROSS, nodes, "number", scope, given.place)


def _same(scope: Scope) -> tuple[Any, ...]:
    """Return what two scopes have in common where an expression means the same in both."""
    given = tuple((name, node.number) for name, node in scope.given.items())
    stop = scope.stop.number if scope.stop else -1
    return id(scope.module), id(scope.pattern), scope.stream, scope.signal, stop, given
