"""The command `prefect` for workers: on the GPU's NUMA node, a crash is reported once, and of the
trainings that any machine may take it takes no more than this one has places for.

What a worker of the GPU's pool starts stays on the node, too.

Prefect's worker reports a process that died twice: what watches the process does, and seconds
later the worker itself. Whoever retried the run in between saw the retry end as crashed.
"""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.runner._state_proposer import StateProposer
from prefect.workers.base import BaseWorker

from deployments.pools import GPU_POOL
from deployments.workers import placement
from infra.servers.patches import require_parameters
from infra.settings import settings
from infra.site import TRAINING_QUEUE
from infra.topology import read_topology

Worker: TypeAlias = BaseWorker[Any, Any, Any]
Report: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

_KNOWN: dict[Report, tuple[str, ...]] = {
    StateProposer.propose_crashed: ("self", "flow_run", "message"),
    BaseWorker._propose_crashed_state: ("self", "flow_run", "message", "client"),
}
_TAKING: dict[Report, tuple[str, ...]] = {
    BaseWorker._get_scheduled_flow_runs: ("self",),
    BaseWorker._submit_run_and_capture_errors: ("self", "flow_run", "task_status"),
}
"""Parameters of the methods that are replaced."""


def report_crashes_once() -> None:
    """Make a worker keep to itself what the part of it that watches the process has reported.

    Raises
    ------
    RuntimeError
        If this is another Prefect, whose worker reports in another way.
    """
    for method, parameters in _KNOWN.items():
        require_parameters(method, parameters, here="deployments/worker_main.py")
    first, second = _KNOWN
    reported: Counter[UUID] = Counter()

    async def report(self: StateProposer, flow_run: FlowRun, message: str) -> Any:
        state = await first(self, flow_run, message)
        reported[flow_run.id] += state is not None
        return state

    async def report_again(
        self: Worker, flow_run: FlowRun, message: str, client: Any = None
    ) -> None:
        if not reported[flow_run.id]:
            await second(self, flow_run, message, client)
        reported[flow_run.id] = 0

    StateProposer.propose_crashed = report  # type: ignore[method-assign]
    BaseWorker._propose_crashed_state = report_again  # type: ignore[method-assign]


def take_trainings(places: int) -> None:
    """Make a worker leave trainings to other machines while all places of this one are taken.

    Parameters
    ----------
    places : int

    Raises
    ------
    RuntimeError
        If this is another Prefect, whose worker looks for runs in another way.
    """
    for method, parameters in _TAKING.items():
        require_parameters(method, parameters, here="deployments/worker_main.py")
    look, run = _TAKING
    chosen: set[UUID] = set()
    running: set[UUID] = set()

    async def get(self: Worker) -> list[WorkerFlowRunResponse]:
        free = places - len(running | (chosen & self._submitting_flow_run_ids))
        found: list[WorkerFlowRunResponse] = []
        taken: set[UUID] = set()
        for each in await look(self):
            if TRAINING_QUEUE in each.flow_run.tags:
                if len(taken) >= free:
                    continue
                taken.add(each.flow_run.id)
            found.append(each)
        chosen.clear()
        chosen.update(taken)
        return found

    async def submit(self: Worker, flow_run: FlowRun, task_status: Any = None) -> Any:
        training = TRAINING_QUEUE in flow_run.tags
        running.update({flow_run.id} if training else ())
        try:
            return await run(self, flow_run, task_status)
        finally:
            running.discard(flow_run.id)

    BaseWorker._get_scheduled_flow_runs = get  # type: ignore[method-assign]
    BaseWorker._submit_run_and_capture_errors = submit  # type: ignore[method-assign]


if __name__ == "__main__":
    if GPU_POOL in sys.argv:
        print(f"topology: {placement(read_topology(), settings()).apply()}", flush=True)  # noqa: T201
    report_crashes_once()
    take_trainings(settings().training_places)
    runpy.run_module("prefect", run_name="__main__")
