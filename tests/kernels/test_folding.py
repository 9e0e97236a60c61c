"""What the bounds of the CPU engine rule out, and that they never rule out a neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from kernels.cpu.folding import CHUNK, arrange, cut, edges, fold, principal, sides
from kernels.cpu.lanes import LANES, PAIR, TERMS, chained, reach
from kernels.cpu.nearest import EACH, MANY, MARGIN
from kernels.nearest import nearest


def unit(values: Any) -> Any:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def make_paths(kind: str, n: int, seed: int) -> Any:
    """Paths of which some differ by less than rounding, some lie in three directions."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, 64))
    if kind == "concentrated":
        values *= np.exp(-np.arange(64) / 8)
    if kind == "flat":
        values[:, 3:] = 0
    if kind == "equal":
        values = 1 + 1e-7 * values
    paths = unit(values)
    if kind == "long":
        paths *= rng.uniform(0.99, 1.01, (n, 1)).astype(np.float32)
    paths[rng.random(n) < 0.02, 7] = np.nan
    return paths


def weave(paths: Any) -> Any:
    return np.ascontiguousarray(paths.reshape(-1, 8, 8).transpose(0, 2, 1)).reshape(-1, 64)


@njit
def products(queries: Any, library: Any) -> Any:
    """Every score, from woven paths."""
    out = np.empty((len(queries), len(library)), np.float32)
    for i in range(len(queries)):
        for row in range(len(library)):
            out[i, row] = chained(queries, i, library, row)
    return out


@njit
def fold_all(paths: Any, basis: Any) -> Any:
    out = np.empty((len(paths), TERMS), np.float32)
    for i in range(len(paths)):
        fold(paths[i], basis, out[i])
    return out


@njit
def reaches(tiles: Any, tile: int, lane: int, vector: Any, limit: float) -> Any:
    limits = np.full(1, limit, np.float32)
    words = np.zeros(PAIR, np.int64)
    reach(tiles, tile, vector.reshape(1, -1), limits, np.zeros(PAIR, np.int64), 0, words)
    return (words[0] >> lane & 1) == 1


@njit
def lost(queries: Any, library: Any, scores: Any) -> int:
    """Count the pairs whose score the bound of the row, or of its box, does not reach."""
    boxes, tiles, rows, _ = library
    count, sided = 0, sides(queries)
    for i in range(len(queries)):
        for tile in range(len(tiles)):
            for lane in range(LANES):
                limit = scores[i, rows[tile, lane]] - MARGIN
                if limit == limit and tiles[tile, TERMS - 1, lane] >= 0:
                    count += not reaches(tiles, tile, lane, queries[i], limit)
                    count += not reaches(boxes, tile // LANES, tile % LANES, sided[i], limit)
    return count


@pytest.mark.parametrize("kind", ["even", "concentrated", "flat", "equal", "long"])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 129, 5000])
def test_no_score_is_above_its_bounds(kind: str, n: int) -> None:
    library, queries = make_paths(kind, n, n), make_paths(kind, 20, 1)
    basis = principal(library)
    folded, order = fold_all(library, basis), np.arange(n)
    arrange(folded, order)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    scores = products(weave(queries), weave(library))
    assert lost(fold_all(queries, basis), cut(folded, order), scores) == 0


def test_bounds_rule_out_most_rows_of_a_concentrated_library() -> None:
    library, queries = make_paths("concentrated", 20_000, 1), make_paths("concentrated", 50, 2)
    basis = principal(library)
    rows, asked = fold_all(library, basis), fold_all(queries, basis)
    scores = products(weave(queries), weave(library))
    best = np.sort(np.where(np.isnan(scores), -1, scores), axis=1)[:, -64:-63]
    assert np.nanmean(asked @ rows.T >= best - MARGIN) < 0.05


@pytest.mark.parametrize(("least", "most"), [(0, 0), (0, 5), (100, CHUNK), (0, 9 * CHUNK)])
def test_chunks_cover_the_library(least: int, most: int) -> None:
    edge = edges(least, most)
    assert edge[0] == 0
    assert edge[-1] == most
    assert (edge[1:-1] % LANES == 0).all()
    assert (np.diff(edge) > 0).all() or most == 0


def expected(scores: Any, known: Any, k: int) -> tuple[Any, Any]:
    """The first k by score descending, then by index, of the rows each query knows."""
    rows = np.arange(scores.shape[1])
    seen = np.where((rows < known[:, None]) & ~np.isnan(scores), scores, -np.inf)
    index = np.argsort(-seen, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(seen, index, axis=1)
    return np.where(best > -np.inf, best, np.nan), np.where(best > -np.inf, index, -1)


@pytest.mark.parametrize("kind", ["even", "concentrated", "flat", "equal"])
@pytest.mark.parametrize(("n", "k"), [(70, 64), (3000, 1), (3000, 300), (2 * CHUNK + 77, 64)])
def test_an_arranged_library_has_the_answer_of_every_product(kind: str, n: int, k: int) -> None:
    rng = np.random.default_rng(n)
    queries, library = make_paths(kind, MANY, 5), make_paths(kind, n, n)
    library[rng.integers(0, n, n // 3)] = library[rng.integers(0, n, n // 3)]
    check(queries, library, rng.integers(0, n + 1, MANY), k)


def test_a_guess_that_was_too_high_is_made_good() -> None:
    """The rows of the sample are nearer than all others: their scores promise too much."""
    queries, library = make_paths("even", 40, 5), make_paths("even", 4000, 6)
    library[EACH // 2 :: EACH] = unit(make_paths("even", 1, 7)[0] + 0.01 * library[::EACH])
    queries[:] = unit(library[EACH // 2] + 0.1 * np.nan_to_num(queries))
    library[np.isnan(library[:, 0])] = np.nan
    check(queries, library, np.full(40, 4000), 300)


def check(queries: Any, library: Any, known: Any, k: int) -> None:
    n = len(library)
    found = nearest(
        queries,
        library,
        position=np.arange(n),
        group=np.zeros(n, np.int32),
        known_before=known,
        exclusion=0,
        k=k,
        engine="cpu",
    )
    score, index = expected(products(weave(queries), weave(library)), known, k)
    count = score.shape[1]
    np.testing.assert_array_equal(found.score[:, :count], score)
    np.testing.assert_array_equal(found.index[:, :count], index)
    assert (found.index[:, count:] == -1).all()
