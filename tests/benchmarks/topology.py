"""Copies from pinned host memory to the GPU, from each NUMA node: what pinning is worth.

Every node has a process of its own, moved there before it allocates.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from time import perf_counter
from typing import Any

from infra.pinning import Pinning, plan
from infra.topology import Node, read_topology
from kernels.device import gpu_unavailable

BYTES = 1 << 28
RUNS = 10


def main() -> list[dict[str, Any]]:
    topology, allowed = read_topology(), os.sched_getaffinity(0)
    print(topology)
    if len(topology.nodes) < 2:
        print("one node: nothing to compare")
        return []
    found = plan(topology, 0)
    if (missing := gpu_unavailable()) is not None or found.node is None:
        print(missing or found.reason)
        return []
    nodes = [node for node in topology.nodes if node.cpus & allowed]
    figures = [measure(node, near=node.number == found.node) for node in nodes]
    best = next(figure["bytes_per_s"] for figure in figures if figure["near"])
    print(f"the GPU's worker is {found.reason}\n{'node':<6}{'GB/s':>8}{'of near':>9}")
    for figure in figures:
        rate = figure["bytes_per_s"]
        print(f"{figure['node']:<6}{rate / 1e9:>8.1f}{rate / best:>9.2f}  {figure['said']}")
    return figures


def measure(node: Node, *, near: bool) -> dict[str, Any]:
    """Run `copy` on a node."""
    pinning = f"Pinning('', {node.number}, frozenset({sorted(node.cpus)}))"
    script = f"from tests.benchmarks.topology import *; print(json.dumps(copy({pinning})))"
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {"benchmark": "topology", "node": node.number, "near": near, **json.loads(found)}


def copy(pinning: Pinning) -> dict[str, Any]:
    """Move there, then time the fastest of some copies of `BYTES` bytes to the GPU."""
    said = pinning.apply()
    import cupy
    import numpy as np

    host = np.frombuffer(cupy.cuda.alloc_pinned_memory(BYTES), np.uint8, BYTES)
    host[:] = np.arange(BYTES, dtype=np.uint8)
    device, stream = cupy.empty(BYTES, cupy.uint8), cupy.cuda.Stream.null
    seconds = []
    for _ in range(RUNS + 1):
        begin = perf_counter()
        device.set(host, stream)
        stream.synchronize()
        seconds.append(perf_counter() - begin)
    if not bool((device[-256:] == cupy.arange(256, dtype=cupy.uint8)).all()):
        raise SystemExit("what arrived is not what was sent")
    return {"bytes_per_s": BYTES / min(seconds[1:]), "said": said}
