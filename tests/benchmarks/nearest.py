"""How fast the nearest paths of a query are found, beside `faiss` on the same cores.

Each engine answers two questions. `all`: 20,000 queries, drawn at random, each see the whole
library. `causal`: every bar asks, and sees only what was known at its close. The peer is
`IndexFlatIP` of faiss, which knows no time: it takes part in the first alone, and its scores must
be ours. `SEP_BENCHMARK_BARS` names a Parquet file of minutes with timestamp and close; without it
the bars are a random walk. NOTES.md tells what the figures mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from kernels.bits import encode_bits, transitions, volatility
from kernels.damping import damp
from kernels.device import choose_engine, gpu_unavailable, move, to_host
from kernels.nearest import nearest
from kernels.paths import fit_standard, has_path, unit_paths
from kernels.segments import segments
from kernels.synthetic import random_walk
from tests.benchmarks.kernels import print_hardware, timed

BARS = 1 << 19
HORIZON = 60
K = 64
QUERIES = 20_000
RUN = 64
"""Consecutive bars of the causal question; such runs are spread over all bars."""

LIBRARIES = {"every 15th bar": HORIZON // 4, "every bar": 1}
TOLERANCE = 5e-6


@dataclass(frozen=True)
class Question:
    """Queries, the library they ask, and how much of it each may see."""

    name: str
    queries: Any
    library: Any
    position: Any
    known_before: Any

    def answer(self, engine: str) -> Any:
        group = choose_engine(engine).xp.zeros(len(self.library), np.int32)
        return nearest(
            self.queries,
            self.library,
            position=self.position,
            group=group,
            known_before=self.known_before,
            exclusion=0,
            k=K,
            engine=engine,
        )

    def on(self, engine: str) -> Question:
        xp = choose_engine(engine).xp
        arrays = (self.queries, self.library, self.position, self.known_before)
        return Question(self.name, *(move(array, xp) for array in arrays))


def main() -> list[dict[str, Any]]:
    print_hardware()
    source, paths = make_paths()
    print(f"{len(paths):,} bars, {source}")
    engines = [name for name in ("cpu", "gpu") if usable(name)]
    figures = []
    for question in questions(paths):
        print(
            f"\n{question.name}: {len(question.queries):,} queries, {len(question.library):,} rows"
        )
        print_survivors(question)
        rates: dict[str, float | None] = {
            engine: time_engine(question, engine) for engine in engines
        }
        if "causal" not in question.name:
            rates["faiss"] = time_faiss(question)
        figures += [report(question, *rate, rates.get("faiss")) for rate in rates.items()]
    return figures


def usable(engine: str) -> bool:
    missing = gpu_unavailable() if engine == "gpu" else None
    if missing is not None:
        print(f"gpu: {missing}")
    return missing is None


def make_paths() -> tuple[str, Any]:
    """Unit paths of the bars of the file, or of a walk."""
    file = os.environ.get("SEP_BENCHMARK_BARS")
    close, bars = read(file) if file else (random_walk(BARS, seed=2).close, np.arange(BARS))
    edges = segments(np.asarray(bars), bar_seconds=60) if file else np.zeros(BARS, np.int32)
    bits, valid = encode_bits({"close": close}, edges, engine="cpu")
    events, log_price = transitions(bits, valid, edges, engine="cpu"), np.log(close)
    deviation = volatility(log_price, edges, engine="cpu")
    trajectory = damp(events, log_price, deviation, edges, engine="cpu").trajectory
    standard = fit_standard(trajectory, np.arange(len(close)) < len(close) // 2)
    return file or "a random walk", unit_paths(trajectory, standard)


def read(file: str) -> tuple[Any, Any]:
    frame = import_module("polars").read_parquet(file)
    return frame["close"].to_numpy(), frame["timestamp"].dt.epoch("us").to_numpy()


def questions(paths: Any) -> Iterator[Question]:
    bars = np.flatnonzero(has_path(paths))
    asked = np.random.default_rng(0).choice(bars, QUERIES)
    starts = np.linspace(bars[0], len(paths) - RUN, QUERIES // RUN).astype(np.int64)
    runs = (starts[:, None] + np.arange(RUN)).ravel()
    for name, stride in LIBRARIES.items():
        rows = bars[::stride]
        library = paths[rows]
        whole = np.full(len(asked), len(rows))
        yield Question(f"all, {name}", paths[asked], library, rows, whole)
        known = np.searchsorted(rows + HORIZON + 1, runs, side="right")
        yield Question(f"causal, {name}", paths[runs], library, rows, known)


def time_engine(question: Question, engine: str) -> float:
    """Seconds of the fastest answer."""
    there = question.on(engine)
    there.answer(engine)
    return timed(lambda: there.answer(engine), engine, runs=3)


def time_faiss(question: Question) -> float | None:
    """Seconds of the peer, once its scores are seen to be ours; None where it is not installed."""
    try:
        faiss = import_module("faiss")
    except ImportError as error:
        print(f"faiss: {error}; pip install faiss-cpu")
        return None
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    peer = faiss.IndexFlatIP(question.library.shape[1])
    peer.add(question.library)
    found, _ = peer.search(question.queries, K)
    off = np.abs(to_host(question.answer("cpu").score) - found).max()
    if not off <= TOLERANCE:
        raise SystemExit(f"faiss finds other scores, off by up to {off}")
    return timed(lambda: peer.search(question.queries, K), "cpu", runs=3)


def print_survivors(question: Question, count: int = 200) -> None:
    """Rows that a bound from so many principal directions leaves, at the final k-th score."""
    every = slice(None, None, len(question.queries) // count)
    queries, known = question.queries[every], question.known_before[every]
    moment = question.library.T.astype(np.float64) @ question.library
    basis = np.linalg.eigh(moment)[1][:, ::-1].astype(np.float32)
    score = question.on("cpu").answer("cpu").score[every, K - 1]
    turned, rows = queries @ basis, question.library @ basis
    told = []
    for kept in (4, 8, 12, 16, 24, 32):
        bound = turned[:, :kept] @ rows[:, :kept].T + np.outer(
            *(np.linalg.norm(part[:, kept:], axis=1) for part in (turned, rows))
        )
        seen = np.arange(len(rows)) < known[:, None]
        left = ((bound >= score[:, None]) & seen).sum() / max(1, seen.sum())
        told.append(f"{kept}: {left:.2%}")
    print("rows left by a bound of so many directions: " + ", ".join(told))


def report(
    question: Question, engine: str, seconds: float | None, peer: float | None
) -> dict[str, Any]:
    queries = len(question.queries)
    pairs = float(np.sum(question.known_before))
    if seconds:
        ratio = f", {peer / seconds:.2f}x faiss" if peer and engine != "faiss" else ""
        print(
            f"{engine:<6}{seconds:>9.3f} s{queries / seconds:>12,.0f} queries/s"
            f"{pairs / seconds:>10.3g} pairs/s{ratio}"
        )
    return {
        "question": question.name,
        "engine": engine,
        "queries": queries,
        "rows": len(question.library),
        "seconds": seconds,
        "queries_a_second": queries / seconds if seconds else None,
        "speed_up_over_faiss": peer / seconds if peer and seconds else None,
    }
