"""Work pools: where flow runs go, and how many at once."""

from __future__ import annotations

from typing import Any

from deployments.api import Api
from infra.site import DROPLET_POOL, RESEARCH_POOL, TRAINING_QUEUE

GPU_POOL = RESEARCH_POOL
"""The pool whose flow runs use the GPU."""

POOLS: dict[str, dict[str, dict[str, int | None]]] = {
    GPU_POOL: {
        "live": {"priority": 1, "concurrency_limit": None},
        "research": {"priority": 2, "concurrency_limit": 2},
        TRAINING_QUEUE: {"priority": 3, "concurrency_limit": None},
    },
    DROPLET_POOL: {},
}
"""Pools, their queues. Research has two places; the live cycle never waits for them. Trainings have
places on each machine (`SEP_TRAINING_PLACES`)."""


REFUSED = ("command", "env", "working_dir")
"""What a flow run may not choose: whoever asks for one would choose what the worker runs."""


def ensure_pools(api: Api) -> None:
    """Create the pools and queues that are missing; a pool takes nothing `REFUSED` from a run."""
    present = {pool["name"]: pool for pool in api.post("/work_pools/filter", {})}
    for pool, queues in POOLS.items():
        if pool not in present:
            body = {"name": pool, "type": "process", "base_job_template": _process_template(api)}
            api.create("/work_pools/", body)
        elif _takes(present[pool]["base_job_template"]):
            template = _narrowed(present[pool]["base_job_template"])
            api.patch(f"/work_pools/{pool}", {"base_job_template": template})
        missing = queues.keys() - _names(api, f"/work_pools/{pool}/queues/filter")
        for queue in sorted(missing):
            api.create(f"/work_pools/{pool}/queues/", {"name": queue, **queues[queue]})


def _names(api: Api, path: str) -> set[str]:
    return {item["name"] for item in api.post(path, {})}


def _process_template(api: Api) -> dict[str, Any]:
    """Return what Prefect makes of a flow run in a pool of type process."""
    workers = api.get("/collections/views/aggregate-worker-metadata")
    return _narrowed(workers["prefect"]["process"]["default_base_job_configuration"])


def _takes(template: dict[str, Any]) -> bool:
    """Say whether a run chooses any of `REFUSED`."""
    parts = (template["job_configuration"], template["variables"]["properties"])
    return any(name in part for part in parts for name in REFUSED)


def _narrowed(template: dict[str, Any]) -> dict[str, Any]:
    """Leave `REFUSED` out; an `env` that stayed in the configuration would take a run's too."""
    variables = template["variables"]
    return {
        "job_configuration": _without(template["job_configuration"]),
        "variables": {**variables, "properties": _without(variables["properties"])},
    }


def _without(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in REFUSED}
