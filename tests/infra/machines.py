"""Made-up machines: the files in which Linux would describe them, for two readers to read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from infra import topology

FIRST, SECOND = "0000:17:00.0", "0000:b3:00.0"
"""PCI addresses of the GPUs."""

TWO_NODES = Path(__file__).parent / "topologies/two_nodes.xml"

with_hwloc = pytest.mark.skipif(
    topology._export() is None, reason="no libhwloc.so.15 here (Debian: libhwloc15)"
)


def cpu_list(cpus: Iterable[int]) -> str:
    return ",".join(map(str, sorted(cpus)))


def build(
    root: Path, *nodes: Iterable[int], gpus: Iterable[int] = (), packages: int | None = None
) -> Path:
    """Write proc/ and sys/ under `root`, and return `root`.

    `nodes` are their CPUs (two to a core), `gpus` the nodes that FIRST and SECOND hang on (-1:
    the firmware does not say); a package for each node unless `packages` is 1.
    """
    sets = [sorted(cpus) for cpus in nodes]
    cpus = sorted(cpu for some in sets for cpu in some)
    write(root, "sys/devices/system/cpu/online", cpu_list(cpus))
    write(root, "proc/cpuinfo", "".join(f"processor\t: {cpu}\n\n" for cpu in cpus))
    write(root, "proc/meminfo", "MemTotal: 4096 kB")
    for number, some in enumerate(sets):
        write_node(root, number, some, len(sets))
        for cpu in some:
            write_cpu(root, cpu, number, some if packages is None else cpus, some)
    for address, node in zip((FIRST, SECOND), gpus, strict=False):
        write_device(root, address, cpus if node < 0 else sets[node], node)
    return root


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


def write_set(root: Path, path: str, cpus: Iterable[int], *, of_list: str) -> None:
    """Write CPUs twice, as the kernel does: a mask, and a list in `of_list` beside it."""
    write(root, path, f"{sum(1 << cpu for cpu in cpus):08x}")
    write(root, f"{path.rpartition('/')[0]}/{of_list}", cpu_list(cpus))


def write_node(root: Path, number: int, cpus: list[int], count: int) -> None:
    path = f"sys/devices/system/node/node{number}"
    write_set(root, f"{path}/cpumap", cpus, of_list="cpulist")
    write(root, f"{path}/meminfo", f"Node {number} MemTotal:   {1024 * (number + 1)} kB")
    write(root, f"{path}/distance", " ".join("10" if n == number else "21" for n in range(count)))
    write(root, "sys/devices/system/node/online", cpu_list(range(count)))


def write_cpu(root: Path, cpu: int, node: int, package: list[int], near: list[int]) -> None:
    path = f"sys/devices/system/cpu/cpu{cpu}"
    core = [other for other in near if other // 2 == cpu // 2]
    write(root, f"{path}/topology/physical_package_id", str(0 if package != near else node))
    write(root, f"{path}/topology/core_id", str(cpu // 2))
    for name, cpus in (("core_cpus", core), ("package_cpus", package)):
        write_set(root, f"{path}/topology/{name}", cpus, of_list=f"{name}_list")
    caches = (1, "Data", 32, core), (1, "Instruction", 64, core), (2, "Unified", 1024, core)
    for index, (level, kind, size, cpus) in enumerate((*caches, (3, "Unified", 32768, near))):
        folder = f"{path}/cache/index{index}"
        for name, text in (("level", str(level)), ("type", kind), ("size", f"{size}K")):
            write(root, f"{folder}/{name}", text)
        write_set(root, f"{folder}/shared_cpu_map", cpus, of_list="shared_cpu_list")


def write_device(
    root: Path,
    address: str,
    near: list[int],
    node: int,
    *,
    vendor: str = "10de",
    kind: str = "0302",
) -> None:
    path = f"sys/bus/pci/devices/{address}"
    for name, text in (("vendor", vendor), ("device", "2330"), ("class", f"{kind}00")):
        write(root, f"{path}/{name}", f"0x{text}")
    write(root, f"{path}/numa_node", str(node))
    write_set(root, f"{path}/local_cpus", near, of_list="local_cpulist")


def fake_cupy(folder: Path, addresses: str) -> str:
    """Put a `cupy` in a folder that knows these devices; return the folder."""
    (folder / "cupy.py").write_text(
        f"class cuda:\n class runtime:\n  deviceGetPCIBusId = {addresses}.__getitem__\n"
    )
    return str(folder)


def policy_follows(said: str, reason: str, child: str) -> None:
    """Hold that a child's first mapping prefers node 0, unless the system forbids policies."""
    if said != reason:
        forbidden = {os.strerror(errno.EPERM), os.strerror(errno.ENOSYS)}
        assert said.removeprefix(f"{reason}; no memory policy: ") in forbidden
    elif Path("/proc/self/numa_maps").exists():
        assert " prefer:0 " in child
