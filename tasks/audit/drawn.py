"""Random programs that are valid: what the detectors must let pass."""

from __future__ import annotations

import random
from typing import Final

from tasks.strategy.language.builtins import BUILTINS
from tasks.strategy.language.registry import Builtin, Slot

STREAMS: Final = {"m5": ("EUR_USD", "M5"), "g5": ("GBP_USD", "M5"), "m15": ("EUR_USD", "M15")}
SIGNALS: Final = ("first", "second", "third")
BY_KIND: Final[dict[str, list[Builtin]]] = {
    kind: [each for each in BUILTINS.values() if kind == each.gives or each.gives == "same"]
    for kind in ("number", "bool")
}
BOUNDS: Final = {"n": 40, "lag": 9, "fast": 20, "slow": 30}


class _Drawer:
    """Draws programs; the same seed draws the same one."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret is drawn
        self.names: dict[str, list[str]] = {"number": [], "bool": []}
        self.members: dict[str, list[str]] = {"number": [], "bool": []}
        self.functions: list[str] = []
        self.inside = ""

    def program(self) -> str:
        streams = [
            f'stream {name} from "{pair}" {{ timeframe: "{timeframe}" }}'
            for name, (pair, timeframe) in STREAMS.items()
        ]
        functions = [
            self.function(name) for name in ("twice", "between")[: self.random.randrange(3)]
        ]
        patterns = [self.pattern(name) for name in ("one", "two")[: self.random.randrange(1, 3)]]
        signals = [self.signal(name) for name in SIGNALS[: self.random.randrange(1, 4)]]
        self.inside = ""
        return "\n\n".join([*streams, *functions, *patterns, *signals]) + "\n"

    def function(self, name: str) -> str:
        self.inside, self.names = "function", {"number": ["a", "b"], "bool": []}
        text = f"function {name}(a, b) = {self.number(2)};"
        self.functions.append(name)
        return text

    def pattern(self, name: str) -> str:
        self.inside = "pattern"
        parent = self.random.choice(["", " inherits one"]) if name == "two" else ""
        if not parent:
            self.names = {"number": [], "bool": []}
        lines = [f"    input: {self.random.choice(list(STREAMS))}"]
        for letter in "xyz"[: self.random.randrange(1, 4)]:
            kind = self.random.choice(["number", "bool"])
            own = f"{letter}{name}"
            lines.append(f"    {own} = {self.value(kind, 3)};")
            self.names[kind].append(own)
            self.members[kind].append(f"{name}.{own}")
        if self.random.random() < 0.5:
            lines.append(f"    param p{name} = 0.5 in [0, 1];")
        return "\n".join([f"pattern {name}{parent} {{", *lines, "}"])

    def signal(self, name: str) -> str:
        self.inside = "signal"
        self.names = self.members
        action = self.random.choice(["BUY", "SELL"]) if name == "first" else self.random.choice(
            ["BUY", "SELL", "CLOSE"]
        )  # fmt: skip
        lines = [f"trigger: {self.boolean(3)};", f"action: {action};"]
        if action != "CLOSE":
            lines += [f"stop: abs({self.number(2)});", f"horizon: {self.random.randrange(1, 99)};"]
            optional = [
                f"target: {self.number(2)};",
                f"confidence: {self.number(1)};",
                f"size: {self.number(1)};",
                f"weekend: {self.random.choice(['true', 'false'])};",
            ]
            lines += self.random.sample(optional, self.random.randrange(3))
        return "\n".join([f"signal {name} {{", *(f"    {line}" for line in lines), "}"])

    def value(self, kind: str, depth: int) -> str:
        return self.number(depth) if kind == "number" else self.boolean(depth)

    def number(self, depth: int) -> str:
        choice = self.random.random()
        if depth <= 0 or choice < 0.1:
            return self.leaf()
        if choice < 0.3:
            sign = self.random.choice("+-*/%")
            return f"({self.number(depth - 1)} {sign} {self.number(depth - 1)})"
        if choice < 0.35:
            return f"-{self.number(depth - 1)}"
        if choice < 0.42:
            return self.choice("number", depth)
        if choice < 0.47:
            return (
                f"weighted_sum {{ {self.number(depth - 1)}: 0.5, {self.number(depth - 1)}: -1.5 }}"
            )
        if choice < 0.55 and self.functions:
            name = self.random.choice(self.functions)
            return f"{name}({self.number(depth - 1)}, {self.number(depth - 1)})"
        return self.call("number", depth)

    def boolean(self, depth: int) -> str:
        choice = self.random.random()
        if depth <= 0 or choice < 0.35:
            sign = self.random.choice(["<", "<=", ">", ">=", "==", "!="])
            return f"({self.number(depth - 1)} {sign} {self.number(depth - 1)})"
        if choice < 0.6:
            sign = self.random.choice(["&&", "||", "=="])
            return f"({self.boolean(depth - 1)} {sign} {self.boolean(depth - 1)})"
        if choice < 0.7:
            return f"!{self.boolean(depth - 1)}"
        if choice < 0.77:
            return self.choice("bool", depth)
        if choice < 0.82 and self.names["bool"]:
            return self.random.choice(self.names["bool"])
        return self.call("bool", depth)

    def choice(self, kind: str, depth: int) -> str:
        parts = self.boolean(depth - 1), self.value(kind, depth - 1), self.value(kind, depth - 1)
        return f"if ({parts[0]}) {{ {parts[1]} }} else {{ {parts[2]} }}"

    def leaf(self) -> str:
        if self.names["number"] and self.random.random() < 0.4:
            return self.random.choice(self.names["number"])
        return self.random.choice(
            [
                "close()",
                "volume()",
                "entropy()",
                "0.5",
                "2",
                "1e-3",
                "high()",
                "damped_value()",
                "open()",
            ]
        )

    def call(self, kind: str, depth: int) -> str:
        function = self.random.choice(BY_KIND[kind])
        if function.special in ("stop", "across") or (
            function.special.startswith("rule") and self.inside == "function"
        ):
            return self.leaf() if kind == "number" else "true"
        given = [self.argument(function, slot, kind, depth) for slot in function.slots]
        free = self.inside != "function" and not self.names["number"] and not self.names["bool"]
        stream = self.random.choice(["", *(f"{name}." for name in STREAMS)]) if free else ""
        return f"{stream}{function.name}({', '.join(given)})"

    def argument(self, function: Builtin, slot: Slot, kind: str, depth: int) -> str:
        if slot.kind == "string":
            named = slot.name == "rule"
            return f'"{"first" if named else self.random.choice(slot.choices)}"'
        if slot.constant and slot.whole:
            high = min(int(slot.high), BOUNDS.get(slot.name, 20))
            return str(self.random.randint(int(slot.low), high))
        if slot.constant:
            return str(round(self.random.uniform(max(slot.low, 0.1), min(slot.high, 3.0)), 2))
        if slot.kind == "any":
            same = kind if function.gives == "same" else "number"
            return self.value(same, depth - 1)
        return self.value(slot.kind, depth - 1)


def program(seed: int) -> str:
    """Draw the text of a program; the same seed draws the same one."""
    return _Drawer(seed).program()
