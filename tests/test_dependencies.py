"""Every package that the code imports is declared, late imports included."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("infra", "kernels", "tasks", "flows", "deployments")
EXTRAS = ("embedded", "sample", "gpu12")
BROUGHT = {"cupy_backends", "nvidia", "psycopg2", "typing_extensions"}
"""What comes with a package that is declared under another name."""


def imported() -> dict[str, str]:
    """Return the top-level names that are imported, each with a file that does."""
    found: dict[str, str] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found |= {name.partition(".")[0]: path.name for name in names}
    return {
        name: file
        for name, file in found.items()
        if name not in {*PACKAGES, *sys.stdlib_module_names, *BROUGHT}
    }


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return {re.split(r"[\[<>=;~! ]", line)[0].lower() for line in lines}


def test_what_is_imported_is_declared() -> None:
    brings, known = packages_distributions(), declared()
    missing = {
        name: file
        for name, file in imported().items()
        if not {distribution.lower() for distribution in brings.get(name, [name])} & known
    }
    assert missing == {}
