"""The topology: one machine read in two ways, and who is moved where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import pinning
from infra import topology as module
from infra.pinning import Pinning, decide, pci_address, plan
from infra.topology import (
    Cache,
    Gpu,
    Node,
    Topology,
    format_cpus,
    from_sys,
    from_xml,
    parse_cpus,
    read_topology,
)
from tests.infra.machines import (
    FIRST,
    SECOND,
    TWO_NODES,
    build,
    fake_cupy,
    policy_follows,
    with_hwloc,
    write,
    write_device,
)

LEFT, RIGHT = frozenset(range(4)), frozenset(range(4, 8))
MIB = 1 << 20
MACHINES: dict[str, tuple[Any, ...]] = {
    "two nodes": ((LEFT, RIGHT), (0, 1)),
    "one node": ((LEFT,), (-1,)),
    "a GPU without node": ((LEFT, RIGHT), (-1, 1)),
    "some CPUs offline": (({0, 2, 3}, {4, 5}), (0, 1)),
    "GPUs crossed": ((LEFT, RIGHT), (1, 0)),
    "a node of memory alone": ((LEFT, RIGHT, ()), (0, 1)),
    "interleaved": (({0, 1, 4, 5}, {2, 3, 6, 7}), (1,)),
    "two nodes a package": ((LEFT, RIGHT), (1,), 1),
}

with_two_cpus = pytest.mark.skipif(
    not {0, 1} <= os.sched_getaffinity(0), reason="CPUs 0 and 1 are not both ours to use"
)


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HWLOC_SYNTHETIC", "HWLOC_XMLFILE", "HWLOC_FSROOT", "HWLOC_THISSYSTEM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def two() -> Topology:
    """Two packages, a node and a GPU on each; beside them a network card, a bridge, a display."""
    return from_xml(TWO_NODES.read_text(), here=True)


@pytest.fixture(params=MACHINES)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    nodes, gpus, *packages = MACHINES[request.param]
    return build(tmp_path, *nodes, gpus=gpus, packages=packages[0] if packages else None)


def child(script: str, **variables: str) -> str:
    """Run a script in a process that may move, and return what it prints."""
    command, environment = [sys.executable, "-c", script], {**os.environ, **variables}
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def by_hwloc(**variables: str) -> Topology:
    text = child("from infra.topology import *; print(repr(read_topology()))", **variables)
    names = {"Topology": Topology, "Node": Node, "Cache": Cache, "Gpu": Gpu}
    found: Topology = eval(text, names)  # our own repr
    assert found.source.startswith("libhwloc 2.")
    return found


def test_two_nodes_from_sys(tmp_path: Path) -> None:
    build(tmp_path, LEFT, RIGHT, gpus=(0, 1))
    write_device(tmp_path, "0000:18:00.0", [0], 0, vendor="15b3", kind="0207")
    write_device(tmp_path, "0000:b4:00.0", [4], 1, kind="0680")
    write_device(tmp_path, "0000:03:00.0", [0], 0, vendor="102b", kind="0300")
    assert from_sys(tmp_path / "sys") == Topology(
        packages=2,
        cores=4,
        threads=8,
        nodes=(Node(0, LEFT, MIB), Node(1, RIGHT, 2 * MIB)),
        caches=(
            Cache(1, MIB // 32, threads=2, count=4),
            Cache(2, MIB, threads=2, count=4),
            Cache(3, 32 * MIB, threads=4, count=2),
        ),
        gpus=(Gpu(FIRST, 0), Gpu(SECOND, 1)),
        source="/sys",
    )


def test_two_nodes_from_xml(two: Topology) -> None:
    assert two == Topology(
        packages=2,
        cores=4,
        threads=8,
        nodes=(Node(0, LEFT, 1024 * MIB), Node(1, RIGHT, 1024 * MIB)),
        caches=(Cache(3, 16 * MIB, threads=4, count=2),),
        gpus=(Gpu(FIRST, 0), Gpu(SECOND, 1)),
        source="libhwloc 2.9.0",
    )


def test_what_sys_says_of_each_machine(tmp_path: Path) -> None:
    found = {}
    for name, (nodes, gpus, *packages) in MACHINES.items():
        build(tmp_path / name, *nodes, gpus=gpus, packages=packages[0] if packages else None)
        read = from_sys(tmp_path / name / "sys")
        lists = [format_cpus(node.cpus) for node in read.nodes]
        found[name] = (read.packages, read.cores, lists, [gpu.node for gpu in read.gpus])
    assert found == {
        "two nodes": (2, 4, ["0-3", "4-7"], [0, 1]),
        "one node": (1, 2, ["0-3"], [0]),
        "a GPU without node": (2, 4, ["0-3", "4-7"], [None, 1]),
        "some CPUs offline": (2, 3, ["0,2-3", "4-5"], [0, 1]),
        "GPUs crossed": (2, 4, ["0-3", "4-7"], [1, 0]),
        "a node of memory alone": (2, 4, ["0-3", "4-7"], [0, 1]),
        "interleaved": (2, 4, ["0-1,4-5", "2-3,6-7"], [1]),
        "two nodes a package": (1, 4, ["0-3", "4-7"], [1]),
    }


@with_hwloc
def test_hwloc_and_sys_tell_the_same(root: Path) -> None:
    by_sys = from_sys(root / "sys")
    assert by_hwloc(HWLOC_FSROOT=str(root)) == replace(by_sys, source=by_hwloc().source, here=False)


@with_hwloc
def test_hwloc_and_sys_tell_the_same_of_this_machine() -> None:
    def timeless(topology: Topology) -> Topology:
        """Memory may be plugged in and out of a virtual machine at any time."""
        nodes = tuple(replace(node, memory=0) for node in topology.nodes)
        return replace(topology, nodes=nodes, source="")

    found = read_topology()
    assert found.here
    assert found.nodes[0].memory > 0
    assert timeless(found) == timeless(from_sys())


@with_hwloc
def test_cpus_of_others_are_part_of_the_machine(tmp_path: Path) -> None:
    """A container sees the CPUs it may not use; what it may use is another question."""
    build(tmp_path, LEFT, RIGHT)
    write(tmp_path, "proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0")
    write(tmp_path, "proc/self/cgroup", "0::/")
    write(tmp_path, "sys/fs/cgroup/cgroup.controllers", "cpuset")
    write(tmp_path, "sys/fs/cgroup/cpuset.cpus.effective", "0-1")
    write(tmp_path, "sys/fs/cgroup/cpuset.mems.effective", "0")
    found = by_hwloc(HWLOC_FSROOT=str(tmp_path))
    assert [node.cpus for node in found.nodes] == [LEFT, RIGHT]


@with_hwloc
def test_synthetic_machine() -> None:
    found = by_hwloc(HWLOC_SYNTHETIC="package:2 numa:1 l3:1 core:4 pu:2")
    assert (found.packages, found.cores, found.threads) == (2, 8, 16)
    assert [format_cpus(node.cpus) for node in found.nodes] == ["0-7", "8-15"]
    assert [(cache.level, cache.threads, cache.count) for cache in found.caches] == [(3, 8, 2)]
    assert not found.here


@with_hwloc
def test_more_cpus_than_a_word_holds() -> None:
    found = by_hwloc(HWLOC_SYNTHETIC="package:3 numa:1 core:32 pu:2")
    assert [format_cpus(node.cpus) for node in found.nodes] == ["0-63", "64-127", "128-191"]


@with_hwloc
def test_hwloc_reads_the_file_as_we_do(two: Topology) -> None:
    assert by_hwloc(HWLOC_XMLFILE=str(TWO_NODES)) == replace(two, here=False)
    assert by_hwloc(HWLOC_XMLFILE=str(TWO_NODES), HWLOC_THISSYSTEM="1") == two


def test_sys_serves_where_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HWLOC", "libhwloc.so.none")
    found = read_topology()
    assert found.source == "/sys"
    assert set().union(*(node.cpus for node in found.nodes)) >= os.sched_getaffinity(0)


def test_a_kernel_that_tells_little(tmp_path: Path) -> None:
    """No nodes, no caches, no cores, no PCI: every thread its own core on the one node."""
    write(tmp_path, "devices/system/cpu/online", "0-2")
    found = from_sys(tmp_path)
    assert (found.packages, found.cores, found.threads) == (1, 3, 3)
    assert [node.cpus for node in found.nodes] == [{0, 1, 2}]
    assert found.nodes[0].memory > 0
    assert (found.caches, found.gpus) == ((), ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</topology>", ""),
        ('type="Machine"', 'type="System"'),
        ('type="NUMANode"', 'type="Group"'),
        ('cpuset="0x0000000f"', 'cpuset="0x0000000g"'),
        ('os_index="1" cpuset="0x000000f0"', 'cpuset="0x000000f0"'),
        (' cache_size="16777216"', ""),
        ('pci_type="0302 [10de:2330] [0000:0000] a1"', 'pci_type=""'),
    ],
)
def test_what_is_no_topology_is_refused(old: str, new: str) -> None:
    text = TWO_NODES.read_text()
    assert old in text
    with pytest.raises(ValueError, match=r"not a topology as `lstopo --of xml`"):
        from_xml(text.replace(old, new))


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("", set()), ("0\n", {0}), ("0-3", {0, 1, 2, 3}), ("0,2-3,64", {0, 2, 3, 64})],
)
def test_cpu_lists(text: str, cpus: set[int]) -> None:
    assert parse_cpus(text) == cpus
    assert format_cpus(cpus) == text.strip()


@given(st.frozensets(st.integers(0, 300)))
def test_cpu_lists_round_trip(cpus: frozenset[int]) -> None:
    text = format_cpus(cpus)
    assert parse_cpus(text) == cpus
    ends = [cpu for cpu in cpus if cpu + 1 not in cpus]
    assert len(ends) == len([part for part in text.split(",") if part])


@given(st.frozensets(st.integers(0, 300)))
def test_masks_round_trip(cpus: frozenset[int]) -> None:
    """Words of 32 bits, zeros between left out: as hwloc writes them."""
    mask = sum(1 << cpu for cpu in cpus)
    words: list[str] = []
    while mask or not words:
        words.append(f"0x{mask & 0xFFFFFFFF:08x}" if mask & 0xFFFFFFFF else "")
        mask >>= 32
    assert module._parse_mask(",".join(reversed(words))) == cpus


@pytest.mark.parametrize(
    ("address", "allowed", "node", "cpus"),
    [
        (FIRST, range(8), 0, "0-3"),
        (SECOND, range(8), 1, "4-7"),
        (SECOND, (1, 2, 5, 6), 1, "5-6"),
        (SECOND, (6,), 1, "6"),
    ],
)
def test_the_gpu_decides(
    two: Topology, address: str, allowed: tuple[int, ...], node: int, cpus: str
) -> None:
    found = decide(two, address, frozenset(allowed))
    assert found.node == node
    assert format_cpus(found.cpus) == cpus
    assert found.reason == f"pinned to node {node} of GPU {address}, CPUs {cpus}"


@pytest.mark.parametrize(
    ("change", "address", "allowed", "reason"),
    [
        ({"nodes": (Node(0, LEFT, 1),)}, FIRST, LEFT, "one node: nothing to pin"),
        ({"here": False}, FIRST, LEFT, "the topology is another machine's: nothing to pin"),
        ({}, None, LEFT, "no GPU in use: nothing to pin"),
        ({"gpus": ()}, FIRST, LEFT, "no GPU in use: nothing to pin"),
        ({"gpus": (Gpu(FIRST, None),)}, FIRST, LEFT, f"GPU {FIRST} hangs on no single node"),
        ({"gpus": (Gpu(SECOND, 1),)}, FIRST, LEFT, f"GPU {FIRST} hangs on no single node"),
        ({}, SECOND, LEFT, f"GPU {SECOND} hangs on node 1, whose CPUs are not ours to use"),
    ],
)
def test_nothing_changes_and_the_reason_says_so(
    two: Topology, change: dict[str, Any], address: str | None, allowed: frozenset[int], reason: str
) -> None:
    before = os.sched_getaffinity(0)
    found = decide(replace(two, **change), address, allowed)
    assert (found.node, found.cpus) == (None, frozenset())
    assert found.reason.startswith(reason)
    assert found.apply() == found.reason
    assert os.sched_getaffinity(0) == before


def test_the_summary_is_a_line(two: Topology) -> None:
    known = "2 packages, 4 cores, 8 threads, 2 NUMA nodes, 2 x L3 16 MiB (libhwloc 2.9.0)"
    assert str(two) == known
    assert str(replace(two, here=False)) == known.replace(")", ", another machine)")
    small = replace(two, packages=1, nodes=two.nodes[:1], caches=(Cache(2, MIB // 2, 1, 1),))
    assert str(small).startswith("1 package, 4 cores, 8 threads, 1 NUMA node, L2 0.5 MiB (")


def test_cuda_numbers_gpus_its_own_way(
    two: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fastest first, and none that `CUDA_VISIBLE_DEVICES` hides."""
    monkeypatch.setenv("PYTHONPATH", fake_cupy(tmp_path, "['0000:B3:00.0', '0000:17:00.0']"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert (pci_address(0), pci_address(1), pci_address(2)) == (SECOND, FIRST, None)
    assert plan(two, 0).node == 1
    assert plan(two, 1).node == 0
    assert plan(two, 2).reason == plan(two, None).reason == "no GPU in use: nothing to pin"


def test_cuda_is_not_asked_where_there_is_nothing_to_choose(
    two: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinning, "pci_address", lambda _: pytest.fail("CUDA was asked"))
    assert plan(replace(two, nodes=two.nodes[:1]), 0).reason == "one node: nothing to pin"
    assert plan(replace(two, gpus=()), 0).reason == "no GPU in use: nothing to pin"


PINNED = """
import json, os, subprocess, sys, threading
from pathlib import Path
from infra.pinning import Pinning

done = threading.Event()
threading.Thread(target=done.wait).start()
said = Pinning("moved", {node}, frozenset({{1}})).apply()

import numba
@numba.njit(parallel=True)
def total(n):
    found = 0
    for i in numba.prange(n):
        found += i
    return found

total(1000)
lines = (line for task in Path("/proc/self/task").iterdir()
         for line in (task / "status").read_text().splitlines())
allowed = [line.split()[1] for line in lines if line.startswith("Cpus_allowed_list")]
done.set()
look = "import os; print(os.sched_getaffinity(0)); print(open('/proc/self/numa_maps').readline())"
after = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout
print(json.dumps(dict(said=said, allowed=allowed, numba=numba.get_num_threads(), child=after)))
"""


@with_two_cpus
def test_every_thread_moves_and_children_follow() -> None:
    found = json.loads(child(PINNED.format(node=0)))
    assert len(found["allowed"]) >= 2
    assert set(found["allowed"]) == {"1"}
    assert found["numba"] == 1
    assert found["child"].startswith("{1}")
    policy_follows(found["said"], "moved", found["child"])


@with_two_cpus
def test_a_refused_memory_policy_is_told() -> None:
    """Node 1000 is nowhere."""
    found = json.loads(child(PINNED.format(node=1000)))
    assert found["said"].startswith("moved; no memory policy: ")
    assert set(found["allowed"]) == {"1"}


def test_an_unknown_processor_has_no_memory_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    monkeypatch.setattr(pinning, "_move_threads", lambda _: None)
    said = Pinning("moved", 0, frozenset({0})).apply()
    assert said == "moved; no memory policy: its number on vax is not known"
