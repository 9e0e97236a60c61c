"""Paths in PostgreSQL: what went in, what a query may see, where there is no pgvector."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest
from alembic import command
from numpy.typing import NDArray
from sqlalchemy import inspect, text
from sqlalchemy.exc import ProgrammingError
from timescale_vector.client import Sync, UUIDTimeRange, uuid_from_time

from infra.postgres import database as db
from infra.postgres import roles
from infra.postgres.extensions import PathStoreError, prepare
from infra.records import secret
from infra.stores.path_rows import Paths, Times
from infra.stores.paths import BY_INDEX, PathStore, libraries
from tests.infra.databases import address, drop_roles, empty_database, timescale

START = np.datetime64("2026-01-05T00:00", "us")
MINUTE = np.timedelta64(60_000_000, "us")


def rows(n: int, *, seed: int = 1, first: int = 0) -> Paths:
    """Random unit paths, one a bar, whose outcome is known three bars later."""
    random = np.random.default_rng(seed)
    paths = random.normal(size=(n, 64)).astype(np.float32)
    paths /= np.linalg.norm(paths, axis=1, keepdims=True)
    position = np.arange(first, first + n, dtype=np.int64)
    return Paths(
        paths=paths,
        known_at=START + (position + 3) * MINUTE,
        time=START + position * MINUTE,
        group=np.zeros(n, np.int32),
        win=random.integers(0, 2, (n, 2)).astype(np.int8),
        features=random.integers(0, 1 << 32, (n, 5), np.uint32).view(np.float32),  # any bits
    )


def numbers(times: Times) -> NDArray[np.int64]:
    """Number the bars of `rows`."""
    return np.asarray((times - START) // MINUTE, np.int64)


@pytest.fixture(params=["embedded", "vectorscale", "named"])
def server(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A migrated database on each server that has pgvector."""
    with empty_database(address(request.param, home, request.config), monkeypatch):
        db.migrate()
        yield request.param


@pytest.fixture
def two_roles(server: str, home: Path) -> Iterator[None]:
    """Both roles with their passwords under the home, gone afterwards."""
    with db.engine("owner").begin() as connection:
        roles.create_roles(connection, {role: secret(home, role) for role in roles.ROLES})
    yield
    drop_roles()


