"""A run that fails at a step is retried from there: what is finished is not done again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from deployments.environment import results_folder
from infra.servers import postgres
from infra.servers.process import log_path
from tests.deployments import scratch
from tests.stack import Stack


@pytest.fixture
def marks(stack: Stack, tmp_path: Path) -> Path:
    scratch.register(stack)
    return tmp_path


def test_a_step_that_raises(stack: Stack, marks: Path) -> None:
    (marks / "fail").touch()
    run = stack.begin("scratch/local", folder=str(marks))
    assert stack.wait(run) == "FAILED"
    assert scratch.counts(marks) == {"first": 1, "second": 1}
    (marks / "fail").unlink()
    assert stack.retry(run) == "COMPLETED"
    assert scratch.counts(marks) == {"first": 1, "second": 2, "store": 1}
    assert_results_are_json(stack)


def test_a_database_that_dies(stack: Stack, marks: Path) -> None:
    (marks / "wait").touch()
    run = stack.begin("scratch/local", folder=str(marks))
    wait_for(marks / "second", stack, run)
    stack.kill("postgres")
    (marks / "wait").unlink()
    assert stack.wait(run) == "FAILED"
    assert scratch.counts(marks) == {"first": 1, "second": 1, "store": 1}
    postgres.start(stack.home)
    assert stack.retry(run) == "COMPLETED"
    assert scratch.counts(marks) == {"first": 1, "second": 1, "store": 2}


def test_a_flow_process_that_dies(stack: Stack, marks: Path) -> None:
    (marks / "wait").touch()
    run = stack.begin("scratch/local", folder=str(marks))
    wait_for(marks / "second", stack, run)
    worker = stack.pids()["worker-local-gpu"]
    for process in stack.processes("worker-local-gpu"):
        if process.pid != worker:
            process.kill()
    assert stack.wait(run) == "CRASHED"
    wait_for_second_report(stack, run)
    (marks / "wait").unlink()
    assert stack.retry(run) == "COMPLETED"
    assert scratch.counts(marks) == {"first": 1, "second": 2, "store": 1}


def test_a_worker_that_dies(stack: Stack, marks: Path) -> None:
    (marks / "wait").touch()
    run = stack.begin("scratch/local", folder=str(marks))
    wait_for(marks / "second", stack, run)
    stack.kill("worker-local-gpu")
    stack.sep("up")
    assert stack.wait(run) == "CRASHED"
    (marks / "wait").unlink()
    assert stack.retry(run) == "COMPLETED"
    assert scratch.counts(marks) == {"first": 1, "second": 2, "store": 1}


def wait_for(path: Path, stack: Stack, run: str) -> None:
    """Wait until a step has begun."""
    stack.wait(run, "RUNNING")
    while not path.exists():
        assert stack.state(run) == "RUNNING"


def wait_for_second_report(stack: Stack, run: str) -> None:
    """Prefect's worker reports a dead process twice, six seconds apart, whatever came between."""
    log = log_path(stack.home, "worker-local-gpu")
    deadline = time.monotonic() + 30
    while log.read_text().count(f"'{run}' as crashed") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.3)


def assert_results_are_json(stack: Stack) -> None:
    files = [path for path in results_folder(stack.settings).rglob("*") if path.is_file()]
    assert len(files) >= 3
    for path in files:
        json.loads(path.read_bytes())
