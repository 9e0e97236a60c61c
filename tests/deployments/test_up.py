"""`sep up`, `sep status` and `sep down` with everything real."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from deployments.environment import worker_environment
from deployments.parts import parts
from deployments.workers import start
from infra.postgres import database
from infra.records import log_path
from infra.stores import cache
from tests.deployments import scratch
from tests.stack import Stack

ALL = {"postgres", "valkey", "prefect-server", "worker-local-gpu", "worker-droplet", "exits"}


def start_up(stack: Stack) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deployments.sep.cli", "up"]
    return subprocess.Popen(
        command,
        cwd=stack.home.parent,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_everything_runs_and_answers(stack: Stack) -> None:
    assert set(stack.pids()) == ALL
    assert stack.sep("status").stdout.count("runs") == len(ALL)
    database.migrate()
    client = cache.client()
    assert client is not None
    assert client.ping()
    assert f"UI    {stack.api_url.removesuffix('/api')}" in stack.screen


def test_second_up_finds_what_runs(stack: Stack) -> None:
    before = stack.pids()
    begin = time.monotonic()
    screen = stack.sep("up").stdout
    seconds = time.monotonic() - begin
    assert stack.pids() == before
    assert screen.count("found") == 3
    assert "unchanged" in screen
    assert seconds < 10  # 2.5 on an idle machine


def test_two_at_once_wait_for_each_other(stack: Stack) -> None:
    stack.kill("worker-droplet")
    both = [start_up(stack) for _ in range(2)]
    screens = [process.communicate(timeout=90)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], screens
    assert sum("another `sep` is at work" in screen for screen in screens) == 1
    assert set(stack.pids()) == ALL


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    addresses = {
        connection.laddr.ip
        for process in stack.processes()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::1"}
    assert addresses


def test_status_tells_what_died(stack: Stack) -> None:
    stack.kill("valkey")
    found = stack.sep("status", check=False)
    assert found.returncode == 1
    assert "stopped" in next(line for line in found.stdout.splitlines() if "Valkey" in line)
    stack.sep("up")
    assert stack.sep("status").returncode == 0


def test_new_settings_reach_the_worker(stack: Stack) -> None:
    plain = worker_environment(stack.settings, stack.api_url, role="executor")
    with stack.api() as api:
        assert start(stack.home, "droplet", api, plain, sole=True) == "found"
        changed = {**plain, "SEP_ENGINE": "cpu"}
        assert start(stack.home, "droplet", api, changed, sole=True) == "started"
        environment = psutil.Process(stack.pids()["worker-droplet"]).environ()
        assert environment["SEP_ENGINE"] == "cpu"
        assert start(stack.home, "droplet", api, plain, sole=True) == "started"


def test_a_crash_leaves_nothing_to_trip_over(stack: Stack, tmp_path: Path) -> None:
    scratch.register(stack)
    (tmp_path / "wait").touch()
    run = stack.begin("scratch/local", folder=str(tmp_path))
    stack.wait_until((tmp_path / "second").exists)
    stack.kill()
    half = start_up(stack)
    time.sleep(2.5)
    half.kill()
    half.communicate()
    stack.kill("prefect-server", "postgres")
    stack.sep("up")
    assert set(stack.pids()) == ALL
    assert stack.state(run) == "CRASHED"
    (tmp_path / "wait").unlink()
    assert stack.retry(run) == "COMPLETED"
    assert scratch.counts(tmp_path) == {"first": 1, "second": 2, "store": 1}


def test_down_ends_all_and_up_finds_all_again(stack: Stack, tmp_path: Path) -> None:
    scratch.register(stack)
    (tmp_path / "wait").touch()
    run = stack.begin("scratch/local", folder=str(tmp_path))
    stack.wait(run, "RUNNING")
    screen = stack.sep("down").stdout
    assert f"prefect flow-run retry {run}" in screen
    assert stack.processes() == []
    assert stack.sep("status").returncode == 0
    assert "did not run" in stack.sep("down").stdout
    assert "unchanged" in stack.sep("up").stdout
    assert stack.state(run) == "CRASHED"


def test_every_part_has_a_log(stack: Stack) -> None:
    for part in parts(stack.settings):
        assert log_path(stack.home, part.name).exists()
    screen = stack.sep("logs", "local-gpu", "-n", "500").stdout
    assert "Worker 'local-gpu@" in screen


@pytest.mark.parametrize("part", ["nonsense", "/etc/passwd"])
def test_no_such_log(stack: Stack, part: str) -> None:
    found = stack.sep("logs", part, check=False)
    assert found.returncode == 1
    assert "worker-droplet" in found.stderr
    assert "Traceback" not in found.stderr
