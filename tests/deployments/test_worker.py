"""The GPU's worker: the command `prefect`, moved to the GPU's node first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.pools import GPU_POOL, POOLS
from deployments.workers import _command
from infra.topology import format_cpus, parse_cpus
from tests.infra.machines import FIRST, TWO_NODES, fake_cupy, policy_follows, with_hwloc

PREFECT = """
import subprocess, sys
look = "import os; print(*sorted(os.sched_getaffinity(0))); print(*open('/proc/self/numa_maps'))"
print(sys.argv[1:], end=" ", flush=True)
subprocess.run([sys.executable, "-c", look])
"""


def worker(*arguments: str, **variables: str) -> str:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("SEP_", "HWLOC_"))}
    command = [sys.executable, "-m", "deployments.worker_main", *arguments]
    environment = {**plain, **variables}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return found.stdout


def test_the_pool_of_the_gpu_has_it() -> None:
    assert GPU_POOL in POOLS
    modules = {pool: _command(pool)[2] for pool in POOLS}
    assert modules == {GPU_POOL: "deployments.worker_main", "droplet": "prefect"}


def test_it_is_the_command_prefect() -> None:
    first, _, rest = worker("worker", "start", "--help", SEP_PIN="off").partition("\n")
    assert first == "topology: SEP_PIN=off: nothing is pinned"
    assert "--pool" in rest


@with_hwloc
@pytest.mark.skipif(
    not os.sched_getaffinity(0) & {0, 1, 2, 3}, reason="CPUs 0 to 3 are not ours to use"
)
def test_its_flow_runs_are_where_the_gpu_is(tmp_path: Path) -> None:
    """The made-up machine passes for this one; a made-up prefect starts the flow run."""
    (tmp_path / "prefect.py").write_text(PREFECT)
    cpus = os.sched_getaffinity(0) & parse_cpus("0-3")
    machine = {"HWLOC_XMLFILE": str(TWO_NODES), "HWLOC_THISSYSTEM": "1"}
    said = worker("start", PYTHONPATH=fake_cupy(tmp_path, f"['{FIRST}']"), **machine)
    first, _, rest = said.partition("\n")
    reason = f"topology: pinned to node 0 of GPU {FIRST}, CPUs {format_cpus(cpus)}"
    policy_follows(first, reason, rest)
    assert rest.splitlines()[0] == f"['start'] {' '.join(map(str, sorted(cpus)))}"
