"""What the machine is made of: packages, cores, NUMA nodes, caches, GPUs.

A GPU hangs on one NUMA node; what another node sends to it crosses the link between the two.
libhwloc tells which node that is, /sys tells the same where the library is missing.
"""

from __future__ import annotations

import ctypes
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree

NVIDIA = "10de"
DISPLAY = "03"  # the PCI class of GPUs: VGA 0300, 3D 0302
_HWLOC = "libhwloc.so.15"  # the ABI of every 2.x
_INCLUDE_DISALLOWED = 1  # as in hwloc.h, like the next two
_PCI_DEVICE = 15
_KEEP_IMPORTANT = 3

_Object: TypeAlias = tuple[Mapping[str, str], frozenset[int]]
"""Attributes of one of hwloc's objects, and its processors."""


@dataclass(frozen=True)
class Node:
    """A NUMA node: processors and the memory nearest to them.

    Attributes
    ----------
    number : int
        The system's number of it.
    cpus : frozenset of int
        Its hardware threads.
    memory : int
        Its memory, bytes.
    """

    number: int
    cpus: frozenset[int]
    memory: int


@dataclass(frozen=True)
class Cache:
    """Data caches that are alike: `count` of `size` bytes, each shared by `threads`."""

    level: int
    size: int
    threads: int
    count: int


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU: its PCI address, and the node it hangs on (None: no single one is known)."""

    address: str
    node: int | None


@dataclass(frozen=True)
class Topology:
    """What a machine is made of, as far as it is switched on.

    Attributes
    ----------
    packages, cores, threads : int
        How many there are; threads are what the system calls CPUs.
    nodes : tuple of Node
        Those with processors, by number; a node of memory alone is left out.
    caches : tuple of Cache
        By level; caches of instructions alone are left out.
    gpus : tuple of Gpu
        By PCI address.
    source : str
        Where this is from: "libhwloc 2.9.0" or "/sys".
    here : bool
        Whether it describes this machine, and not the one of `HWLOC_XMLFILE`.
    """

    packages: int
    cores: int
    threads: int
    nodes: tuple[Node, ...]
    caches: tuple[Cache, ...]
    gpus: tuple[Gpu, ...]
    source: str
    here: bool = True

    def __str__(self) -> str:
        parts = [
            _counted(self.packages, "package"),
            _counted(self.cores, "core"),
            _counted(self.threads, "thread"),
            _counted(len(self.nodes), "NUMA node"),
        ]
        if self.caches:
            last = self.caches[-1]
            times = f"{last.count} x " if last.count > 1 else ""
            parts.append(f"{times}L{last.level} {last.size / 2**20:g} MiB")
        return f"{', '.join(parts)} ({self.source}{'' if self.here else ', another machine'})"


def read_topology() -> Topology:
    """Read this machine through libhwloc, or from /sys where the library is missing.

    `HWLOC_SYNTHETIC` and `HWLOC_XMLFILE` name another machine, as they do for all of hwloc.
    """
    exported = _export()
    return from_sys() if exported is None else from_xml(exported[0], here=exported[1])


def from_xml(text: str, *, here: bool = False) -> Topology:
    """Read what `lstopo --of xml` writes (the format of hwloc 2).

    Parameters
    ----------
    text : str
        The file's content.
    here : bool
        Whether it describes this machine.

    Raises
    ------
    ValueError
        If `text` is no such file.
    """
    try:
        machine = ElementTree.fromstring(text).find("object[@type='Machine']")  # noqa: S314
        if machine is None:
            raise ValueError("it holds no object of type Machine")
        return _from_machine(machine, here)
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise ValueError(
            f"not a topology as `lstopo --of xml` of hwloc 2 writes it: {error!r}"
        ) from error


def from_sys(root: Path = Path("/sys")) -> Topology:
    """Read what Linux says of itself; `root` is where its sysfs is mounted."""
    system = root / "devices/system"
    cpus = parse_cpus(_text(system / "cpu/online")) or frozenset(range(os.cpu_count() or 1))
    folders = {cpu: system / f"cpu/cpu{cpu}" for cpu in sorted(cpus)}
    nodes = _nodes_in(system / "node", cpus)
    return Topology(
        packages=len({_text(f / "topology/physical_package_id") for f in folders.values()}),
        cores=len({_siblings(folder) or frozenset({cpu}) for cpu, folder in folders.items()}),
        threads=len(cpus),
        nodes=nodes,
        caches=_alike(_caches_in(folders.values())),
        gpus=tuple(_gpus_in(root / "bus/pci/devices", nodes)),
        source="/sys",
    )


def parse_cpus(text: str) -> frozenset[int]:
    """Return the numbers in a list as the kernel writes it, such as "0-3,8"."""
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def format_cpus(cpus: Iterable[int]) -> str:
    """Return numbers as the kernel writes them; the inverse of `parse_cpus`."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], cpu]
        else:
            runs.append([cpu])
    return ",".join("-".join(map(str, run)) for run in runs)


def _export() -> tuple[str, bool] | None:
    """Return hwloc's XML and whether it is of this machine, None where hwloc does not work.

    The text is the same for every 2.x, its structures in memory are not. Of all devices only
    those on PCI are asked for: more would start CUDA, OpenCL or a display.
    """
    try:
        hwloc = ctypes.CDLL(_HWLOC)
    except OSError:
        return None
    topology, buffer, length = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int()
    if hwloc.hwloc_topology_init(ctypes.byref(topology)):
        return None
    try:
        hwloc.hwloc_topology_set_flags(topology, ctypes.c_ulong(_INCLUDE_DISALLOWED))
        hwloc.hwloc_topology_set_type_filter(topology, _PCI_DEVICE, _KEEP_IMPORTANT)
        text_of = (ctypes.byref(buffer), ctypes.byref(length), ctypes.c_ulong(0))
        failed = hwloc.hwloc_topology_load(topology)
        if failed or hwloc.hwloc_topology_export_xmlbuffer(topology, *text_of):
            return None
        text = ctypes.string_at(buffer.value or 0).decode()
        hwloc.hwloc_free_xmlbuffer(topology, buffer)
        return text, bool(hwloc.hwloc_topology_is_thissystem(topology))
    finally:
        hwloc.hwloc_topology_destroy(topology)


