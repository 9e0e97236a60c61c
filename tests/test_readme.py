"""README and CONTRIBUTING say what is there: settings, commands, flows, files, pictures."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import yaml
from typer.main import get_command

from deployments.sep.cli import app
from infra.market.table import shipped
from infra.settings import PROJECT, Settings

README = (PROJECT / "README.md").read_text()
CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text()


def settings_table() -> str:
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "unset" if field.default is None else str(field.default)
        default = default.replace(f"{PROJECT}/", "")
        rows.append(f"| `SEP_{name.upper()}` | `{default}` | {field.description} |")
    return "\n".join(rows)


def test_the_settings_table_is_that_of_the_settings() -> None:
    written = re.search(r"<!-- settings:.*?-->\n(.*?)\n<!-- /settings -->", README, re.DOTALL)
    assert written is not None
    assert written[1] == settings_table(), "paste:\n" + settings_table()


def test_it_counts_the_instruments_of_the_table() -> None:
    counted = re.search(r"sep instruments list .*# (\d+) are known", README)
    assert counted is not None
    assert int(counted[1]) == len(shipped())


def test_every_command_it_names_exists() -> None:
    commands = set(getattr(get_command(app), "commands"))  # noqa: B009 (untyped)
    named = set(re.findall(r"\bsep ([a-z]+)\b", README))
    assert named <= commands
    assert {"up", "down", "status", "doctor"} <= named


def test_every_make_target_it_names_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)\b", README + CONTRIBUTING))
    assert named <= make_targets() | {"for"}


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert {target for _, target, _ in lines} == make_targets()


def test_every_file_that_contributing_names_is_there() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.\w+)?)`", CONTRIBUTING))
    assert len(named) > 10
    assert [name for name in named if not (PROJECT / name).exists()] == []


def test_before_a_commit_runs_what_make_lint_does() -> None:
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    linted = re.search(r"^lint:.*\n((?:\t.*\n)+)", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert linted is not None
    for hook, line in zip(hooks, linted[1].splitlines(), strict=True):
        program = line.strip().removeprefix("$(BIN)/").split(" .")[0].removesuffix(" --check")
        assert hook["entry"].removeprefix(".venv/bin/").startswith(program)


def test_the_flows_are_those_of_prefect_yaml() -> None:
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+/\w+)` \| `([\w-]+)` \|", README, re.MULTILINE)
    named = {
        (flow, f"{flow}/{entry['name']}", entry["work_pool"]["name"])
        for entry in deployments
        for flow in [entry["entrypoint"].rpartition(":")[2]]
    }
    assert set(rows) == named


def test_its_pictures_and_links_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (PROJECT / target).is_file(), target


def test_the_layout_it_explains_is_the_one_there_is() -> None:
    named = re.findall(r"^([a-z]+)/ +\S", README, re.MULTILINE)
    assert set(named) == {"kernels", "infra", "tasks", "flows", "deployments", "tests"}
    assert all((PROJECT / name).is_dir() for name in named)


def test_the_licence_is_the_one_declared() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in (PROJECT / "LICENSE").read_text()
    assert "Apache-2.0" in README


def test_locks_hold_no_addresses() -> None:
    for lock in Path(PROJECT).glob("requirements*.lock"):
        assert "://" not in lock.read_text()
        assert "--index" not in lock.read_text()
