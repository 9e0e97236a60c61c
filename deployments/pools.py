"""Work pools: where flow runs go, and how many at once."""

from __future__ import annotations

from typing import Any

from deployments.api import Api

GPU_POOL = "local-gpu"
"""The pool whose flow runs use the GPU."""

POOLS: dict[str, dict[str, dict[str, int | None]]] = {
    GPU_POOL: {
        "live": {"priority": 1, "concurrency_limit": None},
        "research": {"priority": 2, "concurrency_limit": 2},
    },
    "droplet": {},
}
"""Pools, their queues. Research has two places; the live cycle never waits for them."""

DATABASE_ROLES = {GPU_POOL: "research", "droplet": "executor"}
"""As whom the flow runs of a pool connect to the database."""


def ensure_pools(api: Api) -> None:
    """Create the pools and queues that are missing; what is there stays as it is."""
    template: dict[str, Any] | None = None
    for pool, queues in POOLS.items():
        if pool not in _names(api, "/work_pools/filter"):
            template = template or _process_template(api)
            body = {"name": pool, "type": "process", "base_job_template": template}
            api.create("/work_pools/", body)
        missing = queues.keys() - _names(api, f"/work_pools/{pool}/queues/filter")
        for queue in sorted(missing):
            api.create(f"/work_pools/{pool}/queues/", {"name": queue, **queues[queue]})


def _names(api: Api, path: str) -> set[str]:
    return {item["name"] for item in api.post(path, {})}


def _process_template(api: Api) -> dict[str, Any]:
    """Return what Prefect makes of a flow run in a pool of type process."""
    workers = api.get("/collections/views/aggregate-worker-metadata")
    template: dict[str, Any] = workers["prefect"]["process"]["default_base_job_configuration"]
    return template
