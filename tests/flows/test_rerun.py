"""A run that fails at a step is retried from there: what is finished is not done again."""

from __future__ import annotations

import json
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from deployments.environment import results_folder
from infra.servers import postgres
from tests.deployments import scratch
from tests.stack import Stack


@pytest.fixture
def marks(stack: Stack, tmp_path: Path) -> Path:
    scratch.register(stack)
    return tmp_path


@pytest.mark.proof
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
    stack.wait_until((marks / "second").exists)
    stack.kill("postgres")
    (marks / "wait").unlink()
    assert stack.wait(run) == "FAILED"
    assert scratch.counts(marks) == {"first": 1, "second": 1, "store": 1}
    postgres.start(stack.home)
    assert stack.retry(run) == "COMPLETED"
    assert scratch.counts(marks) == {"first": 1, "second": 1, "store": 2}


@pytest.mark.proof
def test_a_flow_process_that_dies(stack: Stack, marks: Path) -> None:
    (marks / "wait").touch()
    run = stack.begin("scratch/local", folder=str(marks))
    stack.wait_until((marks / "second").exists)
    kill_flow(stack, run)
    (marks / "wait").unlink()
    assert stack.retry(run) == "COMPLETED"
    assert scratch.counts(marks) == {"first": 1, "second": 2, "store": 1}


def test_a_worker_that_dies(stack: Stack, marks: Path) -> None:
    (marks / "wait").touch()
    run = stack.begin("scratch/local", folder=str(marks))
    stack.wait_until((marks / "second").exists)
    stack.kill("worker-local-gpu")
    stack.sep("up")
    assert stack.wait(run) == "CRASHED"
    (marks / "wait").unlink()
    assert stack.retry(run) == "COMPLETED"
    assert scratch.counts(marks) == {"first": 1, "second": 2, "store": 1}


@pytest.mark.slow
def test_the_backtest_goes_on_where_it_stopped(stack: Stack) -> None:
    assert stack.wait(stack.begin("ingest/local")) == "COMPLETED"
    run = stack.begin("backtest/local", pair="EUR_USD", timeframe="H1")
    stack.wait_until(lambda: len(steps(stack, run, "Completed")) >= 2)
    kill_flow(stack, run)
    done = steps(stack, run, "Completed")
    stack.prefect("flow-run", "retry", run)
    assert stack.wait(run) == "COMPLETED"
    assert done <= steps(stack, run, "Cached")
    assert_results_are_json(stack)


def steps(stack: Stack, run: str, state: str) -> set[str]:
    """Return the tasks of a flow run that ended in a state."""
    query = {
        "flow_runs": {"id": {"any_": [run]}},
        "task_runs": {"state": {"name": {"any_": [state]}}},
    }
    with stack.api() as api:
        found = api.post("/task_runs/filter", query)
    return {task["task_key"] for task in found}


def kill_flow(stack: Stack, run: str) -> None:
    """Kill the process of a flow run, and wait for the worker's first report of it alone."""
    for child in psutil.Process(stack.pids()["worker-local-gpu"]).children(recursive=True):
        child.kill()
    assert stack.wait(run) == "CRASHED"


def assert_results_are_json(stack: Stack) -> None:
    files = [path for path in results_folder(stack.settings).rglob("*") if path.is_file()]
    assert len(files) >= 3
    for path in files:
        json.loads(path.read_bytes())
