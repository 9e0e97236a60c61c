"""The command `prefect` on the NUMA node of the GPU; flow runs that it starts stay there, too."""

from __future__ import annotations

import runpy

from deployments.workers import placement
from infra.settings import settings
from infra.topology import read_topology

if __name__ == "__main__":
    print(f"topology: {placement(read_topology(), settings()).apply()}", flush=True)  # noqa: T201
    runpy.run_module("prefect", run_name="__main__")
