"""Nearest paths against the slow twin; what may not be known is never found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernels.device import Gpu, array_module, to_host
from kernels.nearest import PathIndex, nearest, search_parts
from kernels.plan import Plan
from tests import naive
from tests.kernels.shim import load_on_cpu, no_compiler

Native = Callable[[Any], Any]
Found = tuple[np.ndarray, np.ndarray]
needs_compiler = pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    values = rng.standard_normal((n, 64)) * np.exp(-np.arange(64) / 8)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values.astype(np.float32)


def world(q: int, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Queries that each know a part of a library of two groups, with gaps, copies and NaN rows."""
    rng = np.random.default_rng(seed + 1000 * q + n)
    library = unit(rng, n)
    if n > 20:
        library[rng.integers(0, n, n // 10)] = library[rng.integers(0, n, n // 10)]
        library[rng.integers(0, n, n // 20), 5] = np.nan
    queries = unit(rng, q)
    queries[rng.random(q) < 0.05, 63] = np.nan
    return {
        "queries": queries,
        "library": library,
        "position": np.cumsum(rng.integers(0, 6, n)),
        "group": rng.integers(0, 2, n).astype(np.int32),
        "known_before": np.sort(rng.integers(0, n + 1, q)),
    }


def find(native: Native, world: dict[str, np.ndarray], **options: Any) -> Found:
    queries, *rest = (native(array) for array in world.values())
    found = nearest(
        queries, rest[0], **dict(zip(list(world)[2:], rest[1:], strict=True)), **options
    )
    assert array_module(found.score) is array_module(found.index) is array_module(queries)
    return to_host(found.score), to_host(found.index)


def exact(world: dict[str, np.ndarray], index: np.ndarray) -> np.ndarray:
    """Scores of found rows in float64; NaN where there is none."""
    queries, library = (world[name].astype(np.float64) for name in ("queries", "library"))
    scores = np.einsum("qd,qkd->qk", queries, library[np.maximum(index, 0)])
    return np.where(index >= 0, scores, np.nan)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 127, 128, 129, 700])
@pytest.mark.parametrize("q", [1, 3, 4, 5, 63, 64, 65, 127])
def test_the_top_k_is_that_of_the_slow_twin(engine: str, native: Native, q: int, n: int) -> None:
    paths = world(q, n)
    k = 16
    score, index = find(native, paths, exclusion=0, k=k, engine=engine)
    expected = naive.nearest(**paths, exclusion=0, k=k)
    for i, (best, _) in enumerate(expected):
        count = len(best)
        np.testing.assert_allclose(score[i, :count], best, atol=5e-6)
        assert np.isnan(score[i, count:]).all()
        assert (index[i, count:] == -1).all()
        assert (index[i, :count] < paths["known_before"][i]).all()
        assert len(set(index[i, :count])) == count
    if n:
        np.testing.assert_allclose(exact(paths, index), score, atol=5e-6)


@needs_compiler
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(("q", "n", "k"), [(1, 1, 1), (32, 65, 8), (33, 2300, 64)])
def test_the_cuda_source_finds_what_the_cpu_finds(q: int, n: int, k: int, capability: int) -> None:
    paths = world(q, n)
    for exclusion in (0, 9):
        expected = find(np.ascontiguousarray, paths, exclusion=exclusion, k=k, engine="cpu")
        assert_same_neighbours(on_shim(paths, k, exclusion, capability=capability), expected)


@needs_compiler
@pytest.mark.parametrize("part", [30, 190])
def test_a_library_in_parts_has_the_same_answer(part: int) -> None:
    paths = world(20, 200)
    whole = on_shim(paths, 16, 9)
    parts = on_shim(paths, 16, 9, part=part, batch=17)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_compiler
@pytest.mark.parametrize("capability", [75, 80, 90])
def test_thousands_of_equal_rows_do_not_overflow(capability: int) -> None:
    paths = world(3, 2200)
    paths["queries"] = np.nan_to_num(paths["queries"])
    paths["library"][:] = unit(np.random.default_rng(0), 1)
    paths["known_before"][:] = (2200, 2100, 5)
    _, index = on_shim(paths, 20, 0, capability=capability)
    np.testing.assert_array_equal(index[:2], np.tile(np.arange(20), (2, 1)))
    np.testing.assert_array_equal(index[2, :6], (0, 1, 2, 3, 4, -1))


@needs_compiler
def test_memory_that_runs_out_halves_the_plan() -> None:
    paths = world(40, 9000)
    bodies: list[int] = []

    def short_of_memory(module: str, name: str, **defines: int) -> Callable[..., None]:
        def run(grid: Any, block: Any, arguments: Any) -> None:
            if name == "halve":
                bodies.append(int(arguments[0]))
                if arguments[0] > 4500:
                    raise MemoryError
            load_on_cpu(module, name, **defines)(grid, block, arguments)

        return run

    expected = find(np.ascontiguousarray, paths, exclusion=9, k=16, engine="cpu")
    assert_same_neighbours(on_shim(paths, 16, 9, load=short_of_memory), expected)
    assert bodies == [9000, 4500, 4500]


def on_shim(
    world: dict[str, np.ndarray],
    k: int,
    exclusion: int,
    *,
    part: int = 1 << 30,
    batch: int = 1 << 30,
    capability: int = 80,
    load: Any = load_on_cpu,
) -> Found:
    """Run the CUDA source and its host code on the CPU."""
    gpu = Gpu(load, np, 2, lambda: 1 << 40, capability)
    queries, library, position, group, known = world.values()
    q, n = len(queries), len(library)
    plan = Plan(n, q, min(part, n), min(batch, q), k)
    return search_parts(gpu, queries, (library, position, group), known, plan, exclusion)


def assert_same_neighbours(found: Found, expected: Found) -> None:
    """Equal scores up to rounding, and rows wherever no other score is as near."""
    np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(expected[0]))
    np.testing.assert_allclose(found[0], expected[0], atol=5e-6)
    assert (found[1] == expected[1]).mean() > 0.95


@pytest.mark.parametrize("free", [1 << 40, 1 << 30, 200 << 20, 80 << 20])
def test_a_plan_fits_its_memory_and_covers_the_library(free: int) -> None:
    plan = Plan.fit(3_000_000, 20_000, 64, free)
    assert plan.bytes <= 0.9 * free
    assert [part.start for part in plan.parts()] == list(range(0, 3_000_000, plan.part))
    assert list(plan.parts())[-1].stop == 3_000_000
    assert f"{plan.part:,}" in str(plan)


def test_a_plan_that_cannot_fit_says_what_to_do() -> None:
    with pytest.raises(MemoryError, match="engine='cpu'"):
        Plan.fit(3_000_000, 20_000, 64, 10 << 20)


def test_an_index_answers_as_nearest_does(engine: str, native: Native) -> None:
    paths = {name: native(array) for name, array in world(50, 500).items()}
    expected = nearest(**paths, exclusion=9, k=24, engine=engine)
    rows = {name: paths[name] for name in ("position", "group")}
    index = PathIndex.build(paths["library"], **rows, engine=engine)
    known = paths["known_before"]
    for half in (slice(0, 25), slice(25, 50)):
        found = index.nearest(paths["queries"][half], known_before=known[half], exclusion=9, k=24)
        np.testing.assert_array_equal(to_host(found.score), to_host(expected.score[half]))
        np.testing.assert_array_equal(to_host(found.index), to_host(expected.index[half]))


def test_recall_by_score_is_whole(engine: str, native: Native) -> None:
    paths = world(200, 5000)
    k = 64
    _, index = find(native, paths, exclusion=0, k=k, engine=engine)
    expected = naive.nearest(**paths, exclusion=0, k=k)
    hit = total = 0
    for i, (best, _) in enumerate(expected):
        if len(best):
            hit += int((exact(paths, index)[i, : len(best)] >= best[-1] - 1e-9).sum())
            total += len(best)
    assert hit / total >= 0.999


@pytest.mark.parametrize("exclusion", [1, 5, 60, 10**6])
def test_overlapping_neighbours_are_dropped_best_first(
    engine: str, native: Native, exclusion: int
) -> None:
    paths = world(65, 700)
    all_scores, all_rows = find(native, paths, exclusion=0, k=32, engine=engine)
    score, index = find(native, paths, exclusion=exclusion, k=32, engine=engine)
    for i in range(65):
        rows = [int(row) for row in all_rows[i] if row >= 0]
        kept = naive.thin(rows, paths["position"], paths["group"], exclusion)
        assert [int(row) for row in index[i] if row >= 0] == kept
        place = np.isin(all_rows[i], kept) & (all_rows[i] >= 0)
        np.testing.assert_array_equal(score[i, : len(kept)], all_scores[i, place])


def test_of_equal_scores_the_earlier_row_leads(engine: str, native: Native) -> None:
    paths = world(70, 300)
    paths["library"][:] = paths["library"][0]
    paths["known_before"][:] = np.arange(70) + 200
    paths["queries"] = np.nan_to_num(paths["queries"])
    _, index = find(native, paths, exclusion=0, k=20, engine=engine)
    np.testing.assert_array_equal(index, np.tile(np.arange(20), (70, 1)))


@pytest.mark.parametrize("piece", [1, 3, 64, 100])
def test_an_answer_does_not_depend_on_the_other_queries(
    engine: str, native: Native, piece: int
) -> None:
    paths = world(201, 900)
    score, index = find(native, paths, exclusion=9, k=24, engine=engine)
    order = np.random.default_rng(0).permutation(201)
    for first in range(0, 201, piece):
        rows = order[first : first + piece]
        part = {**paths, **{name: paths[name][rows] for name in ("queries", "known_before")}}
        some = find(native, part, exclusion=9, k=24, engine=engine)
        np.testing.assert_array_equal(some[0], score[rows])
        np.testing.assert_array_equal(some[1], index[rows])


def test_what_may_not_be_known_changes_nothing(engine: str, native: Native) -> None:
    paths = world(64, 800)
    paths["known_before"] = np.minimum(paths["known_before"], 500)
    expected = find(native, paths, exclusion=9, k=24, engine=engine)
    poisoned = {name: array.copy() for name, array in paths.items()}
    poisoned["library"][500:] = np.nan
    shorter = {
        name: array[:500] if name in ("library", "position", "group") else array
        for name, array in paths.items()
    }
    for other in (poisoned, shorter):
        found = find(native, other, exclusion=9, k=24, engine=engine)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_a_future_twin_is_never_a_neighbour(engine: str, native: Native) -> None:
    paths = world(130, 400)
    paths["queries"] = np.nan_to_num(paths["queries"])
    paths["known_before"] = np.arange(130) + 100
    for i, known in enumerate(paths["known_before"]):
        paths["library"][known] = paths["queries"][i]
    _, index = find(native, paths, exclusion=0, k=8, engine=engine)
    assert not (index == paths["known_before"][:, None]).any()
    paths["known_before"] += 1
    score, index = find(native, paths, exclusion=0, k=8, engine=engine)
    np.testing.assert_array_equal(index[:, 0], paths["known_before"] - 1)
    np.testing.assert_allclose(score[:, 0], 1, atol=1e-6)


def test_nothing_known_or_no_path_means_no_neighbours(engine: str, native: Native) -> None:
    paths = world(10, 50)
    paths["known_before"][:5] = 0
    paths["queries"][5:, 0] = np.nan
    score, index = find(native, paths, exclusion=0, engine=engine)
    assert np.isnan(score).all()
    assert (index == -1).all()


@pytest.mark.parametrize(("q", "n"), [(0, 10), (5, 0), (0, 0)])
def test_empty_worlds_have_empty_answers(engine: str, native: Native, q: int, n: int) -> None:
    score, index = find(native, world(q, n), exclusion=3, k=7, engine=engine)
    assert score.shape == index.shape == (q, 7)
    assert (index == -1).all()


def test_k_may_exceed_the_library(engine: str, native: Native) -> None:
    paths = world(5, 9)
    paths["known_before"][:] = 9
    paths["queries"] = np.nan_to_num(paths["queries"])
    score, index = find(native, paths, exclusion=0, k=100, engine=engine)
    assert (np.sort(index[:, :9], axis=1) == np.arange(9)).all()
    assert np.isnan(score[:, 9:]).all()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"queries": np.zeros((3, 64))}, TypeError),
        ({"queries": np.zeros((3, 63), np.float32)}, ValueError),
        ({"library": np.zeros(64, np.float32)}, ValueError),
        ({"position": np.zeros(9, np.int32)}, TypeError),
        ({"position": np.zeros(8, np.int64)}, ValueError),
        ({"group": np.zeros(9, np.int64)}, TypeError),
        ({"known_before": np.array([0, 1, 10])}, ValueError),
        ({"known_before": np.array([0, -1, 9])}, ValueError),
        ({"k": 0}, ValueError),
        ({"k": 513}, ValueError),
        ({"queries": np.full((3, 64), 0.2, np.float32)}, ValueError),
        ({"library": np.full((9, 64), 0.1, np.float32)}, ValueError),
        ({"exclusion": -1}, ValueError),
    ],
)
def test_bad_input_is_named(
    engine: str, native: Native, change: dict[str, Any], error: type[Exception]
) -> None:
    arguments: dict[str, Any] = {**world(3, 9), "k": 4, "exclusion": 0, **change}
    there = {k: native(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    with pytest.raises(error, match=next(iter(change))):
        nearest(**there, engine=engine)
