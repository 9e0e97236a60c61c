"""Imports point one way: infra, kernels < tasks < flows < deployments."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "infra": {"infra"},
    "kernels": {"kernels"},
    "tasks": {"infra", "kernels", "tasks"},
    "flows": {"infra", "kernels", "tasks", "flows"},
    "deployments": {"infra", "kernels", "tasks", "flows", "deployments"},
}
OURS = {*MAY_IMPORT, "tests"}


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[0] if node.level else node.module or ""
            found.add(package.partition(".")[0])
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    wrong = {
        str(path.relative_to(ROOT)): sorted(names)
        for path in files
        if (names := imports(path) & OURS - MAY_IMPORT[package])
    }
    assert files
    assert wrong == {}


@pytest.mark.parametrize("package", ["prefect", "polars", "sqlalchemy", "pandera", "psycopg"])
def test_kernels_need_only_arrays(package: str) -> None:
    files = [*(ROOT / "kernels").rglob("*.py"), *(ROOT / "tests" / "kernels").rglob("*.py")]
    files += [ROOT / "tests" / "conftest.py", ROOT / "tests" / "naive.py"]
    assert [str(path.relative_to(ROOT)) for path in files if package in imports(path)] == []
