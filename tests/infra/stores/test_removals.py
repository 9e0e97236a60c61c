"""Bars taken out of the store by span or run, and put back: what follows, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.postgres import database as db
from infra.postgres.roles import ensure_roles
from infra.stores import hot
from infra.stores.bulk import BarStore
from infra.stores.history import read_as_of
from infra.stores.removals import RemovalError, Wanted, clear, look, remove, undo
from tests.infra.databases import drop_roles
from tests.infra.stores.test_history import (
    HOUR,
    NEW_YEAR,
    PAIR,
    ingest,
    store,
    valued,
    volumes,
)
from tests.infra.stores.test_tiers import priced, same

__all__ = ["store"]

pytestmark = pytest.mark.usefixtures("database")


def test_a_removed_run_leaves_the_store_as_it_was(store: BarStore) -> None:
    """Quotes that it brought are gone, too, and so is its year: hashes are those of before."""
    ingest(store, priced([0, 1, 2]), "plain")
    before, content = store.read(*PAIR), store.content_hash(*PAIR)
    ingest(store, priced([-1, 1, 3], quotes=True, seed=1), "quoted")
    after = store.content_hash(*PAIR)
    wanted = Wanted(*PAIR, run_id="quoted")
    assert look(store, wanted).put_back == 1
    done = remove(store, wanted, who="a test")
    assert (done.rows, done.put_back, store.content_hash(*PAIR)) == (3, 1, content)
    assert same(store.read(*PAIR), before)
    assert (undo(store, done.id).rows, store.content_hash(*PAIR)) == (3, after)
    with pytest.raises(RemovalError, match="is undone since"):
        undo(store, done.id)
    with pytest.raises(RemovalError, match="no removal 77"):
        undo(store, 77)


def test_a_row_of_a_removed_run_never_comes_back(store: BarStore) -> None:
    for run, value in (("good", 1), ("bad", 2), ("worse", 3)):
        ingest(store, valued({0: value}), run)
    with pytest.raises(RemovalError, match="no bars left of EUR_USD H1 of the run good"):
        remove(store, Wanted(*PAIR, run_id="good"), who="a test")
    ingest(store, valued({1: 1}), "bad")
    remove(store, Wanted(*PAIR, run_id="bad"), who="a test")
    remove(store, Wanted(*PAIR, run_id="worse"), who="a test")
    assert volumes(store.read(*PAIR)) == {0: 1}


def test_bars_that_were_put_back_have_their_past(store: BarStore) -> None:
    for run, value in (("good", 1), ("bad", 2)):
        ingest(store, valued({0: value}), run)
    for wanted in (Wanted(*PAIR), Wanted(*PAIR, run_id="bad")):
        remove(store, wanted, who="a test")
        undo(store)
        assert volumes(store.read(*PAIR)) == {0: 2}
    remove(store, Wanted(*PAIR, run_id="bad"), who="a test")
    assert volumes(store.read(*PAIR)) == {0: 1}


def test_copies_follow_a_removal(store: BarStore, cache: str) -> None:
    ingest(store, valued(dict.fromkeys(range(5), 1)), "run")
    cursor = "INSERT INTO ingest_cursor VALUES ('EUR_USD', 'H1', %s, %s, 1, 0, 'h', 'r', now())"
    with db.engine().begin() as connection:
        driver = connection.connection.driver_connection
        for source, hour in (("oanda", 4), ("csv:old.csv", 1)):
            driver.execute(cursor, [source, NEW_YEAR + hour * HOUR])  # type: ignore[union-attr]
    hot.keep("bars", *PAIR, store.read(*PAIR), version=store.content_hash(*PAIR))
    done = remove(store, Wanted(*PAIR, NEW_YEAR + 2 * HOUR, NEW_YEAR + 4 * HOUR), who="a test")
    assert (done.rows, done.first, done.last) == (2, NEW_YEAR + 2 * HOUR, NEW_YEAR + 3 * HOUR)
    assert hot.look("bars", *PAIR) is None
    shared = db.read_frame('SELECT "timestamp", volume FROM bars ORDER BY 1')
    assert volumes(shared) == {0: 1, 1: 1, 4: 1}
    found = db.read_frame(
        "SELECT source, last_timestamp, content_hash FROM ingest_cursor ORDER BY 1"
    )
    assert found.rows() == [
        ("csv:old.csv", NEW_YEAR + HOUR, "h"),
        ("oanda", NEW_YEAR + 2 * HOUR, store.content_hash(*PAIR)),
        ("store", NEW_YEAR + 4 * HOUR, store.content_hash(*PAIR)),
    ]
    remove(store, Wanted(*PAIR), who="a test")
    assert db.read_frame("SELECT * FROM bars").is_empty()
    assert store.pairs() == []
    assert undo(store).rows == 3
    assert db.read_frame("SELECT * FROM bars").height == 3


def test_workers_may_do_all_of_it(store: BarStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ensure_roles() is None
    monkeypatch.setenv("SEP_DATABASE_ROLE", "research")
    try:
        for value in (1, 2, 2):
            ingest(store, valued({0: value, value: 1}), f"run {value}")
        assert remove(store, Wanted(*PAIR, run_id="run 2"), who="a test").put_back == 1
        assert volumes(store.read(*PAIR)) == {0: 1, 1: 1}
        assert undo(store).rows == 2
        assert volumes(read_as_of(*PAIR, datetime.now(UTC))) == {0: 2, 1: 1, 2: 1}
    finally:
        monkeypatch.setenv("SEP_DATABASE_ROLE", "owner")
        drop_roles()


def test_what_was_cleared_is_no_longer_known(store: BarStore) -> None:
    ingest(store, valued({0: 1, 1: 1}), "run")
    then = datetime.now(UTC)
    remove(store, Wanted(*PAIR, NEW_YEAR + HOUR), who="a test")
    assert volumes(read_as_of(*PAIR, then)) == {0: 1, 1: 1}
    assert clear(0) == 1
    assert volumes(read_as_of(*PAIR, then)) == {0: 1}
    with pytest.raises(RemovalError, match="cleared"):
        undo(store)
