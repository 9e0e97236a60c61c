"""One body of tests for every path library: in memory, and in the database by scan and by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

from infra.postgres import database as db
from infra.postgres.extensions import PathStoreError
from infra.stores.bulk import BarStore
from infra.stores.paths import EXACT, PathStore, libraries
from kernels.nearest import Neighbours
from tasks.intake.rows import planted_rows
from tasks.live.newest import predict_newest
from tasks.research.library import Library, PathLibrary
from tasks.research.model import Model
from tasks.research.recipe import Recipe
from tasks.research.search import Rule, search
from tasks.research.stored import StoredLibrary, as_paths, open_library
from tasks.research.timeline import Timeline
from tasks.research.walkforward import replay
from tests import naive
from tests.infra.databases import address, empty_database
from tests.tasks.research.walks import run

KINDS = {"exact": None, "scan": "embedded", "hnsw": "embedded", "diskann": "vectorscale"}
HORIZON = 5
BARS = 400
LOCAL = ["local_long", "local_short"]
BELIEVED = cs.starts_with("confidence", "lower", "upper", "expected", "doubt", "margin")
NUMBERED = 64
LENGTH = np.timedelta64(3_600_000_000, "us")
TIMELINE = Timeline(np.datetime64("2026-01-05T00:00", "us") + np.arange(BARS) * LENGTH)

Make = Callable[[Library], PathLibrary]


@pytest.fixture(params=KINDS)
def make(
    request: pytest.FixtureRequest,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Make]:
    """Build a library of one kind from rows."""
    server = KINDS[request.param]
    if server is None:
        yield lambda library: library
        return
    store = PathStore("tested", exact=EXACT if request.param == "scan" else 0)

    def stored(library: Library) -> PathLibrary:
        store.load(as_paths(library, LENGTH))
        return StoredLibrary(store, LENGTH)

    with empty_database(address(server, home, request.config), monkeypatch):
        db.migrate()
        yield stored


def unit(n: int, seed: int) -> NDArray[np.float32]:
    paths = np.random.default_rng(seed).normal(size=(n, 64)).astype(np.float32)
    return np.asarray(paths / np.linalg.norm(paths, axis=1, keepdims=True))


def library_of(n: int, *, groups: int = 1, seed: int = 1) -> Library:
    """A path each two bars, its outcome known a horizon and a bar later; groups take turns."""
    position = np.arange(n, dtype=np.int64) * 2
    return Library(
        paths=unit(n, seed),
        time=TIMELINE.starts[position],
        known=TIMELINE.starts[position + HORIZON + 1],
        win=np.random.default_rng(seed).integers(0, 2, (n, 2)).astype(np.int8),
        group=np.arange(n, dtype=np.int32) % groups,
        features=features_of(n, seed),
    )


def features_of(n: int, seed: int) -> NDArray[np.float32]:
    """Random ones, but the first, which numbers the rows."""
    features = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    features[:, 0] = np.arange(n) / NUMBERED
    return features


def expected(
    library: Library, paths: Any, positions: Any, *, exclusion: int, k: int
) -> list[tuple[Any, list[int]]]:
    known = library.known_before(TIMELINE.starts[positions])
    position = TIMELINE.numbers(library.time)
    return naive.nearest(paths, library.paths, position, library.group, known, exclusion, k)


def nearest_of(asked: PathLibrary, paths: Any, positions: Any, **options: Any) -> Neighbours:
    """Ask a library for neighbours, and number them as the rows of `library_of`."""
    found = asked.find(paths, positions, TIMELINE, **options)
    number = np.append(found.features[:, 0] * NUMBERED, -1)[found.neighbours.index]
    assert found.win.shape == (len(found.features), 2)
    return Neighbours(found.neighbours.score, number.astype(np.int64))


def answers_of(asked: PathLibrary, paths: Any, positions: Any, **changes: Any) -> pl.DataFrame:
    """Search a library by a rule."""
    features = features_of(len(paths), seed=9)
    rule = replace(Rule(HORIZON, k=20, strength=8.0, ridge=1.0, base_rate=(0.4, 0.55)), **changes)
    return search(paths, features, positions, asked, TIMELINE, rule=rule, engine="cpu")


def up_to(library: Library, bar: int) -> Library:
    return library.take(library.known <= TIMELINE.starts[bar])


@pytest.mark.parametrize(("groups", "exclusion", "k"), [(1, 0, 8), (1, HORIZON, 20), (3, 40, 64)])
def test_nearest_are_those_of_the_definition(
    make: Make, groups: int, exclusion: int, k: int
) -> None:
    library = library_of(90, groups=groups)
    paths, positions = unit(30, seed=2), np.linspace(0, 190, 30).astype(np.int64)
    asked = make(library)
    found = nearest_of(asked, paths, positions, exclusion=exclusion, k=k)
    answers = answers_of(asked, paths, positions, horizon=exclusion, k=k)
    wins = answers.select("wins_long", "wins_short").to_numpy()
    right = expected(library, paths, positions, exclusion=exclusion, k=k)
    for row, (score, index) in enumerate(right):
        n = len(index)
        assert found.index[row].tolist() == index + [-1] * (k - n)
        np.testing.assert_allclose(found.score[row, :n], score, atol=5e-6)
        assert np.isnan(found.score[row, n:]).all()
        assert wins[row].tolist() == library.win[index].sum(axis=0).tolist()
        assert answers["k_eff"][row] == n
    assert (found.score.dtype, found.index.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("ridge", [0.1, 10.0])
def test_search_answers_as_the_library_in_memory(make: Make, ridge: float) -> None:
    """Scores differ in their last bits, and so the local fit; nothing else does."""
    library = library_of(90, groups=2)
    library.features[4, 3] = np.nan  # told nothing by
    paths, positions = unit(50, seed=2), np.linspace(0, 190, 50).astype(np.int64)
    told = answers_of(make(library), paths, positions, ridge=ridge)
    right = answers_of(library, paths, positions, ridge=ridge)
    assert right["local_long"].is_finite().sum() > 40
    assert right["local_long"].is_nan().any()
    assert_frame_equal(told.drop(LOCAL), right.drop(LOCAL))
    assert_frame_equal(told.select(LOCAL), right.select(LOCAL), rel_tol=0, abs_tol=1e-5)


def test_future_twin_is_never_a_neighbour(make: Make) -> None:
    """An exact copy of the query, of which one bar too few is known, and then enough."""
    library = library_of(90)
    twin = np.array([60, 60], np.int64)
    positions = TIMELINE.numbers(library.known[twin]) + np.array([-1, 0])
    found = nearest_of(make(library), library.paths[twin], positions, exclusion=0, k=90)
    assert 60 not in found.index[0]
    assert found.index[0].max() == 59
    assert found.index[1, 0] == 60
    assert found.score[1, 0] == pytest.approx(1, abs=5e-6)


def test_equal_scores_go_to_the_earlier_row(make: Make) -> None:
    library = library_of(90)
    library.paths[[10, 40, 70]] = library.paths[5]
    found = nearest_of(make(library), library.paths[[5]], np.array([300]), exclusion=0, k=8)
    assert found.index[0, :4].tolist() == [5, 10, 40, 70]


def test_overlapping_rows_of_another_group_stay(make: Make) -> None:
    library = library_of(90, groups=2)
    library.paths[[20, 21, 22]] = library.paths[20]
    found = nearest_of(make(library), library.paths[[20]], np.array([300]), exclusion=HORIZON, k=8)
    assert found.index[0, :2].tolist() == [20, 21]
    assert 22 not in found.index


def test_query_without_a_path_has_no_neighbours(make: Make) -> None:
    library = library_of(90)
    paths = library.paths[:3].copy()
    paths[1, 7] = np.nan
    asked = make(library)
    positions = np.full(3, 300)
    found = nearest_of(asked, paths, positions, exclusion=0, k=4)
    assert (found.index >= 0).all(axis=1).tolist() == [True, False, True]
    assert np.isnan(found.score[1]).all()
    answers = answers_of(asked, paths, positions, horizon=0, k=4)
    assert answers["k_eff"].to_list() == [4, 0, 4]
    assert answers["local_short"].is_nan().to_list() == [False, True, False]


def test_empty_library_has_no_neighbours(make: Make) -> None:
    asked = make(library_of(0))
    assert len(asked) == 0
    assert np.isnat(asked.last)
    found = nearest_of(asked, unit(2, seed=3), np.array([5, 300]), exclusion=0, k=4)
    assert (found.index == -1).all()
    answers = answers_of(asked, unit(2, seed=3), np.array([5, 300]))
    assert answers["k_eff"].to_list() == [0, 0]
    assert answers.select(LOCAL).fill_nan(None).null_count().row(0) == (2, 2)
    found = nearest_of(asked, unit(0, seed=3), np.zeros(0, np.int64), exclusion=0)
    assert found.index.shape == (0, 64)


def test_library_grows_by_what_is_later(make: Make) -> None:
    whole = library_of(90)
    asked = make(up_to(whole, 100)).extend(up_to(whole, 140)).extend(whole)
    assert (len(asked), asked.last) == (90, whole.last)
    paths, positions = unit(20, seed=4), np.linspace(60, 190, 20).astype(np.int64)
    found = nearest_of(asked, paths, positions, exclusion=HORIZON, k=16)
    right = expected(whole, paths, positions, exclusion=HORIZON, k=16)
    assert [row[row >= 0].tolist() for row in found.index] == [index for _, index in right]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path, BarStore]:
    """A model, its library's file and the bars, of which the last 300 came after training."""
    folder = tmp_path_factory.mktemp("trained")
    bars = planted_rows(3_000, timeframe="H1", seed=5).drop("source_row", strict=False)
    past = run(bars[:2_700], Recipe.default("PLANTED", "H1"))
    library, _ = replay(past.measures, past.outcomes, past.model.frozen, engine="cpu")
    library.write(folder / "library.parquet")
    store = BarStore(folder / "bars")
    store.write("PLANTED", "H1", bars)
    return past.model, folder / "library.parquet", store


