"""One root for all errors, drawn in one docstring."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from infra import errors
from infra.errors import SepError

ROOT = Path(__file__).parent.parent
PACKAGES = ("infra", "tasks", "flows", "deployments")
BUILT_IN = {"Exception", "RuntimeError", "ValueError", "LookupError", "OSError", "TypeError"}


def declared() -> dict[str, str]:
    """Return the public error classes, each with its module."""
    found = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            bases = [ast.unparse(base) for base in getattr(node, "bases", ())]
            if isinstance(node, ast.ClassDef) and {*bases} & (BUILT_IN | {"SepError"}):
                module = path.relative_to(ROOT).with_suffix("")
                found[node.name] = str(module).replace("/", ".")
    return {name: module for name, module in found.items() if not name.startswith("_")}


@pytest.mark.parametrize(("name", "module"), declared().items())
def test_every_error_has_the_root(name: str, module: str) -> None:
    assert issubclass(getattr(import_module(module), name), SepError)


def test_the_tree_is_the_one_there_is() -> None:
    assert errors.__doc__
    drawn = re.search(r"```\n(.*?)```", errors.__doc__, re.DOTALL)
    assert drawn
    names = {name for line in drawn[1].splitlines() for name in re.findall(r"[A-Z]\w+", line[:31])}
    assert names == {*declared()}
