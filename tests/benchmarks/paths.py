"""Nearest paths by SQL beside the exact kernel: recall and latency, loading and indexing.

A library of real paths (`SEP_BENCHMARK_BARS` names a Parquet file of minutes; without it a random
walk) goes into PostgreSQL with pgvector and into one with pgvectorscale. Queries see all of it, a
tenth and a hundredth; `store` chooses between comparing all and the index, `index` always takes
the index. Comparing all must give the kernel's rows before anything is timed. NOTES.md tells what
the figures mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np

from infra.postgres import database as db
from infra.servers import postgres
from infra.stores.path_rows import Paths
from infra.stores.paths import EXACT, PathStore
from kernels.nearest import nearest
from kernels.paths import has_path
from tests.benchmarks.kernels import print_hardware
from tests.benchmarks.nearest import HORIZON, make_paths
from tests.infra.databases import cluster, programs
from tests.servers import temporary_home

START = np.datetime64("2017-01-01", "us")
MINUTE = np.timedelta64(60_000_000, "us")
STRIDES = {"pgvector": (HORIZON // 4, 3), "vectorscale": (HORIZON // 4,)}
SHARES = (1.0, 0.1, 0.01)
WAYS = {"store": EXACT, "index": 0}
QUERIES, K, RECALL, FEATURES = 200, 64, 32, 5
TOLERANCE = 5e-6


def main() -> list[dict[str, Any]]:
    print_hardware()
    source, paths = make_paths()
    bars = np.flatnonzero(has_path(paths))
    queries = paths[np.random.default_rng(0).choice(bars, QUERIES)]
    figures = []
    for server, strides in STRIDES.items():
        with running(server):
            for stride in strides:
                rows = library(paths, bars[::stride])
                print(f"\n{server}: {len(rows):,} paths of {source}")
                figures += measure(server, f"every {stride}", rows, queries)
    return figures


@contextmanager
def running(server: str) -> Iterator[None]:
    """A migrated database of a server, in force."""
    with temporary_home("benchmark") as home:
        os.environ["SEP_HOME"], os.environ["SEP_DATABASE_URL"] = str(home), ""
        if server == "pgvector":
            postgres.start(home)
            db.migrate()
            yield
            return
        with cluster(programs(server)) as address:
            os.environ["SEP_DATABASE_URL"] = address
            db.migrate()
            yield
            db.engine().dispose()
            os.environ["SEP_DATABASE_URL"] = ""


def library(paths: Any, bars: Any) -> Paths:
    return Paths(
        paths=np.ascontiguousarray(paths[bars]),
        known_at=START + (bars + HORIZON + 2) * MINUTE,
        time=START + bars * MINUTE,
        group=np.zeros(len(bars), np.int32),
        win=np.zeros((len(bars), 2), np.int8),
        features=np.zeros((len(bars), FEATURES), np.float32),
    )


def minutes(times: Any) -> Any:
    """Number the bars of a library."""
    return np.asarray((times - START) // MINUTE, np.int64)


def measure(server: str, name: str, rows: Paths, queries: Any) -> list[dict[str, Any]]:
    loaded = PathStore(name, exact=0).load(rows)
    rate = loaded.rows / loaded.copy_seconds
    print(
        f"copied {rate:,.0f} paths/s; index of {loaded.index} {loaded.index_seconds:.1f} s "
        f"({loaded.rows / loaded.index_seconds:,.0f} paths/s)"
    )
    figures: list[dict[str, Any]] = [
        {"server": server, "paths": len(rows), "copied_a_second": rate, **vars(loaded)}
    ]
    for share in SHARES:
        known = int(len(rows) * share)
        right = exact(rows, queries, known)
        check(PathStore(name, exact=len(rows)), rows, queries, known, right)
        for way, few in WAYS.items():
            store = PathStore(name, exact=few)
            figures.append(
                report(server, rows, share, way, *ask(store, rows, queries, known, right))
            )
        figures.append(
            report(server, rows, share, "kernel", 1.0, kernel_times(rows, queries, known))
        )
    return figures


def exact(rows: Paths, queries: Any, known: int) -> Any:
    return nearest(
        queries,
        rows.paths,
        position=minutes(rows.time),
        group=rows.group,
        known_before=np.full(len(queries), known),
        exclusion=0,
        k=K,
        engine="cpu",
    )


def check(store: PathStore, rows: Paths, queries: Any, known: int, right: Any) -> None:
    """Comparing all finds the kernel's rows; where scores are equal another may stand."""
    until = np.full(len(queries), rows.known_at[known - 1])
    found = store.nearest(queries, known_by=until, number=minutes, exclusion=0, k=K)
    off = float(np.abs(found.score - right.score).max())
    if not off <= TOLERANCE or (found.index == right.index).mean() < 0.999:
        raise SystemExit(f"comparing all finds other rows, scores off by up to {off}")


def ask(
    store: PathStore, rows: Paths, queries: Any, known: int, right: Any
) -> tuple[float, list[float]]:
    """Share of the kernel's best that is found, by score, and the seconds of each query."""
    until, found, seconds = np.full(1, rows.known_at[known - 1]), [], []
    store.nearest(queries[:1], known_by=until, number=minutes, exclusion=0, k=K)
    for query in queries[:, None]:
        start = perf_counter()
        answer = store.nearest(query, known_by=until, number=minutes, exclusion=0, k=K)
        seconds.append(perf_counter() - start)
        found.append(answer.score[0, :RECALL])
    return float(
        (np.array(found) >= right.score[:, RECALL - 1 : RECALL] - TOLERANCE).mean()
    ), seconds


def kernel_times(rows: Paths, queries: Any, known: int) -> list[float]:
    seconds = []
    for query in queries[: QUERIES // 10, None]:
        start = perf_counter()
        exact(rows, query, known)
        seconds.append(perf_counter() - start)
    return seconds


def report(
    server: str, rows: Paths, share: float, way: str, recall: float, seconds: list[float]
) -> dict[str, Any]:
    least, median, late = np.quantile(seconds, [0, 0.5, 0.95]) * 1e3
    print(
        f"{share:>5.0%} {way:<7} recall {recall:.4f}  "
        f"ms: least {least:.2f}, median {median:.2f}, 95 % {late:.2f}"
    )
    return {
        "server": server,
        "paths": len(rows),
        "eligible": share,
        "way": way,
        "recall": recall,
        "least_ms": least,
        "median_ms": median,
        "late_ms": late,
    }
