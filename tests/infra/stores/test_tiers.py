"""Bars of three tiers: whichever answers, the rows are those of the bulk store, bit for bit."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from infra.bars import QUOTES, content_hash
from infra.postgres import database as db
from infra.postgres.roles import ROLES, create_roles
from infra.servers import valkey
from infra.stores import cache as valkey_cache
from infra.stores import tiers, warm
from infra.stores.bulk import BarStore
from infra.stores.tiers import TieredBars, Usage
from tests.infra.databases import anywhere, drop_roles, timescale
from tests.infra.stores.test_cache import kill_valkey
from tests.infra.stores.test_store import NEW_YEAR, bars_at

__all__ = ["anywhere"]

PAIR = ("EUR_USD", "H1")
HOUR = timedelta(hours=1)


def priced(hours: list[int], *, quotes: bool = False, seed: int = 0) -> pl.DataFrame:
    """Bars that PostgreSQL takes too: its lows are lowest and its highs are highest."""
    bars = bars_at(hours, quotes=quotes, seed=seed)
    return bars.with_columns(pl.col("high") + 1, pl.col("low") / 2)


def at(hour: int | None) -> datetime | None:
    return None if hour is None else NEW_YEAR + hour * HOUR


def same(found: pl.DataFrame, expected: pl.DataFrame) -> bool:
    """Columns, types, order and every bit."""
    return found.schema == expected.schema and content_hash(found) == content_hash(expected)


@pytest.fixture
def usage(monkeypatch: pytest.MonkeyPatch) -> Usage:
    fresh = Usage()
    monkeypatch.setattr(tiers, "usage", fresh)
    return fresh


def answered(usage: Usage) -> dict[str, int]:
    return dict(Counter(tier for _, _, tier in usage.here.elements()))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BarStore:
    monkeypatch.setenv("SEP_SHARED_BARS", "40")
    monkeypatch.setenv("SEP_HOT_BARS", "10")
    return BarStore(tmp_path / "bars")


def test_the_fastest_tier_that_holds_a_range_answers(
    store: BarStore, database: str, cache: str, usage: Usage
) -> None:
    store.write(*PAIR, priced(list(range(-50, 50)), quotes=True))
    bars = TieredBars(store)
    assert warm.share(store, *PAIR) == warm.Moved(40, 0)
    edges = [(40, None), (40, None), (45, 47), (10, 30), (9, 30), (None, None), (-60, -50)]
    for start, end in edges:
        expected = store.read(*PAIR, at(start), at(end))
        assert same(bars.read(*PAIR, at(start), at(end)), expected)
    assert answered(usage) == {"hot": 2, "warm": 2, "cold": 3}


def test_a_revised_bar_is_never_hidden(
    store: BarStore, database: str, cache: str, usage: Usage
) -> None:
    """Neither by the copy in Valkey nor by that of an ingest that died before its commit."""
    bars = TieredBars(store)
    whole = priced(list(range(20)))
    first, other = whole[17:18], priced([17], seed=1)
    for bar, shared in ((first, True), (other, False), (first, False), (other, True)):
        store.write(*PAIR, whole if bar is first else bar)
        if shared:
            warm.share(store, *PAIR)
        for _ in range(2):
            assert same(bars.read(*PAIR, at(15))[2:3], bar)
    assert answered(usage) == {"warm": 3, "hot": 4, "cold": 1}


def test_a_short_series_is_hot_as_a_whole(
    store: BarStore, database: str, cache: str, usage: Usage
) -> None:
    store.write(*PAIR, priced([3, 4, 5]))
    bars = TieredBars(store)
    for start in (None, 0, 4):
        assert same(bars.read(*PAIR, at(start)), store.read(*PAIR, at(start)))
    assert answered(usage) == {"cold": 1, "hot": 2}


def test_columns_are_those_of_the_whole_series(
    store: BarStore, database: str, cache: str, usage: Usage
) -> None:
    """Quotes of one year show in ranges of another."""
    store.write(*PAIR, priced(list(range(-5, 0)), quotes=True))
    store.write(*PAIR, priced(list(range(20))))
    bars = TieredBars(store)
    warm.share(store, *PAIR)
    for start in (-5, 5, 15, 15):
        found = bars.read(*PAIR, at(start))
        assert set(QUOTES) <= set(found.columns)
        assert same(found, store.read(*PAIR, at(start)))
    assert answered(usage) == {"warm": 2, "hot": 2}


def test_the_newest_bars_are_those_of_the_store(
    store: BarStore, database: str, cache: str, usage: Usage
) -> None:
    store.write(*PAIR, priced(list(range(-50, 50)), quotes=True))
    bars, everything = TieredBars(store), store.read(*PAIR)
    asked = [(5, None), (10, None), (5, 45), (5, 44), (20, None), (200, None), (3, -60)]
    for count, end in asked:
        before = everything if end is None else everything[: max(0, end + 50)]
        assert same(bars.newest(*PAIR, count, at(end)), before.tail(count))
    assert answered(usage) == {"cold": 5, "hot": 2}
    store.write(*PAIR, priced([49], quotes=True, seed=1))
    for _ in range(2):
        assert same(bars.newest(*PAIR, 1), priced([49], quotes=True, seed=1))
    assert answered(usage) == {"cold": 6, "hot": 3}
    assert len(store.starts(*PAIR, NEW_YEAR - HOUR, NEW_YEAR + HOUR)) == 2


HOURS = st.integers(-40, 40)
MOVES = st.one_of(
    st.tuples(st.just("write"), st.lists(st.integers(-30, 30), min_size=1, unique=True)),
    st.tuples(st.just("share"), st.integers(0, 60)),
    st.tuples(st.just("pull up"), st.integers(0, 30)),
    st.tuples(st.sampled_from(["forget", "compress"]), st.none()),
)


@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moves=st.lists(st.tuples(MOVES, st.none() | HOURS, st.none() | HOURS), min_size=4, max_size=12),
    quotes=st.booleans(),
)
def test_moving_bars_changes_no_bit(
    moved: None,
    tmp_path_factory: pytest.TempPathFactory,
    moves: list[tuple[tuple[str, Any], int | None, int | None]],
    quotes: bool,
) -> None:
    """Up and down in any order, with ingests that died between store and database."""
    store = BarStore(tmp_path_factory.mktemp("bars"))
    bars = TieredBars(store)
    forget()
    for seed, ((move, argument), start, end) in enumerate(moves):
        with pytest.MonkeyPatch.context() as patch:
            if move == "write":
                store.write(*PAIR, priced(argument, quotes=quotes, seed=seed))
            elif move == "share":
                patch.setenv("SEP_SHARED_BARS", str(argument))
                warm.share(store, *PAIR)
            elif move == "pull up":
                patch.setenv("SEP_HOT_BARS", str(argument))
                bars.pull_up(*PAIR)
            elif move == "forget":
                forget()
            elif timescale():
                compress_all()
            if store.pairs():
                expected = store.read(*PAIR, at(start), at(end))
                assert same(bars.read(*PAIR, at(start), at(end)), expected), (move, start, end)


@pytest.fixture
def moved(anywhere: str, cache: str, store: BarStore) -> None:
    db.migrate()


def forget() -> None:
    client = valkey_cache.client()
    assert client is not None
    client.flushall()


def compress_all() -> None:
    with db.engine().begin() as connection:
        connection.execute(text("SELECT compress_chunk(c, true) FROM show_chunks('bars') c"))


def test_all_tiers_answer_in_that_property(moved: None, store: BarStore, usage: Usage) -> None:
    """The moves above do reach every tier."""
    bars = TieredBars(store)
    store.write(*PAIR, priced(list(range(-30, 31))))
    warm.share(store, *PAIR)
    for start in (-40, -5, 25, 25):
        bars.read(*PAIR, at(start))
    assert answered(usage) == {"cold": 1, "warm": 1, "hot": 2}


def test_sharing_is_done_again_in_vain(store: BarStore, database: str) -> None:
    store.write(*PAIR, priced(list(range(60))))
    assert [warm.share(store, *PAIR) for _ in range(2)] == [warm.Moved(40, 0), warm.Moved(0, 0)]
    store.write(*PAIR, priced(list(range(60, 70))))
    assert warm.share(store, *PAIR) == warm.Moved(10, 10)
    assert warm.rows() == {PAIR: 40}
    assert warm.size() > 0


def test_sharing_follows_a_store_made_anew(store: BarStore, database: str, usage: Usage) -> None:
    """A bar that is no longer in the store is not in PostgreSQL either."""
    store.write(*PAIR, priced(list(range(20))))
    warm.share(store, *PAIR)
    shutil.rmtree(store.root)
    store.write(*PAIR, priced([0, *range(10, 20)]))
    warm.share(store, *PAIR)
    assert same(TieredBars(store).read(*PAIR, at(0)), store.read(*PAIR))
    assert answered(usage) == {"warm": 1}


def test_a_machine_without_the_store_reads_what_is_shared(
    store: BarStore, database: str, tmp_path: Path, usage: Usage
) -> None:
    store.write(*PAIR, priced(list(range(60)), quotes=True))
    warm.share(store, *PAIR)
    elsewhere = BarStore(tmp_path / "droplet")
    assert warm.share(elsewhere, *PAIR) == warm.Moved(0, 0)
    bars = TieredBars(elsewhere)
    assert same(bars.read(*PAIR, at(20), at(30)), store.read(*PAIR, at(20), at(30)))
    assert bars.read("GBP_USD", "H1").is_empty()
    for start in (None, 19):
        with pytest.raises(warm.TierError, match="where the bulk store is"):
            bars.read(*PAIR, at(start))
    assert answered(usage) == {"warm": 4}


def test_a_time_without_a_zone_is_refused(store: BarStore) -> None:
    with pytest.raises(ValueError, match="no zone"):
        TieredBars(store).read(*PAIR, datetime(2018, 1, 1))  # noqa: DTZ001


def test_losing_valkey_between_reads_loses_nothing(
    store: BarStore,
    database: str,
    cache: str,
    home: Path,
    usage: Usage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Killed and started again: same rows, one warning, and reads are counted throughout."""
    store.write(*PAIR, priced(list(range(60))))
    warm.share(store, *PAIR)
    bars, expected = TieredBars(store), store.read(*PAIR, at(55))
    for phase in ("there", "away", "back"):
        if phase == "away":
            kill_valkey(home)
        if phase == "back":
            assert valkey.start(home) == cache
        for _ in range(3):
            assert same(bars.read(*PAIR, at(55)), expected)
    assert answered(usage) == {"warm": 5, "hot": 4}
    assert usage.everywhere() == Counter({(*PAIR, "warm"): 4, (*PAIR, "hot"): 2})
    told = [record.message for record in caplog.records if record.name == "infra.stores.cache"]
    assert ["without it" in told[0], "again" in told[1], len(told)] == [True, True, 2]


