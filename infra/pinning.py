"""Who runs where: a GPU's processes on the NUMA node that it hangs on."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import subprocess
import sys
from dataclasses import dataclass

from infra.topology import Topology, format_cpus

_SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}  # system calls, which libc does not wrap
_MPOL_PREFERRED = 1
_MOST_NODES = 1024


@dataclass(frozen=True)
class Pinning:
    """Where a process is to run: on these CPUs, near this node; nowhere in particular if empty.

    `reason` says for people what happens, or why nothing does.
    """

    reason: str
    node: int | None = None
    cpus: frozenset[int] = frozenset()

    def apply(self) -> str:
        """Move all threads of this process there, and what they and their children allocate.

        Threads and processes that begin later inherit both. Memory comes from the node of the
        thread that first touches it, pinned host buffers too; the policy keeps it so for calls
        that allocate on another's behalf, and goes to other nodes when this one is full.

        Returns
        -------
        str
            The reason, and what the system refused.
        """
        if self.node is None:
            return self.reason
        _move_threads(self.cpus)
        try:
            _prefer(self.node)
        except OSError as error:  # containers forbid it; first touch does the same on our CPUs
            return f"{self.reason}; no memory policy: {error.strerror}"
        return self.reason


def plan(topology: Topology, gpu: int | None) -> Pinning:
    """Decide where a process that uses a GPU is to run; moves nothing.

    Parameters
    ----------
    topology : Topology
        Of this machine; on one with a single node there is nothing to decide.
    gpu : int or None
        CUDA's number of the GPU, which `CUDA_VISIBLE_DEVICES` changes; None for no GPU.
    """
    choice = len(topology.nodes) > 1 and topology.gpus
    address = pci_address(gpu) if choice and gpu is not None else None
    return decide(topology, address, frozenset(os.sched_getaffinity(0)))


def decide(topology: Topology, address: str | None, allowed: frozenset[int]) -> Pinning:
    """Decide from what is known: the PCI address of the GPU, and the CPUs the process may use.

    Parameters
    ----------
    topology : Topology
    address : str or None
        Lower case, such as `0000:17:00.0`; None for no GPU.
    allowed : frozenset of int
        Numbers of CPUs.
    """
    if len(topology.nodes) < 2:
        return Pinning("one node: nothing to pin")
    if not topology.here:
        return Pinning("the topology is another machine's: nothing to pin")
    if address is None or not topology.gpus:
        return Pinning("no GPU in use: nothing to pin")
    home = {gpu.address: gpu.node for gpu in topology.gpus}.get(address)
    if home is None:
        return Pinning(f"GPU {address} hangs on no single node: nothing to pin")
    cpus = next(node.cpus for node in topology.nodes if node.number == home) & allowed
    if not cpus:
        return Pinning(f"GPU {address} hangs on node {home}, whose CPUs are not ours to use")
    return Pinning(f"pinned to node {home} of GPU {address}, CPUs {format_cpus(cpus)}", home, cpus)


def pci_address(gpu: int) -> str | None:
    """Return the PCI address of a GPU by CUDA's number, None if CuPy does not see it.

    Asked in another process, so that this one holds no GPU.
    """
    ask = f"import cupy; print(cupy.cuda.runtime.deviceGetPCIBusId({gpu}))"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)  # noqa: S603
    return answer.stdout.strip().lower() or None if answer.returncode == 0 else None


def _move_threads(cpus: frozenset[int]) -> None:
    """Pin every thread, also one that begins meanwhile from a thread not yet pinned."""
    moved: set[int] = set()
    while left := {int(task) for task in os.listdir("/proc/self/task")} - moved:
        for thread in left:
            try:
                os.sched_setaffinity(thread, cpus)
            except ProcessLookupError:
                continue
        moved |= left


def _prefer(node: int) -> None:
    """Allocate on a node while it has room; for this thread and what begins from it.

    Raises
    ------
    OSError
        If the system refuses.
    """
    call = _SET_MEMPOLICY.get(platform.machine())
    if call is None:
        raise OSError(errno.ENOSYS, f"its number on {platform.machine()} is not known")
    mask = (1 << node).to_bytes(_MOST_NODES // 8, "little")
    libc = ctypes.CDLL(None, use_errno=True)
    last = ctypes.c_ulong(_MOST_NODES + 1)  # the kernel takes one off
    if libc.syscall(ctypes.c_long(call), _MPOL_PREFERRED, mask, last):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
