"""The `sep` command: help, errors, `doctor`, `env`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.main import get_command

from deployments.sep.cli import app
from deployments.sep.doctor import _topology, examine
from infra.settings import Settings
from infra.topology import Gpu, from_xml
from tests.infra.machines import FIRST, SECOND, TWO_NODES
from tests.stack import Stack

ON_SERVERS = ("up", "down", "status", "doctor", "logs", "env", "ui")
ON_TRADING = ("halt", "resume", "flatten", "exits", "accept", "statement", "live")
COMMANDS = (
    *ON_SERVERS, *ON_TRADING, "risk", "model", "instruments", "bars", "strategy", "audit",
    "report", "selftest", "sweep", "ingest", "backup", "restore",
)  # fmt: skip
SEP = (sys.executable, "-m", "deployments.sep.cli")


def run(*arguments: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("SEP_", "PREFECT_"))}
    environment = {**plain, "SEP_HOME": str(home), "COLUMNS": "200", **variables}
    command = [*SEP, *arguments]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)


def test_every_command_says_what_it_does_in_a_sentence() -> None:
    group = get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    assert set(commands) == {*COMMANDS, "demo", "simulate", "oanda"}
    for command in commands.values():
        assert command.help.endswith((".", '"$(sep env)"'))
        assert len(command.help) < 100


def test_help_is_quick_because_it_imports_nothing(tmp_path: Path) -> None:
    slow = ("prefect", "polars", "sqlalchemy", "numba", "psycopg", "httpx", "pydantic")
    look = f"import sys, deployments.sep.cli; print([m for m in {slow} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
    screen = run("--help", home=tmp_path)
    assert screen.returncode == 0
    assert all(command in screen.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of(command: str, tmp_path: Path) -> None:
    assert "Usage: " in run(command, "--help", home=tmp_path).stdout


def test_what_a_user_can_mend_is_no_traceback(tmp_path: Path) -> None:
    for arguments, variables, advice in (
        (("env",), {}, "start it with `sep up`"),
        (("logs",), {}, "`sep up` makes them"),
        (("backup",), {}, "start it with `sep up`"),
        (("restore", "nothing"), {"SEP_DATABASE_URL": "postgresql://x/y"}, "no whole backup"),
        (("status",), {"SEP_PREFECT_PORT": "minus one"}, "prefect_port"),
        (("up",), {"SEP_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}, ""),
    ):
        found = run(*arguments, home=tmp_path, **variables, **no_servers(arguments))
        assert found.returncode == 1
        assert found.stderr.startswith("sep: ")
        assert advice in found.stderr
        assert "Traceback" not in found.stderr


def no_servers(arguments: tuple[str, ...]) -> dict[str, str]:
    if arguments != ("up",):
        return {}
    return {
        "SEP_PREFECT_API_URL": "http://127.0.0.1:1/api",
        "SEP_VALKEY_URL": "redis://127.0.0.1:1",
    }


def test_status_without_up_is_no_failure(tmp_path: Path) -> None:
    found = run("status", home=tmp_path)
    assert found.returncode == 0
    assert found.stdout.count("stopped") == 6


def test_servers_of_others_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wanted").touch()
    found = run("status", home=tmp_path, SEP_VALKEY_URL="redis://:secret@127.0.0.1:1/0")
    assert found.returncode == 1
    assert "no answer" in found.stdout
    assert "redis://:***@127.0.0.1:1/0" in found.stdout


def test_doctor(stack: Stack) -> None:
    password = {"SEP_VALKEY_URL": "redis://:hunter2@127.0.0.1:1/0"}
    found = stack.sep("doctor", check=False, extra=password)
    lines = found.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "note", "problem"}
    topics = {line.split()[1]: line for line in lines}
    assert topics["Python"].startswith("ok")
    assert "cpu" in topics["engine"] or "gpu" in topics["engine"]
    assert topics["topology"].startswith("ok")
    assert topics["vector"].startswith("ok")
    assert topics["timescaledb"].startswith("note")
    assert topics["trading"].endswith("paper")
    assert topics["Valkey"].startswith("problem")
    assert "hunter2" not in found.stdout
    assert found.returncode == 1


def test_doctor_before_anything_runs(tmp_path: Path) -> None:
    findings = {finding.topic: finding for finding in examine(Settings(home=tmp_path / "new"))}
    assert [f.text for f in findings.values() if f.state == "problem"] == []
    assert findings["PostgreSQL"].advice == "`sep up` starts it"
    assert findings["SEP_ENGINE"].text.startswith("auto")


def test_doctor_says_that_a_token_is_set_and_not_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_OANDA_TOKEN", "hunter2")
    findings = {finding.topic: finding for finding in examine(Settings(home=tmp_path / "new"))}
    assert findings["SEP_OANDA_TOKEN"].text == "hidden (set)"
    assert "hunter2" not in str(findings)


def test_doctor_says_what_the_machine_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = from_xml(TWO_NODES.read_text(), here=True)
    lost = replace(two, gpus=(two.gpus[0], Gpu(SECOND, None)))
    monkeypatch.setattr("deployments.sep.doctor.read_topology", lambda: lost)
    monkeypatch.setattr("infra.pinning.pci_address", lambda _: FIRST)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {2, 3, 4})
    for settings, where in (
        (Settings(home=tmp_path), f"pinned to node 0 of GPU {FIRST}, CPUs 2-3"),
        (Settings(home=tmp_path, engine="cpu"), "no GPU in use: nothing to pin"),
        (Settings(home=tmp_path, pin="off"), "SEP_PIN=off: nothing is pinned"),
    ):
        found = [finding.text for finding in _topology(settings)]
        assert found == [f"{lost}; {where}", f"{FIRST} on node 0", f"{SECOND} on no single node"]


def test_doctor_names_this_machine(tmp_path: Path) -> None:
    line, *_ = _topology(Settings(home=tmp_path))
    assert line.topic == "topology"
    assert re.match(r"\d+ packages?, \d+ cores?, \d+ threads?, \d+ NUMA nodes?, ", line.text)


def test_env_makes_prefect_find_the_server(stack: Stack) -> None:
    shell = (
        f'eval "$({sys.executable} -m deployments.sep.cli env)"; echo $PREFECT_API_URL $SEP_HOME'
    )
    found = subprocess.run(
        ["sh", "-c", shell],
        env=stack.environment,
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == [stack.api_url, str(stack.home)]
    assert "signals/H1" in stack.prefect("deployment", "ls")