def test_without_postgresql_the_store_answers(
    store: BarStore, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usage: Usage
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "nothing runs here"))
    store.write(*PAIR, priced(list(range(60))))
    assert same(TieredBars(store).read(*PAIR, at(55)), store.read(*PAIR, at(55)))
    assert answered(usage) == {"cold": 1}


def test_reads_of_all_processes_are_counted(cache: str) -> None:
    one, other = Usage(), Usage()
    for _ in range(3):
        one.add(*PAIR, "hot")
    other.add(*PAIR, "cold")
    assert one.everywhere() == other.everywhere() == {(*PAIR, "hot"): 3, (*PAIR, "cold"): 1}
    client = valkey_cache.client()
    assert client is not None
    (key,) = client.scan_iter()
    assert key.startswith(b"sep:reads:")
    assert 0 < client.ttl(key) <= 8 * 86_400


def test_only_what_is_due_is_compressed(anywhere: str, store: BarStore) -> None:
    """Rows of years ago are; where TimescaleDB is not there is nothing to do; none changes."""
    db.migrate()
    today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    bars = priced(list(range(20)))
    new = bars.with_columns(pl.col("timestamp") + (today - NEW_YEAR))
    store.write(*PAIR, pl.concat([bars, new]))
    warm.share(store, *PAIR)
    before = db.read_frame('SELECT * FROM bars ORDER BY "timestamp"')
    assert warm.compress() == (1 if timescale() else 0)
    assert warm.compress() == 0
    assert db.read_frame('SELECT * FROM bars ORDER BY "timestamp"').equals(before)


