"""The reference of the built-in functions, made of the registry."""

from __future__ import annotations

from typing import Final

from tasks.strategy.language.builtins import BUILTINS, GROUPS
from tasks.strategy.language.errors import DslError, nearest
from tasks.strategy.language.registry import Builtin, Slot

BEGIN: Final = "<!-- functions: python -m tasks.strategy.language.reference -->"
END: Final = "<!-- /functions -->"


def reference() -> str:
    """Return the tables of all functions, group by group, in Markdown."""
    parts = []
    for group, functions in GROUPS.items():
        head = ["| Function | What it says | Units | Warm-up | Nulls | Example |", "|" + "---|" * 6]
        parts.append("\n".join([f"### {group}", "", *head, *map(_row, functions)]))
    return "\n\n".join(parts)


def described(name: str) -> str:
    """Return all that is known of a function.

    Raises
    ------
    DslError
        If there is none of that name.
    """
    if name not in BUILTINS:
        raise DslError(f"there is no function {name}{nearest(name, BUILTINS)}")
    function = BUILTINS[name]
    lines = [
        f"{function.signature}: {function.says}",
        f"  gives     {function.gives}, {function.units}",
        f"  example   {function.example}",
        f"  warm-up   {function.warmup}",
        f"  nulls     {function.nulls}",
    ]
    return "\n".join(lines + [f"  {slot.name:<9} {_takes(slot)}" for slot in function.slots])


def listed() -> str:
    """Return a line for each function, group by group."""
    lines = []
    for group, functions in GROUPS.items():
        lines += ["", f"{group}", *(f"  {each.signature:<38} {each.says}" for each in functions)]
    return "\n".join(lines[1:])


def _row(function: Builtin) -> str:
    cells = (
        f"`{function.signature}`",
        function.says,
        function.units,
        function.warmup,
        function.nulls,
        f"`{function.example}`",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _takes(slot: Slot) -> str:
    kind = {"any": "a number or a bool", "bool": "a bool"}.get(slot.kind, f"a {slot.kind}")
    if not slot.constant:
        return kind
    if slot.choices:
        return f"one of {', '.join(slot.choices)}"
    if slot.kind == "string":
        return "the name of a signal"
    whole = "a whole number" if slot.whole else "a number"
    return f"{whole} from {slot.low:g} to {slot.high:g}, the same at every bar"


if __name__ == "__main__":
    print(reference())  # noqa: T201
