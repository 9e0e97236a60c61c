"""Imports point one way: infra, kernels < tasks < flows < deployments."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
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


ROOMS = {
    "infra/bars": set(),
    "infra/files": set(),
    "infra/clock": set(),
    "infra/topology": set(),
    "infra/pinning": {"infra/topology"},
    "infra/market": {"infra/bars", "infra/files", "infra/settings"},
    "infra/records": {"infra/files"},
    "infra/site": {"infra/records", "infra/settings"},
    "infra/servers": {"infra/files", "infra/records", "infra/site"},
    "infra/postgres": {
        "infra/bars",
        "infra/files",
        "infra/records",
        "infra/settings",
        "infra/site",
    },
    "infra/stores": {"infra/bars", "infra/files", "infra/postgres", "infra/settings"}
    | {"infra/site"},
    "infra/sources": {"infra/bars", "infra/market", "infra/settings", "infra/stores"},
    "infra/brokers": {"infra/bars", "infra/market", "infra/settings", "infra/sources"}
    | {"infra/stores", "infra/clock", "infra/postgres"},
    "infra/health": {"infra/files", "infra/postgres", "infra/records", "infra/stores"},
    "infra/backups": {"infra/files", "infra/postgres", "infra/servers", "infra/settings"}
    | {"infra/stores"},
    "tasks/intake": {"infra", "kernels", "tasks/folder", "tasks/parameters"},
    "tasks/research": {"infra", "kernels", "tasks/document", "tasks/folder", "tasks/version"},
    "tasks/strategy": {"infra", "kernels"},
    "tasks/rules": {"infra", "kernels", "tasks/document", "tasks/folder"}
    | {"tasks/research", "tasks/strategy"},
    "tasks/live": {"infra", "kernels", "tasks/document", "tasks/folder"}
    | {"tasks/research", "tasks/rules", "tasks/strategy"},
    "tasks/audit": {"infra", "kernels", "tasks/document", "tasks/folder"}
    | {"tasks/research", "tasks/rules", "tasks/strategy", "tasks/live"},
    "tasks/gate": {"infra", "kernels", "tasks/document", "tasks/folder", "tasks/version"}
    | {"tasks/research", "tasks/rules", "tasks/strategy", "tasks/live", "tasks/reports"}
    | {"tasks/audit"},
    "tasks/trading": {"infra"},
    "tasks/reports": {"infra", "kernels", "tasks"},
    "tasks/upkeep": {"infra", "kernels", "tasks/document", "tasks/folder"}
    | {"tasks/research", "tasks/steps"},
    "flows": {"infra", "kernels", "tasks"},
    "deployments/sep": {"infra", "kernels", "tasks", "flows", "deployments"},
}
"""What a room may import besides itself: a package, a room or a module, late imports included."""


def named_late(name: ast.expr) -> set[str]:
    """Return what `import_module` may be asked for: all modules of a folder for a name made up."""
    if isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
        folder = str(name.values[0].value).replace(".", "/")
        return {
            str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
            for path in (ROOT / folder).glob("*.py")
        }
    return {str(name.value)} if isinstance(name, ast.Constant) else set()


def modules(path: Path) -> set[str]:
    """Return what of ours a file imports, as paths: `infra/market/quotes`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= named_late(node.args[0])
    return {name.replace(".", "/") for name in found if name.partition(".")[0] in OURS}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_what_they_may(room: str) -> None:
    place = ROOT / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    allowed = (room, "infra/errors", "infra/waiting", *ROOMS[room])
    wrong = {
        str(path.relative_to(ROOT)): sorted(strange)
        for path in files
        if (
            strange := {
                name
                for name in modules(path)
                if not any(f"{name}/".startswith(f"{way}/") for way in allowed)
            }
        )
    }
    assert wrong == {}


def test_trading_knows_neither_prefect_nor_research() -> None:
    files = sorted((ROOT / "tasks" / "trading").rglob("*.py"))
    assert files
    assert [path.name for path in files if "prefect" in imports(path)] == []


def test_no_circle() -> None:
    """Every module of ours, late imports included, comes after all that it imports."""
    known = {
        str(path.relative_to(ROOT).with_suffix("")).removesuffix("/__init__"): path
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
    }
    graph = {
        name: {
            target
            for used in modules(path)
            for target in (used, used.rpartition("/")[0])
            if target in known and target != name
        }
        for name, path in known.items()
    }
    assert list(TopologicalSorter(graph).static_order())


def test_a_long_file_says_why() -> None:
    long = {
        str(path.relative_to(ROOT)): ast.get_docstring(ast.parse(text)) or ""
        for path in ROOT.rglob("*.py")
        if not path.is_relative_to(ROOT / ".venv")
        and len((text := path.read_text()).splitlines()) > 400
    }
    assert [name for name, docstring in long.items() if "Long, because" not in docstring] == []
