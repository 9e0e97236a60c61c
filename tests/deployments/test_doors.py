"""Who may ask for what: attacks on a running stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from deployments.pools import POOLS, REFUSED, ensure_pools
from infra.servers import prefect
from tests.deployments import scratch
from tests.stack import Stack

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone becomes another user")
OPEN = {name: {"type": "string", "title": name} for name in REFUSED}


def test_a_run_does_not_choose_what_the_worker_runs(stack: Stack, tmp_path: Path) -> None:
    scratch.register(stack)
    planted = tmp_path / "planted"
    chosen = {
        "command": f"{sys.executable} -c \"open({str(planted)!r}, 'w')\"",
        "env": {"PYTHONSTARTUP": str(planted), "PREFECT_API_URL": "http://127.0.0.1:9/api"},
        "working_dir": str(tmp_path),
    }
    marks = tmp_path / "marks"
    marks.mkdir()
    with stack.api() as api:
        found = api.get("/deployments/name/scratch/local")
        body = {"parameters": {"folder": str(marks)}, "job_variables": chosen}
        run = api.post(f"/deployments/{found['id']}/create_flow_run", body)
    assert stack.wait(run["id"]) == "COMPLETED"
    assert not planted.exists()
    assert scratch.counts(marks) == {"first": 1, "second": 1, "store": 1}


def test_a_pool_that_was_open_is_closed(stack: Stack) -> None:
    with stack.api() as api:
        for pool in POOLS:
            template = api.get(f"/work_pools/{pool}")["base_job_template"]
            opened = json.loads(json.dumps(template))
            opened["job_configuration"] |= {"command": "{{ command }}", "env": "{{ env }}"}
            opened["variables"]["properties"] |= OPEN
            api.patch(f"/work_pools/{pool}", {"base_job_template": opened})
        ensure_pools(api)
        for pool in POOLS:
            template = api.get(f"/work_pools/{pool}")["base_job_template"]
            assert not set(REFUSED) & {*template["job_configuration"]}
            assert not set(REFUSED) & {*template["variables"]["properties"]}


@pytest.mark.parametrize("path", ["flow_runs/filter", "deployments/filter", "work_pools/filter"])
def test_a_stranger_is_not_answered(stack: Stack, path: str) -> None:
    assert httpx.post(f"{stack.api_url}/{path}", json={}, timeout=30).status_code == 401


@as_root
def test_another_user_cannot_read_the_password(stack: Stack) -> None:
    path = prefect.password_path(stack.home)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    look = subprocess.run(["cat", str(path)], capture_output=True, user="nobody")
    assert look.returncode != 0


def test_the_ui_is_told_with_its_password(stack: Stack) -> None:
    said = stack.sep("ui").stdout.splitlines()
    password = prefect.password_path(stack.home).read_text()
    assert said == [stack.api_url.removesuffix("/api"), f"password: {password}"]
    assert password not in stack.screen
    assert str(prefect.password_path(stack.home)) in stack.screen.replace("\n", "")


def test_the_command_prefect_is_let_in(stack: Stack) -> None:
    assert "local-gpu" in stack.prefect("work-pool", "ls")


def test_each_process_has_the_secrets_it_needs(stack: Stack) -> None:
    """A token of the shell reaches what reads prices or sends orders with it, and nothing else."""
    stack.kill()
    tokens = {"SEP_OANDA_TOKEN": "hunter2", "SEP_OANDA_TRADING_TOKEN": "hunter3"}
    stack.sep("up", extra={**tokens, "SEP_VALKEY_URL": ""})
    having = {
        token: {
            name
            for name, pid in stack.pids().items()
            if token in psutil.Process(pid).environ().values()
        }
        for token in tokens.values()
    }
    stack.kill("worker-local-gpu", "worker-droplet")
    stack.sep("up")
    assert having == {"hunter2": {"worker-local-gpu"}, "hunter3": {"worker-droplet", "exits"}}
    environment = psutil.Process(stack.pids()["exits"]).environ()
    assert not {name for name in environment if name.startswith("PREFECT_API")}
    assert "SEP_OANDA_TRADING_TOKEN" not in environment


def test_orders_are_not_sent_from_a_research_site(stack: Stack) -> None:
    extra = {"SEP_SITE": "research", "SEP_OANDA_TRADING_TOKEN": "hunter3"}
    found = stack.sep("up", check=False, extra=extra)
    assert found.returncode == 1
    assert "sends no orders: unset SEP_OANDA_TRADING_TOKEN" in found.stderr
    assert "hunter3" not in found.stderr + found.stdout


@as_root
def test_the_home_shows_nothing_to_another_user(stack: Stack, tmp_path: Path) -> None:
    """Logs, results, bars and the databases; folders that an earlier version left open, too."""
    for name in ("logs", "results", "prefect"):
        (stack.home / name).chmod(0o755)
    stack.home.chmod(0o755)
    stack.sep("up")
    known = [stack.home, *(path for path in stack.home.rglob("*") if not path.is_symlink())]
    look = ["find", *map(str, known), "-maxdepth", "0", "-readable"]
    shown = subprocess.run(look, capture_output=True, text=True, user="nobody").stdout
    assert shown.split() == []
    assert stack.home / "prefect" / "prefect.db" in known


def test_what_is_written_is_its_owners_alone(stack: Stack) -> None:
    logs = [path for path in (stack.home / "logs").iterdir() if path.stat().st_mode & 0o077]
    assert logs == []
    assert (stack.home / "prefect" / "prefect.db").stat().st_mode & 0o077 == 0
