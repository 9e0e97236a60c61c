"""The store as of every moment, against a model made of dicts; removals and what puts them back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.postgres import database as db
from infra.stores import ledger, warm
from infra.stores.bulk import BarStore
from infra.stores.history import read_as_of
from infra.stores.ledger import Counts
from infra.stores.removals import RemovalError, Wanted, clear, remove, undo
from tests.infra.stores.test_tiers import priced, same
from tests.servers import empty_tables

pytestmark = pytest.mark.usefixtures("database")

PAIR = ("EUR_USD", "H1")
NEW_YEAR = datetime(2018, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(home: Path) -> Iterator[BarStore]:
    yield emptied(home)
    emptied(home)


def emptied(home: Path) -> BarStore:
    for name in ("bars", ledger.FOLDER):
        shutil.rmtree(home / name, ignore_errors=True)
    empty_tables()
    return BarStore(home / "bars")


def ingest(store: BarStore, bars: pl.DataFrame, run: str, part: str = "first") -> Counts:
    """What a store step does about bars."""
    with db.engine().begin() as connection:
        warm.alone(connection, *PAIR)
        ledger.settle(store, *PAIR)
        with store.writing(*PAIR, bars) as ahead:
            counts = arrive(connection, ahead, bars, run, part)
    if ahead.note:
        store.told(*PAIR, ahead.note)
    return counts


def arrive(connection: Any, ahead: Any, bars: pl.DataFrame, run: str, part: str) -> Counts:
    span = (bars["timestamp"].min(), bars["timestamp"].max())
    counts = ledger.arrive(connection, ahead, run_id=run, part=part, source="s", span=span)  # type: ignore[arg-type]
    warm.share(ahead, *PAIR, connection=connection)
    return counts


def killed(store: BarStore, bars: pl.DataFrame) -> None:
    """What a store step leaves that is killed between the swap of files and the commit."""
    with db.engine().connect() as connection, connection.begin() as transaction:
        warm.alone(connection, *PAIR)
        with store.writing(*PAIR, bars) as ahead:
            arrive(connection, ahead, bars, "killed", "first")
        transaction.rollback()


def valued(hours: dict[int, int]) -> pl.DataFrame:
    """Bars whose volume is a number of ours; odd ones have quotes."""
    parts = [
        priced([h], quotes=bool(v % 2)).with_columns(volume=float(v)) for h, v in hours.items()
    ]
    empty = priced([])
    return pl.concat([empty, *parts], how="diagonal")


def volumes(bars: pl.DataFrame) -> dict[int, int]:
    hours = (bars["timestamp"] - NEW_YEAR).dt.total_hours()
    return dict(zip(hours, bars["volume"].cast(pl.Int64), strict=True))


@dataclass
class Version:
    """A bar of the model: its value, its run, and what it had replaced."""

    value: int
    run: str
    before: Version | None = None


@dataclass
class Gone:
    """A removal of the model."""

    rows: dict[int, Version]
    back: dict[int, Version]
    run: str | None
    undone: bool = False


@dataclass
class Naive:
    """The store as dicts, one for each moment."""

    bars: dict[int, Version] = field(default_factory=dict)
    removals: list[Gone] = field(default_factory=list)

    def values(self) -> dict[int, int]:
        return {hour: self.bars[hour].value for hour in sorted(self.bars)}

    def ingest(self, hours: dict[int, int], run: str) -> Counts:
        added = [hour for hour in hours if hour not in self.bars]
        revised = 0
        for hour, value in hours.items():
            old = self.bars.get(hour)
            if old is None or old.value != value:
                revised += old is not None and old.run != run
                self.bars[hour] = Version(value, run, old)
        return Counts(len(added), revised)

    def remove_span(self, first: int, last: int) -> int:
        rows = {hour: bar for hour, bar in self.bars.items() if first <= hour < last}
        return self._remove(Gone(rows, {}, None)) if rows else 0

    def remove_run(self, run: str) -> int:
        rows = {hour: bar for hour, bar in self.bars.items() if bar.run == run}
        bad = {run, *(gone.run for gone in self.removals if gone.run and not gone.undone)}
        back = {hour: old for hour, bar in rows.items() if (old := self._sound(bar, bad))}
        return self._remove(Gone(rows, back, run)) if rows else 0

    def _sound(self, bar: Version, bad: set[str]) -> Version | None:
        old = bar.before
        while old is not None and old.run in bad:
            old = old.before
        return old

    def _remove(self, gone: Gone) -> int:
        for hour in gone.rows:
            del self.bars[hour]
            if hour in gone.back:
                old = gone.back[hour]
                gone.back[hour] = self.bars[hour] = Version(old.value, old.run, old.before)
        self.removals.append(gone)
        return len(gone.rows)

    def undo(self) -> tuple[int, int] | None:
        gone = next((gone for gone in reversed(self.removals) if not gone.undone), None)
        if gone is None:
            return None
        gone.undone, back = True, 0
        for hour, bar in gone.rows.items():
            there = self.bars.get(hour)
            if there is None or there is gone.back.get(hour):
                self.bars[hour] = Version(bar.value, bar.run, bar.before)
                back += 1
        return back, len(gone.rows) - back


HOURS = st.integers(-3, 4)
EVENTS = st.one_of(
    st.tuples(
        st.just("ingest"),
        st.dictionaries(HOURS, st.integers(1, 4), min_size=1, max_size=8),
        st.sampled_from("abc"),
    ),
    st.tuples(st.just("span"), HOURS, HOURS),
    st.tuples(st.just("run"), st.integers(0, 5), st.none()),
    st.tuples(st.just("undo"), st.none(), st.none()),
)


def both(store: BarStore, naive: Naive, event: tuple[Any, Any, Any], number: int) -> None:
    """Take an event to the store and to the model; both tell the same of it."""
    kind, one, other = event
    if kind == "ingest":
        run = f"{other}{len(naive.removals)}"  # a run that was removed does not come again
        assert ingest(store, valued(one), run, str(number)) == naive.ingest(one, run)
    elif kind == "undo":
        expected = naive.undo()
        found = undone(store)
        assert found == expected
    else:
        wanted, expected_rows = Wanted(*PAIR), 0
        if kind == "span":
            wanted = Wanted(*PAIR, NEW_YEAR + one * HOUR, NEW_YEAR + other * HOUR)
            expected_rows = naive.remove_span(one, other)
        else:
            runs = sorted({bar.run for bar in naive.bars.values()} | {"nobody"})
            run = runs[one % len(runs)]
            wanted, expected_rows = Wanted(*PAIR, run_id=run), naive.remove_run(run)
        assert removed(store, wanted) == expected_rows


def undone(store: BarStore) -> tuple[int, int] | None:
    try:
        done = undo(store)
    except RemovalError:
        return None
    return done.rows, done.stayed


def removed(store: BarStore, wanted: Wanted) -> int:
    try:
        return remove(store, wanted, who="a test").rows
    except RemovalError:
        return 0


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=st.lists(EVENTS, min_size=1, max_size=12))
@example(
    events=[
        ("ingest", {0: 1, -3: 2}, "c"),
        ("ingest", {0: 1, -3: 1}, "b"),
        ("ingest", {0: 1, -3: 2}, "b"),
        ("run", 0, None),
        ("undo", None, None),
        ("run", 0, None),
    ]
)
def test_the_store_as_of_every_moment_is_that_of_a_model(
    home: Path, events: list[tuple[Any, Any, Any]]
) -> None:
    store, naive = emptied(home), Naive()
    states = [(LONG_AGO, naive.values())]
    for number, event in enumerate(events):
        both(store, naive, event, number)
        states.append((datetime.now(UTC), naive.values()))
        assert volumes(store.read(*PAIR)) == naive.values()
        fresh = BarStore(home / "fresh")
        shutil.rmtree(fresh.root, ignore_errors=True)
        fresh.write(*PAIR, store.read(*PAIR))
        assert fresh.content_hash(*PAIR) == store.content_hash(*PAIR)
    for moment, state in states:
        assert volumes(read_as_of(*PAIR, moment)) == state
    shared = db.read_frame('SELECT "timestamp", volume FROM bars ORDER BY 1')
    assert volumes(shared) == naive.values()


def test_bars_that_nobody_noted_were_always_there(store: BarStore) -> None:
    store.write(*PAIR, valued({0: 1, 1: 1}))
    assert ingest(store, valued({1: 2, 2: 2}), "run") == (1, 1)
    assert volumes(read_as_of(*PAIR, LONG_AGO)) == {0: 1, 1: 1}
    assert volumes(read_as_of(*PAIR, datetime.now(UTC))) == {0: 1, 1: 2, 2: 2}
    row = db.read_frame("SELECT * FROM bar_revision")
    assert row.select("volume", "arrived_at", "arrived_by", "run_id").rows() == [
        (1.0, None, None, "run")
    ]


def test_span_of_what_is_read(store: BarStore) -> None:
    ingest(store, valued(dict.fromkeys(range(-3, 4), 1)), "run")
    now, start, end = datetime.now(UTC), NEW_YEAR - HOUR, NEW_YEAR + 2 * HOUR
    bars = read_as_of(*PAIR, now, start, end)
    assert same(bars, store.read(*PAIR, start, end))
    assert volumes(bars) == {-1: 1, 0: 1, 1: 1}
    with pytest.raises(ValueError, match="has no zone"):
        read_as_of(*PAIR, now.replace(tzinfo=None))


def test_a_retry_changes_no_row(store: BarStore) -> None:
    tables = ("bar_arrival", "bar_span", "bar_revision")
    ingest(store, valued({0: 1, 1: 1}), "before")
    bars = valued({1: 2, 2: 2})
    assert ingest(store, bars, "run") == (1, 1)
    rows = [db.read_frame(f"SELECT * FROM {name}") for name in tables]
    assert ingest(store, bars, "run") == (1, 1)
    again = [db.read_frame(f"SELECT * FROM {name}") for name in tables]
    assert all(one.equals(other) for one, other in zip(rows, again, strict=True))
    assert ingest(store, bars, "other") == (0, 0)
    assert ingest(store, valued({2: 3, 3: 3}), "run") == (2, 1)  # bar 2 was not there before it


def test_a_clock_that_was_put_back(store: BarStore) -> None:
    late = datetime.now(UTC) + timedelta(days=1)
    with db.engine().begin() as connection:
        row = "INSERT INTO bar_span VALUES ('EUR_USD', 'H1', %s, %s, %s, 'r')"
        driver = connection.connection.driver_connection
        driver.execute(row, [late, NEW_YEAR, NEW_YEAR])  # type: ignore[union-attr]
    ingest(store, valued({5: 1}), "run")
    found = db.read_frame("SELECT max(arrived_at) AS at FROM bar_span")["at"][0]
    assert found == late + timedelta.resolution


def test_a_note_whose_files_are_lost_is_told_as_far_as_it_goes(store: BarStore) -> None:
    """As in a backup that was taken between the swap and the commit."""
    ingest(store, valued({-1: 1, 0: 1}), "before")
    (old,) = (path for path in store.files(*PAIR) if path.name.startswith("2018"))
    killed(store, valued({1: 1}))
    old.unlink()
    ledger.settle_all(store)
    assert db.read_frame("SELECT added FROM bar_arrival ORDER BY 1")["added"].to_list() == [0, 2]


def test_files_that_a_note_needs_stay_until_it_is_told(store: BarStore) -> None:
    """As after a kill between the swap and the commit."""
    old, new = valued({0: 1, 1: 1}), valued({1: 2, 2: 2})
    ingest(store, old, "before")
    then = datetime.now(UTC)
    for path in store.files(*PAIR):
        os.utime(path, (0, 0))  # written long ago
    killed(store, new)
    assert store.noted() == [PAIR]
    store.write(*PAIR, valued({3: 3}))  # tells the database nothing, and keeps the note
    assert store.noted() == [PAIR]
    ledger.settle_all(store)
    assert store.noted() == []
    assert volumes(read_as_of(*PAIR, then)) == {0: 1, 1: 1}
    told = db.read_frame("SELECT run_id, added, revised FROM bar_arrival ORDER BY 1")
    assert told.rows() == [("before", 2, 0), ("killed", 2, 1)]
    shared = db.read_frame('SELECT "timestamp", volume FROM bars ORDER BY 1')
    assert volumes(shared) == {0: 1, 1: 2, 2: 2, 3: 3}


def three_runs(store: BarStore) -> None:
    for number, run in enumerate("abc", 1):
        ingest(store, valued({0: number}), run, "first")


@pytest.mark.parametrize("second", [Wanted(*PAIR, run_id="b"), Wanted(*PAIR)])
def test_removals_undone_the_newest_first_bring_all_back(store: BarStore, second: Wanted) -> None:
    three_runs(store)
    remove(store, Wanted(*PAIR, run_id="c"), who="a test")
    assert volumes(store.read(*PAIR)) == {0: 2}
    remove(store, second, who="a test")
    undo(store)
    assert volumes(store.read(*PAIR)) == {0: 2}
    assert undo(store).rows == 1
    assert volumes(store.read(*PAIR)) == {0: 3}


def test_what_is_undone_is_not_undone_again(store: BarStore) -> None:
    three_runs(store)
    number = remove(store, Wanted(*PAIR), who="a test").id
    undo(store, number)
    with pytest.raises(RemovalError, match="is undone since"):
        undo(store, number)


def test_the_past_of_a_bar_put_back_outlives_the_clearing(store: BarStore) -> None:
    three_runs(store)
    remove(store, Wanted(*PAIR), who="a test")
    undo(store)
    assert clear(-1) == 0
    remove(store, Wanted(*PAIR, run_id="c"), who="a test")
    assert volumes(store.read(*PAIR)) == {0: 2}
