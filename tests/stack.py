"""The whole system, started by `sep up` in a temporary `SEP_HOME`, for tests of what runs in it.

A test takes `stack`. However many do, it is started once a session, and stopped before the tests of
kernels and tasks or at the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from deployments import environment, parts
from deployments.api import Api
from infra.records import alive
from infra.servers import prefect
from infra.servers.process import MARK
from infra.settings import Settings
from tests.servers import empty_tables, with_prefect

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Stack:
    """A home, its servers and workers.

    Attributes
    ----------
    home : Path
        Its `SEP_HOME`.
    seconds : float
        What the first `sep up` took.
    screen : str
        What it printed.
    """

    home: Path
    seconds: float = field(default=0.0)
    screen: str = field(default="")

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, prefect_port=0)

    @property
    def api_url(self) -> str:
        found = prefect.address(self.home)
        assert found is not None, "the Prefect server is gone"
        return found

    @property
    def environment(self) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("SEP_", "PREFECT_"))}
        ours = {"SEP_HOME": str(self.home), "SEP_PREFECT_PORT": "0", "SEP_DATABASE_PATIENCE": "1"}
        return {**plain, **ours, "COLUMNS": "160"}

    def api(self) -> Api:
        return Api.of(self.settings, self.api_url)

    def sep(
        self, *arguments: str, check: bool = True, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the `sep` command."""
        command = [sys.executable, "-m", "deployments.sep.cli", *arguments]
        return self._run(command, check, {**self.environment, **(extra or {})})

    def appoint(self, model_id: str) -> None:
        """Put a model in force as champion, whatever a gate would say of it."""
        code = "import sys; from tasks.research.registry import appoint; "
        command = [sys.executable, "-c", code + "appoint(sys.argv[1], who='a test')", model_id]
        self._run(command, True, self.environment)

    def prefect(self, *arguments: str, check: bool = True) -> str:
        """Run the `prefect` command as a user would after `eval "$(sep env)"`."""
        variables = environment.client_environment(self.settings, self.api_url)
        command = [sys.executable, "-m", "prefect", *arguments]
        done = self._run(command, check, {**self.environment, **variables})
        return done.stdout if check else done.stdout + done.stderr

    def begin(self, deployment: str, **parameters: Any) -> str:
        """Ask for a flow run and return its id; `deployment` as in `backtest/local`."""
        with self.api() as api:
            found = api.get(f"/deployments/name/{deployment}")
            body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
            run = api.post(f"/deployments/{found['id']}/create_flow_run", body)
        return str(run["id"])

    def state(self, run: str) -> str:
        """Return the type of the flow run's state, such as `COMPLETED`."""
        with self.api() as api:
            return str(api.get(f"/flow_runs/{run}")["state_type"])

    def wait(self, run: str, *states: str, seconds: float = 300) -> str:
        """Wait until the flow run is in one of the states (any final one if left out)."""
        deadline = time.monotonic() + seconds
        while (state := self.state(run)) not in (states or FINAL):
            assert time.monotonic() < deadline, f"{run} is still {state}"
            time.sleep(0.3)
        return state

    def wait_until(self, holds: Callable[[], bool], *, seconds: float = 300) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to hold"
            time.sleep(0.2)

    def beats(self, run: str) -> bool:
        """Say whether the server has a sign of life of the flow run."""
        query = {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run}"]},
        }
        with self.api() as api:
            return bool(api.post("/events/filter", {"filter": query})["events"])

    def retry(self, run: str) -> str:
        """Retry a finished flow run by the command line, and wait for its new end."""
        self.prefect("flow-run", "retry", run)
        return self.wait(run)

    def pids(self) -> dict[str, int]:
        """Return the process id of every part that runs."""
        records = {name: alive(self.home, name) for name in self.names()}
        return {name: record.pid for name, record in records.items() if record}

    def processes(self, *names: str) -> list[psutil.Process]:
        """Return all processes of the named parts (all if none is named), flow runs included."""
        pids = [pid for name, pid in self.pids().items() if not names or name in names]
        marks = {f"{self.home}:{name}" for name in names or self.names()}
        found = {process.pid: process for pid in pids for process in family(pid)}
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) in marks:
                    found[process.pid] = process
            except psutil.Error:
                continue
        return list(found.values())

    def names(self) -> list[str]:
        """Return the names of all parts."""
        return [part.name for part in parts.parts(self.settings)]

    def empty(self) -> None:
        """Remove all bars and rows: whichever tests came before, they left none."""
        shutil.rmtree(self.home / "bars", ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SEP_HOME", str(self.home))
            empty_tables()

    def kill(self, *names: str) -> None:
        """Kill parts (all if none is named) and what they started, as a power cut does."""
        chosen = self.processes(*names)
        for process in chosen:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(chosen, timeout=10)

    def _run(
        self, command: list[str], check: bool, variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.home.parent, env=variables, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done


@pytest.fixture(scope="session")
def session_stack(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack") / "home")
    with_prefect(pytestconfig).callback(_rest, stack)
    try:
        begin = time.monotonic()
        stack.screen = stack.sep("up").stdout
        stack.seconds = time.monotonic() - begin
        yield stack
    finally:
        _stop(stack)


@pytest.fixture
def stack(session_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The running stack; `settings()` of the test process means it, too."""
    for name in [key for key in os.environ if key.startswith("SEP_")]:
        monkeypatch.delenv(name)
    for name, value in session_stack.environment.items():
        if name.startswith("SEP_"):
            monkeypatch.setenv(name, value)
    if len(session_stack.pids()) < len(session_stack.names()):
        session_stack.sep("up")
    return session_stack


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that descends from it."""
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.Error:
        return []


def _rest(stack: Stack) -> None:
    if stack.pids():
        stack.sep("down")


def _stop(stack: Stack) -> None:
    stack.sep("down")
