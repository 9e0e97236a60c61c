"""Nearest paths on a GPU at full size, beside PyTorch's product and top k in half precision.

Paths are those of a random walk's bars. Before anything is timed, scores of a sample are compared
with float64 products over the whole library. The ceilings are those of the same run: a copy in
device memory for few queries, a product of halves for many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from kernels import rounds
from kernels.damping import damp
from kernels.device import Gpu, gpu_unavailable
from kernels.nearest import PathIndex, nearest, search_batches
from kernels.paths import fit_standard, has_path, unit_paths
from kernels.plan import Plan
from tests.benchmarks.kernels import prepare, print_hardware, timed, walk

LIVE_ROWS = 10_000_000
ROWS, QUERIES, K = 4_000_000, 4096, 32
YEAR = 372_000
HORIZON = 60
CHECKED = 64
PEER_QUERIES = 512
"""PyTorch writes all scores to memory: so many queries at a time."""


class Ceilings(NamedTuple):
    copied: float  # bytes a second, read and written
    halves: float  # floating-point operations a second


def main() -> list[dict[str, Any]]:
    if (missing := gpu_unavailable()) is not None:
        print(f"gpu: {missing}")
        return []
    print_hardware()
    xp, ceilings = import_module("cupy"), measure_ceilings()
    print(
        f"copy {ceilings.copied / 1e12:.2f} TB/s, halves {ceilings.halves / 1e12:.0f} TFLOP/s\n"
        f"{'question':<34}{'engine':<10}{'s':>10}{'queries/s':>13}{'pairs/s':>10}"
        f"{'ceiling':>9}{'torch':>8}"
    )
    paths = make_paths(xp)
    return [*many(paths[:ROWS], ceilings), *live(paths, ceilings), *year(paths, ceilings)]


def make_paths(xp: Any) -> Any:
    """Paths of the bars of a walk, in device memory."""
    bars = prepare(xp.asarray(walk(LIVE_ROWS + 4096)), "gpu")
    trajectory = damp(*bars, engine="gpu").trajectory
    standard = fit_standard(trajectory, np.arange(100_000))
    paths = unit_paths(trajectory, standard)
    return paths[has_path(paths)][-LIVE_ROWS:]


def many(paths: Any, ceilings: Ceilings) -> Iterator[dict[str, Any]]:
    """A block of queries against all rows, without a limit in time."""
    xp = import_module("cupy")
    drawn = np.random.default_rng(0).permutation(len(paths))[:QUERIES]
    queries = paths[xp.asarray(drawn)]
    known = xp.full(QUERIES, len(paths), np.int64)
    index = build(paths)
    recall = check(queries, index)
    name, work = f"{QUERIES:,} x {len(paths):,}, k = {K}", QUERIES * len(paths)
    most = ceilings.halves / (2 * paths.shape[1]) / work
    peer = time_peer(queries, paths)
    yield report(name, "torch", QUERIES, work, peer, most, peer)
    for engine, capability in (("mma", rounds.TENSOR_CORES), ("hopper", rounds.HOPPER)):
        if capability <= Gpu.current().capability:
            taken = time_path(capability, queries, index, known)
            yield report(name, engine, QUERIES, work, taken, most, peer) | {"recall": recall}


def time_path(capability: int, queries: Any, index: PathIndex, known: Any) -> float:
    """Seconds of the search with the instructions of that compute capability."""
    gpu = replace(Gpu.current(), capability=capability)
    plan, rows = Plan.fit(0, len(queries), K, gpu.free()), index._rows
    assert rows is not None
    return timed(lambda: search_batches(gpu, queries, rows, known, plan, HORIZON), "gpu")


def live(paths: Any, ceilings: Ceilings) -> Iterator[dict[str, Any]]:
    """The newest bars of 28 pairs against everything; bytes bound it."""
    xp = import_module("cupy")
    index, known = build(paths), xp.full(28, len(paths), np.int64)
    queries = paths[-28:]

    def search() -> None:
        index.nearest(queries, known_before=known, exclusion=HORIZON, k=64)

    taken = timed(search, "gpu", runs=20)
    most = ceilings.copied / (2 * paths.shape[1] * len(paths))
    work = 28 * len(paths)
    yield report(f"28 x {len(paths):,}, k = 64", "gpu", 28, work, taken, most, None)


def year(paths: Any, ceilings: Ceilings) -> Iterator[dict[str, Any]]:
    """Every minute of a fifth year asks the four before it and what it has become known of it."""
    xp = import_module("cupy")
    host = paths[: 5 * YEAR].get()
    asked = np.arange(4 * YEAR, 5 * YEAR)
    known = asked - HORIZON
    position, group = np.arange(5 * YEAR), np.zeros(5 * YEAR, np.int32)

    def search() -> None:
        nearest(
            host[asked],
            host,
            position=position,
            group=group,
            known_before=known,
            exclusion=HORIZON,
            k=64,
            engine="gpu",
        )

    taken = timed(search, "gpu", runs=2)
    work = int(known.sum())
    most = ceilings.halves / (2 * paths.shape[1]) / work
    xp.get_default_memory_pool().free_all_blocks()
    yield report("a year of minutes x 4 years, k = 64", "gpu", YEAR, work, taken, most, None)


def build(paths: Any) -> PathIndex:
    xp, n = import_module("cupy"), len(paths)
    position, group = xp.arange(n, dtype=np.int64), xp.zeros(n, np.int32)
    return PathIndex.build(paths, position=position, group=group, engine="gpu")


def check(queries: Any, index: PathIndex) -> float:
    """Share of the true top k found, by float64 score, of a few queries."""
    xp, asked = import_module("cupy"), queries[:CHECKED]
    known = xp.full(CHECKED, len(index.paths), np.int64)
    found = index.nearest(asked, known_before=known, exclusion=0, k=K)
    hits = 0.0
    for query, row, score in zip(asked, found.index, found.score, strict=True):
        true = index.paths @ query.astype(np.float64)
        best = xp.sort(xp.partition(true, -K)[-K:])[::-1]
        if not float(xp.abs(score - best).max()) <= 5e-6:
            raise SystemExit("scores differ from those of float64 products")
        hits += float((true[row] >= best[-1] - 1e-9).mean())
    if (recall := hits / CHECKED) < 0.999:
        raise SystemExit(f"recall is {recall}, below 0.999")
    return recall


def time_peer(queries: Any, paths: Any) -> float | None:
    """Seconds of ``torch.topk(q @ db.T)`` in half precision; None where PyTorch is missing."""
    try:
        torch = import_module("torch")
    except ImportError as error:
        print(f"torch: {error}")
        return None
    asked, rows = torch.as_tensor(queries).half(), torch.as_tensor(paths).half()

    def search() -> None:
        for part in asked.split(PEER_QUERIES):
            torch.topk(part @ rows.T, K)
        torch.cuda.synchronize()

    return timed(search, "gpu", runs=3)


def measure_ceilings() -> Ceilings:
    xp = import_module("cupy")
    source = xp.zeros(1 << 29, np.float32)
    target = xp.empty_like(source)
    copied = 2 * source.nbytes / timed(lambda: xp.copyto(target, source), "gpu")
    side = 8192
    a, b = (xp.random.rand(side, side).astype(np.float16) for _ in range(2))
    halves = 2 * side**3 / timed(lambda: a @ b, "gpu")
    return Ceilings(copied, halves)


def report(
    question: str,
    engine: str,
    queries: int,
    pairs: int,
    seconds: float | None,
    most: float,
    peer: float | None,
) -> dict[str, Any]:
    """Print and return a line; `most` is how often a second the ceiling allows the question."""
    if seconds is None:
        return {"question": question, "engine": engine, "seconds": None}
    ratio = f"{peer / seconds:.1f}x" if peer else ""
    print(
        f"{question:<34}{engine:<10}{seconds:>10.5f}{queries / seconds:>13,.0f}"
        f"{pairs / seconds:>10.3g}{1 / seconds / most:>9.0%}{ratio:>8}"
    )
    return {
        "question": question,
        "engine": engine,
        "seconds": seconds,
        "queries_a_second": queries / seconds,
        "pairs_a_second": pairs / seconds,
        "share_of_ceiling": 1 / seconds / most,
        "speed_up_over_torch": peer / seconds if peer else None,
    }
