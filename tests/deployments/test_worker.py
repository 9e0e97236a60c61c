"""The GPU's worker: the command `prefect`, moved to the GPU's node first."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.workers.base import BaseWorker

from deployments import worker_main
from deployments.pools import GPU_POOL
from deployments.worker_main import _KNOWN, report_crashes_once, take_trainings
from infra.topology import format_cpus, parse_cpus
from tests.infra.machines import FIRST, TWO_NODES, fake_cupy, policy_follows, with_hwloc

PREFECT = """
import subprocess, sys
look = "import os; print(*sorted(os.sched_getaffinity(0))); print(*open('/proc/self/numa_maps'))"
print(sys.argv[1:], end=" ", flush=True)
subprocess.run([sys.executable, "-c", look])
"""


STARTER = f"""
import runpy
start, runpy.run_module = runpy.run_module, lambda *_, **__: exec({PREFECT!r})
start("deployments.worker_main", run_name="__main__", alter_sys=True)
"""
PROGRAM = ("-m", "deployments.worker_main")


def worker(*arguments: str, program: tuple[str, str] = PROGRAM, **variables: str) -> str:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("SEP_", "HWLOC_"))}
    command = [sys.executable, *program, *arguments]
    environment = {**plain, **variables}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return found.stdout


def test_it_is_the_command_prefect() -> None:
    command = ("worker", "start", "--pool", GPU_POOL, "--help")
    first, _, rest = worker(*command, SEP_PIN="off").partition("\n")
    assert first == "topology: SEP_PIN=off: nothing is pinned"
    assert "--pool" in rest


def test_only_that_of_the_gpu_is_moved() -> None:
    assert "topology" not in worker("worker", "start", "--pool", "droplet", "--help")


def test_another_prefect_is_not_patched_blindly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def report(self: object, run: object) -> None: ...

    monkeypatch.setitem(_KNOWN, report, ("self", "flow_run", "message"))
    with pytest.raises(RuntimeError, match="report takes self, run: install the version of"):
        report_crashes_once()
    monkeypatch.setitem(worker_main._TAKING, report, ("self", "flow_run", "message"))
    with pytest.raises(RuntimeError, match="report takes self, run: install the version of"):
        take_trainings(1)


@with_hwloc
@pytest.mark.skipif(
    not os.sched_getaffinity(0) & {0, 1, 2, 3}, reason="CPUs 0 to 3 are not ours to use"
)
def test_its_flow_runs_are_where_the_gpu_is(tmp_path: Path) -> None:
    """The made-up machine passes for this one; a made-up prefect starts the flow run."""
    cpus = os.sched_getaffinity(0) & parse_cpus("0-3")
    machine = {"HWLOC_XMLFILE": str(TWO_NODES), "HWLOC_THISSYSTEM": "1"}
    said = worker(
        "start",
        GPU_POOL,
        program=("-c", STARTER),
        PYTHONPATH=fake_cupy(tmp_path, f"['{FIRST}']"),
        **machine,
    )
    first, _, rest = said.partition("\n")
    reason = f"topology: pinned to node 0 of GPU {FIRST}, CPUs {format_cpus(cpus)}"
    policy_follows(first, reason, rest)
    assert rest.splitlines()[0] == f"['start', '{GPU_POOL}'] {' '.join(map(str, sorted(cpus)))}"


@dataclass
class Answer:
    flow_run: FlowRun


class Looking:
    """What the worker's methods need of a worker."""

    def __init__(self) -> None:
        self._submitting_flow_run_ids: set[UUID] = set()


def test_a_machine_takes_no_more_trainings_than_it_has_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainings = [FlowRun(flow_id=uuid4(), tags=["training"]) for _ in range(3)]
    another = FlowRun(flow_id=uuid4())
    done = asyncio.Event()

    async def look(self: object) -> list[Answer]:
        return [Answer(each) for each in (*trainings, another)]

    async def run(self: object, flow_run: FlowRun, task_status: object = None) -> None:
        await done.wait()

    async def play() -> None:
        monkeypatch.setattr(worker_main, "_TAKING", {look: ("self",), run: RUN})
        for name in ("_get_scheduled_flow_runs", "_submit_run_and_capture_errors"):
            monkeypatch.setattr(BaseWorker, name, getattr(BaseWorker, name))
        take_trainings(2)
        get, submit = BaseWorker._get_scheduled_flow_runs, BaseWorker._submit_run_and_capture_errors
        worker: Any = Looking()
        assert await ids(get(worker)) == [each.id for each in (*trainings[:2], another)]
        first = asyncio.create_task(submit(worker, trainings[0]))
        await asyncio.sleep(0)
        assert await ids(get(worker)) == [trainings[0].id, another.id]
        done.set()
        await first
        assert len(await ids(get(worker))) == 3

    asyncio.run(play())


RUN = ("self", "flow_run", "task_status")


async def ids(found: Any) -> list[UUID]:
    return [each.flow_run.id for each in await found]
