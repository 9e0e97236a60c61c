"""The command `prefect` for workers: on the GPU's NUMA node, and a crash is reported once.

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
from prefect.runner._state_proposer import StateProposer
from prefect.workers.base import BaseWorker

from deployments.pools import GPU_POOL
from deployments.workers import placement
from infra.servers.patches import require_parameters
from infra.settings import settings
from infra.topology import read_topology

Worker: TypeAlias = BaseWorker[Any, Any, Any]
Report: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

_KNOWN: dict[Report, tuple[str, ...]] = {
    StateProposer.propose_crashed: ("self", "flow_run", "message"),
    BaseWorker._propose_crashed_state: ("self", "flow_run", "message", "client"),
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


if __name__ == "__main__":
    if GPU_POOL in sys.argv:
        print(f"topology: {placement(read_topology(), settings()).apply()}", flush=True)  # noqa: T201
    report_crashes_once()
    runpy.run_module("prefect", run_name="__main__")
