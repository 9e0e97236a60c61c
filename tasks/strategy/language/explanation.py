"""What a program looks at, needs and computes, in words."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.strategy.language.builtins.operators import LITERAL
from tasks.strategy.language.graph import Node
from tasks.strategy.language.plan import plan
from tasks.strategy.language.printing import number
from tasks.strategy.language.program import Program


def explained(program: Program) -> str:
    """Return inputs, warm-up, parameters, exit rules and compiled plan of a program."""
    parts = (_inputs, _parameters, _signals, _plan)
    return "\n".join(line for part in parts for line in part(program))


def _inputs(program: Program) -> Iterator[str]:
    needs = program.requires
    yield f"{program.name}, digest {program.digest[:12]}"
    for place, stream in enumerate(program.streams):
        what = "signals are of its bars" if place == 0 else "as of its last closed bar"
        earlier = f"{needs.bars[stream.name]:,} earlier bars"
        yield f"  stream {stream.name}: {stream.pair} {stream.timeframe}, {earlier}; {what}"
    yield f"  warm-up: {needs.warmup:,} bars of {program.streams[0].name}"
    for stream_name, metric, encoder in needs.metrics:
        yield f"  engine: {metric} of {stream_name}, encoder {encoder}"
    for rule in needs.rules:
        yield f"  model: what is believed of the trades of {rule}"


def _parameters(program: Program) -> Iterator[str]:
    for name, param in program.parameters.items():
        whole = ", whole" * param.whole
        yield f"  param {name} = {param.default:g} in [{param.low:g}, {param.high:g}]{whole}"


def _signals(program: Program) -> Iterator[str]:
    for rule in program.exit_rules:
        target = f", target {rule.target}" if rule.target else ""
        weekend = ", over weekends" * rule.weekend
        ends = f"stop {rule.stop}{target}, {rule.horizon} bars{weekend}"
        yield f"  signal {rule.signal}: {rule.side}, {ends}"
    for signal in program.compiled().signals:
        if signal.side is None:
            yield f"  signal {signal.name}: closes"


def _plan(program: Program) -> Iterator[str]:
    made = program.compiled()
    steps = plan([node for signal in made.signals for node in signal.roots])
    count = sum(map(len, steps.levels))
    yield f"  plan: {count} columns in {len(steps.levels)} levels"
    own = {node.number for level in steps.levels for node in level}
    for place, level in enumerate(steps.levels):
        for node in level:
            yield f"    {place}  {node.stream or 'all'}._{node.number} = {_formula(node, own)}"


def _formula(node: Node, own: set[int]) -> str:
    if node.function is LITERAL:
        value = node.arguments[0]
        return number(value) if isinstance(value, float) else str(value).lower()
    given = [_argument(each, own) for each in node.arguments]
    return f"{node.function.name}({', '.join(given)})"


def _argument(argument: object, own: set[int]) -> str:
    if not isinstance(argument, Node):
        return f'"{argument}"' if isinstance(argument, str) else f"{argument:g}"
    if argument.stream is not None and argument.number in own:
        return f"_{argument.number}"
    return _formula(argument, own)