@pytest.fixture
def without_vector(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    with empty_database(address("debian", home, request.config), monkeypatch) as found:
        db.migrate()
        yield found


def test_loaded_rows_are_those_of_timescale_vector(server: str) -> None:
    """Its own client finds them, by nearness and by time."""
    library, store = rows(200), PathStore("a library", exact=199)
    loaded = store.load(library)
    if server != "named":
        assert loaded.index == {"embedded": "vector", "vectorscale": "vectorscale"}[server]
    assert (loaded.rows, len(store), store.last()) == (200, 200, library.time[-1])
    address = db.url().set(drivername="postgresql")
    address = address.update_query_dict({"options": "-csearch_path=paths,public"})
    dsn = address.render_as_string(hide_password=False)
    client = Sync(dsn, store.name, 64, max_db_connections=1, schema_name="paths")
    since = UUIDTimeRange(datetime(2026, 1, 5, 2, tzinfo=UTC), None)
    found = client.search(library.paths[7].tolist(), limit=300, uuid_time_filter=since)
    client.close()
    assert {row["metadata"]["row"] for row in found} == set(range(117, 200))
    for row in found:
        number = row["metadata"].pop("row")
        win = library.win[number].tolist()
        since = int(library.time[number].astype(np.int64))
        assert row["metadata"] == {"time": since, "group": 0, "win": win}
        assert row["contents"] == library.features[number].astype(">f4").tobytes().hex()
        assert row["embedding"].to_numpy().tolist() == library.paths[number].tolist()
        known = library.known_at[number].item().replace(tzinfo=UTC)
        assert row["id"].version == 1
        assert row["id"].time == uuid_from_time(known, node=0, clock_seq=0).time


@pytest.mark.parametrize("features", [1, 5])
def test_features_come_back_bit_for_bit(server: str, features: int) -> None:
    """Also infinity, zero's sign and the bits of a NaN; beyond the last neighbour is nothing."""
    library, store = rows(60), PathStore("bits")
    odd = np.array([0x7F800001, 0xFFC12345, 0x80000000, 0xFF800000, 1], np.uint32)
    library.features[7] = odd.view(np.float32)
    library = replace(library, features=np.ascontiguousarray(library.features[:, -features:]))
    store.load(library.take(slice(40)))
    assert store.extend(library) == 20
    found = store.nearest(
        library.paths, known_by=library.known_at, number=numbers, exclusion=2, k=50
    )
    there = found.index >= 0
    assert found.features.shape == (60, 50, features)
    right = library.features[found.index[there]].view(np.uint32)
    assert (found.features[there].view(np.uint32) == right).all()
    assert np.isnan(found.features[~there]).all()
    assert (found.index[:, 0] == np.arange(60)).all()


def test_empty_library_tells_how_many_features_a_row_has(server: str) -> None:
    library, store = rows(3), PathStore("empty")
    store.load(library.take(slice(0)))
    found = store.nearest(
        library.paths, known_by=library.known_at, number=numbers, exclusion=0, k=4
    )
    assert found.features.shape == (3, 4, 5)
    with pytest.raises(PathStoreError, match="5 features a row, not 2"):
        store.extend(replace(library, features=library.features[:, :2]))
    assert len(store) == 0


def test_library_of_rows_without_features_is_refused(server: str) -> None:
    """As versions before wrote it: nothing is told by it, and nothing is added."""
    library, store = rows(5), PathStore("former")
    store.load(library)
    with db.engine().begin() as connection:
        connection.execute(text("ALTER TABLE paths.former ALTER contents DROP NOT NULL"))
        connection.execute(text("UPDATE paths.former SET contents = NULL"))
        connection.execute(text("COMMENT ON TABLE paths.former IS NULL"))
    with pytest.raises(PathStoreError, match=r"former has no features.*drop it"):
        store.nearest(library.paths, known_by=library.known_at, number=numbers, exclusion=0)
    with pytest.raises(PathStoreError, match="no features"):
        store.extend(rows(5, first=5))
    store.drop()
    store.load(library)
    assert store.extend(rows(5, first=5)) == 5


def test_library_is_cut_by_time(server: str) -> None:
    """Three years, a chunk each or so; a search sees all of them in order."""
    library, store = rows(300), PathStore("years", exact=50)
    known_at = library.known_at + np.arange(300) * np.timedelta64(4, "D")
    store.load(replace(library, known_at=known_at))
    found = store.nearest(library.paths, known_by=known_at, number=numbers, exclusion=0, k=64)
    assert found.index[:, 0].tolist() == list(range(300))
    if timescale():
        chunks = "SELECT FROM timescaledb_information.chunks WHERE hypertable_schema = 'paths'"
        with db.engine().connect() as connection:
            assert connection.execute(text(chunks)).rowcount in (4, 5)


def test_time_of_an_id_is_never_early(server: str) -> None:
    library = rows(3)
    odd = library.known_at + np.array([0, 1, 999], "timedelta64[us]")
    store = PathStore("odd")
    store.load(replace(library, known_at=odd))
    query = "SELECT paths.uuid_timestamp(id) AS known FROM paths.odd ORDER BY metadata->>'row'"
    known = db.read_frame(query)["known"].dt.replace_time_zone(None).to_numpy()
    assert (known >= odd).all()
    assert (known < odd + np.timedelta64(1000, "us")).all()


def test_ids_of_any_year_tell_their_time(server: str) -> None:
    moments = [datetime(y, 3, 4, 5, 6, 7, tzinfo=UTC) for y in (1971, 1999, 2026, 2068, 2100)]
    with db.engine().connect() as connection:
        for moment in moments:
            found = text("SELECT paths.uuid_timestamp(:id)")
            assert connection.scalar(found, {"id": uuid_from_time(moment)}) == moment
        with pytest.raises(Exception, match="version is not 1"):
            connection.scalar(found, {"id": uuid.uuid4()})


@pytest.mark.parametrize("exact", [0, 20_000])
def test_limit_of_time_is_exact_to_the_moment(server: str, exact: int) -> None:
    library, store = rows(300), PathStore("limit", exact=exact)
    store.load(library)
    known_by = library.known_at[150] + np.array([-1, 0], "timedelta64[us]")
    found = store.nearest(
        library.paths[[150, 150]], known_by=known_by, number=numbers, exclusion=0, k=64
    )
    assert found.index.max(axis=1).tolist() == [found.index[0].max(), 150]
    assert (found.index[0] < 150).all()
    assert found.index[1, 0] == 150
    assert (found.win[1] == library.win[found.index[1]]).all()


def scans(index: str) -> int:
    """How often an index was scanned."""
    db.engine().dispose()  # a session tells its counts as it ends
    query = text("SELECT sum(idx_scan) FROM pg_stat_all_indexes WHERE indexrelname LIKE :index")
    with db.engine().connect() as connection:
        return int(connection.scalar(query, {"index": f"%{index}"}) or 0)  # a chunk has its own


def test_index_is_asked_only_where_many_rows_may_be_seen(server: str) -> None:
    library, store = rows(400), PathStore("mixed", exact=100)
    store.load(library)
    known_by = library.known_at[[99, 299, 399]]
    before = scans("mixed_embedding_idx")
    store.nearest(library.paths[:1], known_by=known_by[:1], number=numbers, exclusion=0, k=10)
    assert scans("mixed_embedding_idx") == before
    store.nearest(library.paths[:3], known_by=known_by, number=numbers, exclusion=0, k=10)
    assert scans("mixed_embedding_idx") > before


def test_index_goes_on_until_enough_rows_are_eligible(server: str) -> None:
    """A tenth is: nobody has to compare all rows of that time instead."""
    library, store = rows(3_000), PathStore("filtered", exact=0)
    store.load(library)
    before = scans("filtered_uuid_timestamp_idx")
    known_by = library.known_at[[300] * 5]
    found = store.nearest(library.paths[-5:], known_by=known_by, number=numbers, exclusion=0, k=64)
    assert (found.index >= 0).all()
    assert scans("filtered_uuid_timestamp_idx") == before + 1  # which counts the eligible


def test_filter_that_leaves_little_starves_no_query(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is asked although next to nothing is eligible, and HNSW gives up: all comes."""
    monkeypatch.setitem(BY_INDEX, "hnsw.max_scan_tuples", 1)
    library, store = rows(3_000), PathStore("starved", exact=0)
    store.load(library)
    query = library.paths[2_900:2_901]
    for eligible, k in ((64, 64), (40, 64), (1, 1)):
        known_by = library.known_at[[eligible - 1]]
        found = store.nearest(query, known_by=known_by, number=numbers, exclusion=0, k=k)
        assert set(found.index[0, : min(eligible, k)]) == set(range(eligible))


def test_more_neighbours_than_the_index_looks_at_once(server: str) -> None:
    library, store = rows(2_000), PathStore("many", exact=0)
    store.load(library)
    found = store.nearest(
        library.paths[:2], known_by=library.known_at[[-1, -1]], number=numbers, exclusion=0, k=512
    )
    assert (found.index >= 0).all()
    score = library.paths[:2] @ library.paths.T
    worst = np.sort(score, axis=1)[:, -512]
    assert (found.score >= worst[:, None]).mean() > 0.95


def test_rows_come_once_however_often_they_are_added(server: str) -> None:
    library, store = rows(100), PathStore("grown")
    store.load(library.take(slice(60)))
    assert store.load(library).rows == 0
    assert [store.extend(library), store.extend(library)] == [40, 0]
    assert store.extend(rows(0)) == 0
    found = store.nearest(
        library.paths, known_by=library.known_at, number=numbers, exclusion=0, k=1
    )
    assert found.index[:, 0].tolist() == list(range(100))


def test_index_is_built_once_there_are_too_many_rows(server: str) -> None:
    library, store = rows(100), PathStore("growing", exact=50)
    query = "SELECT indexdef FROM pg_indexes WHERE indexname = 'growing_embedding_idx'"
    for until, there in ((40, 0), (50, 0), (51, 1), (100, 1)):
        store.load(library.take(slice(until)))
        store.extend(library.take(slice(until)))
        assert len(db.read_frame(query)) == there
    method = {"embedded": "hnsw", "vectorscale": "diskann", "named": ""}[server]
    assert method in db.read_frame(query)["indexdef"][0]


def test_many_at_once_load_and_extend_one_library(server: str) -> None:
    library, failures = rows(500), list[BaseException]()

    def work() -> None:
        try:
            store = PathStore("shared")
            store.load(library.take(slice(400)))
            store.extend(library)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    numbers = db.read_frame("SELECT (metadata->>'row')::bigint AS n FROM paths.shared ORDER BY 1")
    assert numbers["n"].to_list() == list(range(500))


def test_load_that_fails_leaves_nothing(server: str) -> None:
    library, store = rows(100), PathStore("broken")
    library.paths[90, 5] = np.nan
    with pytest.raises(psycopg.DataError, match="NaN"):
        store.load(library)
    assert not store.exists()
    library.paths[90, 5] = 0
    assert store.load(library).rows == 100


@pytest.mark.parametrize("known", [[2, 1, 3], [1, 2, None]])
def test_rows_out_of_order_are_refused(known: list[int | None]) -> None:
    library = rows(3)
    wrong = np.array(known, "datetime64[us]")
    with pytest.raises(ValueError, match="known_at"):
        replace(library, known_at=wrong)


def test_dropped_library_is_gone(server: str) -> None:
    store = PathStore('odd "name"; --')
    store.load(rows(5))
    assert libraries() == [store.name]
    for _ in range(2):
        store.drop()
    assert not store.exists()
    with pytest.raises(PathStoreError, match="not loaded"):
        store.nearest(rows(1).paths, known_by=rows(1).known_at, number=numbers, exclusion=0)


def test_migration_takes_libraries_back(server: str) -> None:
    PathStore("x").load(rows(5))
    with db.engine().begin() as connection:
        command.downgrade(db.migrations(connection), "0002")
        assert "paths" not in inspect(connection).get_schema_names()
    db.migrate()
    assert libraries() == []
    PathStore("x").load(rows(5))


def test_research_fills_libraries_and_the_executor_sees_none(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = rows(50)
    PathStore("before").load(library.take(slice(40)))
    request.getfixturevalue("two_roles")
    PathStore("after").load(library.take(slice(40)))
    monkeypatch.setenv("SEP_DATABASE_ROLE", "research")
    for name in ("before", "after", "mine"):
        store = PathStore(name)
        store.load(library.take(slice(40)))
        assert store.extend(library) == 10
        assert PathStore(name, exact=9).extend(rows(20, first=90)) == 20  # an index where it may
        found = store.nearest(
            library.paths, known_by=library.known_at, number=numbers, exclusion=0, k=1
        )
        assert found.index[:, 0].tolist() == list(range(50))
    indexed = (
        "SELECT tablename FROM pg_indexes "
        "WHERE schemaname = 'paths' AND indexname LIKE '%_embedding_idx'"
    )
    assert db.read_frame(indexed)["tablename"].to_list() == ["mine"]
    with pytest.raises(ProgrammingError, match="must be owner"):
        PathStore("before").drop()
    monkeypatch.setenv("SEP_DATABASE_ROLE", "executor")
    for name in ("before", "after", "mine"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            len(PathStore(name))


def test_without_pgvector_the_error_says_what_to_do(without_vector: str) -> None:
    with pytest.raises(PathStoreError, match=r"no pgvector.*SEP_PATHS=exact"):
        prepare()
    with pytest.raises(PathStoreError, match="no pgvector"):
        PathStore("x").load(rows(5))
    assert libraries() == []
    with psycopg.connect(without_vector) as connection:
        assert connection.execute("SELECT count(*) FROM bars").fetchone() == (0,)
