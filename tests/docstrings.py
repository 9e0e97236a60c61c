"""Holds docstrings to numpydoc: `python -m tests.docstrings [FILE...]`, a part of `make lint`.

A public function of two or more parameters says what each of them is, and what it raises itself.
Commands of `sep` are left out: their options describe themselves, and Typer shows the docstring.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from numpydoc.docscrape import NumpyDocString
from numpydoc.hooks.validate_docstrings import AstValidator
from numpydoc.validate import validate

ROOMS = ("kernels", "infra", "tasks", "flows", "deployments")
CODES = ("GL03", "GL06", "GL07", "GL08", "PR01", "PR02", "PR03", "PR04")
"""Of numpydoc: blank lines, sections, and parameters without entry, type or function."""
INTERNAL = ("AssertionError", "NotImplementedError")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def faults(path: Path) -> list[str]:
    """Return a line for each fault of a module's docstrings."""
    lines = []
    for function, ancestry in _public(ast.parse(path.read_text()), ()):
        try:
            found = _validate(path, function, ancestry) + _unsaid(function)
        except ValueError as error:  # a section twice
            found = [str(error).partition(" in ")[0]]
        lines += [f"{path}:{function.lineno}: {function.name}: {fault}" for fault in found]
    return lines


def _public(
    node: ast.AST, ancestry: tuple[ast.AST, ...]
) -> Iterator[tuple[Function, tuple[ast.AST, ...]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from _public(child, (*ancestry, node))
        if isinstance(child, Function) and not child.name.startswith("_"):
            parameters = _parameters(child)
            if len(parameters) >= 2 and not _is_command(child):
                yield child, (*ancestry, node)


def _parameters(function: Function) -> list[str]:
    signature = function.args
    all_of_them = signature.posonlyargs + signature.args + signature.kwonlyargs
    return [each.arg for each in all_of_them if each.arg not in ("self", "cls")]


def _is_command(function: Function) -> bool:
    return any(".command(" in ast.unparse(each) for each in function.decorator_list)


def _validate(path: Path, function: Function, ancestry: tuple[ast.AST, ...]) -> list[str]:
    result = validate(
        function.name, AstValidator, ast_node=function, filename=path, ancestry=list(ancestry)
    )
    return [f"{code} {text}" for code, text in result["errors"] if code in CODES]


def _unsaid(function: Function) -> list[str]:
    document = NumpyDocString(ast.get_docstring(function) or "")
    said = " ".join(entry.type for entry in document["Raises"])
    return [f"raises {name} without saying so" for name in _raised(function) if name not in said]


def _raised(function: Function) -> list[str]:
    """Return the names of what the function's own lines raise, not what it passes on."""
    calls = (
        node.exc.func
        for node in _own(function)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    )
    names = (ast.unparse(call).rpartition(".")[2] for call in calls)
    return sorted({name for name in names if name not in INTERNAL and name[0].isupper()})


def _own(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.Lambda):
            yield child
            yield from _own(child)


def main() -> int:
    """Print the faults of the files named, or of all; return how many there are."""
    named = [Path(name) for name in sys.argv[1:]]
    paths = named or sorted(path for room in ROOMS for path in Path(room).rglob("*.py"))
    lines = [line for path in paths if "migrations" not in path.parts for line in faults(path)]
    print(*lines, sep="\n", end="\n" if lines else "")
    return min(len(lines), 1)


if __name__ == "__main__":
    sys.exit(main())