def test_live_bars_are_told_the_same_from_both(
    trained: tuple[Model, Path, BarStore], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a second time, when rows that became known since are in the database."""
    model, file, bars = trained
    newest = bars.read("PLANTED", "H1")["timestamp"][-1]
    PathStore(model.model_id).drop()
    for early in (timedelta(hours=100), timedelta(hours=-1), timedelta(hours=600)):
        told: list[pl.DataFrame] = []
        for paths in ("exact", "database"):
            monkeypatch.setenv("SEP_PATHS", paths)
            library = open_library(model, file, engine="cpu")
            assert isinstance(library, Library if paths == "exact" else StoredLibrary)
            rows = predict_newest(
                model, library, bars, as_of=newest - early, count=50, engine="cpu"
            )
            told.append(rows.with_columns(pl.col("^(expected|doubt)_.*$") / pl.col("unit")))
        assert (told[0]["k_eff"] > 0).all()
        assert_frame_equal(*(each.drop(BELIEVED) for each in told), check_exact=True)
        believed = [each.select(BELIEVED) for each in told]
        assert_frame_equal(*believed, rel_tol=0, abs_tol=1e-6)
    assert libraries() == [model.model_id]
    assert len(PathStore(model.model_id)) > len(Library.read(file))
    PathStore(model.model_id).drop()


def test_without_pgvector_signals_need_the_file(
    trained: tuple[Model, Path, BarStore],
    home: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, file, _ = trained
    with empty_database(address("debian", home, request.config), monkeypatch):
        db.migrate()
        assert len(open_library(model, file, engine="cpu")) > 0
        monkeypatch.setenv("SEP_PATHS", "database")
        with pytest.raises(PathStoreError, match="SEP_PATHS=exact"):
            open_library(model, file, engine="cpu")
