"""What a local logistic fit of both sides adds to the search of its neighbours.

Queries and library are those of `nearest`, drawn at random; features and outcomes are random, with
log-odds linear in the features. Before anything is timed the fits of a sample are compared with the
slow twin's. NOTES.md tells what the figures mean.
"""

from __future__ import annotations

from time import process_time
from typing import Any, NamedTuple

import numpy as np

from kernels.device import choose_engine, move, to_host
from kernels.local import local_logistic
from kernels.nearest import Neighbours, nearest
from kernels.paths import has_path
from tests import naive
from tests.benchmarks.kernels import print_hardware, timed
from tests.benchmarks.nearest import HORIZON, LIBRARIES, make_paths, usable

K, FEATURES = 128, 5
QUERIES = {"cpu": 20_000, "gpu": 372_000}
CHECKED = 100
TOLERANCE = 1e-9
BASE_RATE, STRENGTH, RIDGE = (0.4, 0.42), 20.0, 1.0
MOST = 1.5
"""Search and fit may take so many times the search alone."""


class Made(NamedTuple):
    """Paths asked and searched, and what a fit takes besides; rows are bars of the library."""

    asked: Any
    library: Any
    queries: Any
    features: Any
    win: Any


def main() -> list[dict[str, Any]]:
    print_hardware()
    source, paths = make_paths()
    bars = np.flatnonzero(has_path(paths))
    print(f"{len(paths):,} bars, {source}; k = {K}, {FEATURES} features")
    print(
        f"{'library':<26}{'engine':<8}{'queries':>9}{'search s':>11}{'fit s':>10}"
        f"{'together':>10}{'sides/s':>12}{'a core':>10}"
    )
    return [
        measure(engine, name, make(paths, bars, bars[::stride], QUERIES[engine]))
        for engine in ("cpu", "gpu")
        if usable(engine)
        for name, stride in LIBRARIES.items()
    ]


def make(paths: Any, bars: Any, rows: Any, count: int) -> Made:
    rng = np.random.default_rng(0)
    asked = rng.choice(bars, count)
    features = rng.standard_normal((len(paths), FEATURES)).astype(np.float32)
    odds = features.sum(axis=1) / 4 - 0.4
    chance = 1 / (1 + np.exp(-np.stack([odds, -odds], axis=1)))
    win = (rng.random(chance.shape) < chance).astype(np.int8)
    return Made(paths[asked], paths[rows], features[asked], features[rows], win[rows])


def measure(engine: str, name: str, made: Made) -> dict[str, Any]:
    xp = choose_engine(engine).xp
    there = Made(*(move(array, xp) for array in made))
    known = xp.full(len(made.asked), len(made.library), np.int64)
    position, group = xp.arange(len(made.library)), xp.zeros(len(made.library), np.int32)

    def search() -> Neighbours:
        return nearest(
            there.asked,
            there.library,
            position=position,
            group=group,
            known_before=known,
            exclusion=max(1, HORIZON // 15),
            k=K,
            engine=engine,
        )

    found = search()

    def fit() -> Any:
        prior: dict[str, Any] = {"base_rate": BASE_RATE, "strength": STRENGTH, "ridge": RIDGE}
        return local_logistic(found, *there[2:], **prior, engine=engine)

    check(found, made, to_host(fit()))
    name = f"{name}, {len(made.library):,}"
    taken = timed(search, engine, runs=3), timed(fit, engine)
    return report(engine, name, len(made.asked), *taken, fit)


def check(found: Neighbours, made: Made, computed: Any) -> None:
    """Equal to the slow twin before anything is timed."""
    score, index = to_host(found.score[:CHECKED]), to_host(found.index[:CHECKED])
    for i in range(CHECKED):
        for side, rate in enumerate(BASE_RATE):
            slow = naive.local_logistic(
                score[i], index[i], made.queries[i], made.features, made.win[:, side],
                base_rate=rate, strength=STRENGTH, ridge=RIDGE,
            )  # fmt: skip
            if not abs(computed[i, side] - slow) <= TOLERANCE:
                raise SystemExit(f"query {i}: fits {computed[i, side]}, the reference {slow}")


def report(
    engine: str, name: str, queries: int, search: float, fit: float, again: Any
) -> dict[str, Any]:
    """Print and return a line; core time is the CPU's alone, fastest of three more runs."""
    cores = []
    for _ in range(3 if engine == "cpu" else 0):
        start = process_time()
        again()
        cores.append(process_time() - start)
    together, rate = (search + fit) / search, 2 * queries / fit
    core = 2 * queries / min(cores) if cores else None
    print(
        f"{name:<26}{engine:<8}{queries:>9,}{search:>11.4f}{fit:>10.4f}{together:>9.2f}x"
        f"{rate:>12,.0f}{f'{core:,.0f}' if core else '':>10}"
        f"{'' if together <= MOST else f'  above {MOST}x'}"
    )
    return {
        "library": name,
        "engine": engine,
        "queries": queries,
        "search_seconds": search,
        "fit_seconds": fit,
        "together_over_search": together,
        "sides_a_second": rate,
        "sides_a_second_a_core": core,
    }
