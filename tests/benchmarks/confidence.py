"""Confidence on walks whose truth is known: what is reached of what could be known and earned.

Every walk of the zoo, `SEP_SEEDS` seeds each (32; `SEP_FIRST_SEED` says from where, 1), 20,000
bars, `SEP_PROCESSES` at a time. All walks without edge count towards false alarms: `SEP_NULLS`
seeds of each (67, 200 in all). Means over seeds with their 95 % interval; demands are on the mean.
`SEP_RESULTS` names a file that keeps what comes of each walk: the next run goes on from there.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from kernels.synthetic import WALKS

SEEDS = int(os.environ.get("SEP_SEEDS", "32"))
FIRST = int(os.environ.get("SEP_FIRST_SEED", "1"))
NULLS = int(os.environ.get("SEP_NULLS", "67"))
RESULTS = os.environ.get("SEP_RESULTS")
PROCESSES = int(os.environ.get("SEP_PROCESSES", str(len(os.sched_getaffinity(0)))))

EDGES = [name for name, walk in WALKS.items() if walk.has_edge]
NO_EDGES = [name for name, walk in WALKS.items() if not walk.has_edge]
POOLED = ("drift", "regime")

Figures = dict[str, float]
Job = tuple[str, int, bool]


def main() -> list[dict[str, Any]]:
    jobs = [(name, seed, True) for name in WALKS for seed in range(FIRST, FIRST + SEEDS)]
    jobs += [
        (name, seed, False) for name in NO_EDGES for seed in range(FIRST + SEEDS, FIRST + NULLS)
    ]
    # one thread a process: processes are many
    os.environ |= {"NUMBA_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    known = kept()
    rows = [known[job] for job in jobs if job in known]
    rows += studied([job for job in jobs if job not in known])
    by_walk: dict[str, list[Figures]] = defaultdict(list)
    for row in rows:
        by_walk[row["walk"]].append(row["figures"])
    for name, figures in by_walk.items():
        print_walk(name, figures)
    print()
    for line in demands(by_walk):
        print(line)
    return rows


def kept() -> dict[Job, dict[str, Any]]:
    """Return what an earlier run kept."""
    lines = Path(RESULTS).read_text().splitlines() if RESULTS and Path(RESULTS).exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["walk"], row["seed"], row["peers"]): row for row in rows}


def studied(jobs: list[Job]) -> list[dict[str, Any]]:
    """Study walks, several at a time, and keep what comes of each."""
    rows = []
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")))
        file = stack.enter_context(Path(RESULTS).open("a")) if RESULTS else None
        for done, row in enumerate(pool.map(judge, jobs, chunksize=1), start=1):
            rows.append(row)
            if file is not None:
                print(json.dumps(row), file=file, flush=True)
            if done % 20 == 0:
                print(f"... {done} of {len(jobs)}", flush=True)
    return rows


def judge(job: Job) -> dict[str, Any]:
    """Study one walk of one seed."""
    from tests.tasks.research.judging import judged
    from tests.tasks.research.walks import study

    name, seed, peers = job
    figures = judged(study(name, seed), peers=peers)
    return {"walk": name, "seed": seed, "peers": peers, "figures": figures}


def print_walk(name: str, figures: list[Figures]) -> None:
    names = sorted({each for row in figures for each in row})
    lines = {each: interval([row[each] for row in figures if each in row]) for each in names}
    main_ones = ("truth", "stack", "calibration", "coverage", "edge", "trades", "caution", "k")
    print(f"\n{name}: {len(figures)} seeds")
    print("  " + "; ".join(f"{each} {lines[each]}" for each in main_ones if each in lines))
    money = ("oracle", "net", "net by bound", "net of 0.1.0")
    print("  " + "; ".join(f"{each} {lines[each]}" for each in money if each in lines))
    rest = [each for each in names if each.startswith(("alone", "peer"))]
    for each in sorted(rest, key=lambda which: -mean(figures, which)):
        weight = lines.get(each.replace("alone", "weight"), "")
        print(f"    {each:<24}{lines[each]:<28}{'weight ' + weight if weight else ''}")


def demands(by_walk: dict[str, list[Figures]]) -> Iterator[str]:
    """Say what was asked, and what came."""
    drift, nulls = by_walk["drift"], [row for name in NO_EDGES for row in by_walk[name]]
    share = mean(drift, "stack") / mean(drift, "truth")
    yield verdict("share of the true skill, drift", share, share >= 0.88, ">= 0.88")
    for name in by_walk:
        yield from _beside_the_best(name, by_walk[name])
    for name in NO_EDGES:
        skill = mean(by_walk[name], "stack")
        yield verdict(f"skill without edge, {name}", skill, skill >= -0.002, ">= -0.002")
    false = int(sum(row["edge"] for row in nulls))
    low, high = binomtest(false, len(nulls)).proportion_ci()
    yield verdict(
        f"false edges, {false} of {len(nulls)} (95 % interval {low:.3f} to {high:.3f})",
        false / len(nulls),
        false / len(nulls) <= 0.05,
        "<= 0.05",
    )
    taken = _share_taken([row for name in POOLED for row in by_walk[name]])
    yield verdict(
        f"share of the oracle's gain, {' and '.join(POOLED)}", taken, taken >= 0.8, ">= 0.8"
    )
    found = mean(drift, "edge")
    yield verdict("drift walks that earn the verdict", found, found >= 0.8, ">= 0.8")
    for name in EDGES:
        if name not in POOLED and sum(row["oracle"] for row in by_walk[name]) > 0:
            yield f"      share of the oracle's gain, {name}: {_share_taken(by_walk[name]):.2f}"
    for name in by_walk:
        error = mean(by_walk[name], "calibration")
        yield verdict(f"calibration error, {name}", error, error <= 0.02, "<= 0.02")


def _beside_the_best(name: str, figures: list[Figures]) -> Iterator[str]:
    alone = {each for row in figures for each in row if each.startswith("alone")}
    best = max(alone, key=lambda each: mean(figures, each))
    skill, reached = mean(figures, best), mean(figures, "stack")
    if skill >= 0.01:
        good = reached >= 0.95 * skill or reached >= skill - 0.001
        yield verdict(f"stack / {best}, {name}", reached / skill, good, ">= 0.95 or within 0.001")


def _share_taken(figures: list[Figures]) -> float:
    return sum(row["net"] for row in figures) / sum(row["oracle"] for row in figures)


def mean(figures: list[Figures], name: str) -> float:
    return float(np.mean([row[name] for row in figures if name in row]))


def interval(values: list[float]) -> str:
    reach = 1.96 * float(np.std(values)) / max(1, len(values) - 1) ** 0.5
    return f"{np.mean(values):.4f} +- {reach:.4f}"


def verdict(what: str, value: float, good: bool, asked: str) -> str:
    return f"{'met  ' if good else 'MISSED'} {what}: {value:.4f} (asked {asked})"