def _from_machine(machine: ElementTree.Element, here: bool) -> Topology:
    objects: dict[str, list[_Object]] = defaultdict(list)
    for item, cpus in _objects(machine, frozenset()):
        objects[item["type"]].append((item, cpus))
    nodes = _with_processors(
        Node(int(item["os_index"]), cpus, int(item.get("local_memory", 0)))
        for item, cpus in objects["NUMANode"]
    )
    caches = [
        (int(item["depth"]), int(item["cache_size"]), cpus)
        for level in range(1, 6)
        for item, cpus in objects[f"L{level}Cache"]
    ]
    gpus = [
        Gpu(item["pci_busid"], _home(cpus, nodes))
        for item, cpus in objects["PCIDev"]
        if _is_gpu(*_kind_and_vendor(item["pci_type"]))
    ]
    if not nodes:
        raise ValueError("it holds no NUMA node with processors")
    version = machine.find("info[@name='hwlocVersion']")
    return Topology(
        packages=len(objects["Package"]) or 1,
        cores=len(objects["Core"] or objects["PU"]),
        threads=len(objects["PU"]),
        nodes=nodes,
        caches=_alike(caches),
        gpus=tuple(sorted(gpus, key=lambda gpu: gpu.address)),
        source=f"libhwloc {'2' if version is None else version.get('value')}",
        here=here,
    )


def _objects(item: ElementTree.Element, cpus: frozenset[int]) -> Iterator[_Object]:
    """Walk down from an object; devices have no processors but those of what they hang on."""
    cpus = _parse_mask(item.attrib["cpuset"]) if "cpuset" in item.attrib else cpus
    yield item.attrib, cpus
    for child in item.iterfind("object"):
        yield from _objects(child, cpus)


def _parse_mask(text: str) -> frozenset[int]:
    """Return the bits set in hwloc's notation: words of 32 bits, highest first, zeros left out."""
    mask = 0
    for word in text.split(","):
        mask = mask << 32 | int(word or "0", 16)
    return frozenset(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def _nodes_in(folder: Path, cpus: frozenset[int]) -> tuple[Node, ...]:
    nodes = _with_processors(
        Node(int(path.name[4:]), parse_cpus(_text(path / "cpulist")), _memory(path / "meminfo"))
        for path in folder.glob("node[0-9]*")
    )
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return nodes or (Node(0, cpus, total),)  # a kernel without NUMA


def _with_processors(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Leave out nodes of memory alone; hwloc gives them the processors of their neighbours."""
    kept: list[Node] = []
    placed: set[int] = set()
    for node in sorted(nodes, key=lambda node: node.number):
        if node.cpus - placed:
            kept.append(node)
            placed |= node.cpus
    return tuple(kept)


def _memory(path: Path) -> int:
    """Return the bytes of a node from its "Node 0 MemTotal: 6514892 kB"."""
    words = _text(path).split()
    return int(words[words.index("MemTotal:") + 1]) * 1024 if "MemTotal:" in words else 0


def _siblings(folder: Path) -> frozenset[int]:
    """Return the threads of a CPU's core; the second name is that of older kernels."""
    names = ("core_cpus_list", "thread_siblings_list")
    return parse_cpus(next(filter(None, (_text(folder / "topology" / name) for name in names)), ""))


def _caches_in(folders: Iterable[Path]) -> Iterator[tuple[int, int, frozenset[int]]]:
    for path in (index for folder in folders for index in folder.glob("cache/index[0-9]*")):
        if _text(path / "type") in ("Data", "Unified"):
            size = int(_text(path / "size").removesuffix("K") or 0) * 1024
            yield int(_text(path / "level") or 0), size, parse_cpus(_text(path / "shared_cpu_list"))


def _alike(caches: Iterable[tuple[int, int, frozenset[int]]]) -> tuple[Cache, ...]:
    counts = Counter((level, size, len(cpus)) for level, size, cpus in set(caches))
    return tuple(Cache(*kind, count) for kind, count in sorted(counts.items()))


def _gpus_in(folder: Path, nodes: tuple[Node, ...]) -> Iterator[Gpu]:
    for path in sorted(folder.glob("*")):
        vendor, kind = (_text(path / name).removeprefix("0x") for name in ("vendor", "class"))
        if _is_gpu(kind, vendor):
            yield Gpu(path.name, _home(parse_cpus(_text(path / "local_cpulist")), nodes))


def _kind_and_vendor(text: str) -> tuple[str, str]:
    """Return class and vendor from hwloc's "0302 [10de:2330] [10de:16c1] a1"."""
    kind, maker = text.split()[:2]
    return kind, maker[1:5]


def _is_gpu(kind: str, vendor: str) -> bool:
    return kind.startswith(DISPLAY) and vendor == NVIDIA


def _home(local: frozenset[int], nodes: tuple[Node, ...]) -> int | None:
    """Return the one node to which the processors near a device belong."""
    numbers = [node.number for node in nodes if local and local <= node.cpus]
    return numbers[0] if len(numbers) == 1 else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