def test_each_role_reads_from_the_tiers_it_may(
    anywhere: str,
    store: BarStore,
    tmp_path: Path,
    usage: Usage,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Research moves bars; the executor reads what is shared, and the store where there is one."""
    request.addfinalizer(drop_roles)
    db.migrate()
    store.write(*PAIR, priced(list(range(60))))
    with connected_as("research", anywhere, monkeypatch):
        assert warm.share(store, *PAIR) == warm.Moved(40, 0)
        assert warm.rows() == {PAIR: 40}
        assert warm.size() > 0
        assert warm.compress() == 0  # that is its owner's, and TimescaleDB's own
        TieredBars(store).read(*PAIR, at(30))
    with connected_as("executor", anywhere, monkeypatch):
        for place in (store, BarStore(tmp_path / "droplet")):
            assert same(TieredBars(place).read(*PAIR, at(30)), store.read(*PAIR, at(30)))
        with pytest.raises(ProgrammingError, match="permission denied"):
            warm.share(store, *PAIR)
    assert answered(usage) == {"warm": 2, "cold": 1}


@contextmanager
def connected_as(role: str, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("SEP_DATABASE_URL", address)
        with db.engine().begin() as connection:
            create_roles(connection, dict.fromkeys(ROLES, "password"))
        found = make_url(address).set(username=role, password="password")
        patch.setenv("SEP_DATABASE_URL", found.render_as_string(hide_password=False))
        yield
        db.engine().dispose()
