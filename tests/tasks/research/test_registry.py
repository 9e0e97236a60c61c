"""The model in force: by pointer alone, and only with the bars and code it was trained on."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from infra.postgres import database as db
from infra.stores.bulk import BarStore
from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.intake.rows import planted_rows
from tasks.live.newest import predict_newest
from tasks.research import registry
from tasks.research.library import Library
from tasks.research.registry import ModelRefused, NoModel
from tasks.signals import find_champions
from tasks.strategy.strategies import damped
from tests.tasks.research.test_walkforward import TOLD, Whole, run

HOUR = timedelta(hours=1)
LATE = 10
"""Bars that come late, in the middle of the trained span."""


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return planted_rows(6_000, timeframe="H1", seed=5).drop("source_row")


@pytest.fixture(scope="module")
def whole(bars: pl.DataFrame) -> Whole:
    """Trained without ten bars of the middle of the library span."""
    return run(without_late(bars))


def without_late(bars: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([bars.head(1_500), bars.slice(1_500 + LATE)])


@pytest.fixture
def store(home: Path, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BarStore:
    monkeypatch.setattr("tasks.folder.settings", lambda: At(tmp_path))
    with db.engine().begin() as connection:
        connection.exec_driver_sql("INSERT INTO pairs VALUES ('PLANTED', 'H1')")
    return bar_store()


class At:
    """A home of the test's own; the database is the session's."""

    def __init__(self, home: Path) -> None:
        self.home = home


def register(trained: Whole, name: str) -> registry.Entry:
    folder = RunFolder.of("backtest", name)
    document.write(folder.model, trained.model)
    trained.library.write(folder.library)
    registry.register(trained.model, str(folder.path), {"verdict": name})
    return registry.entry(trained.model.model_id)


def test_a_backtest_puts_nothing_in_force(whole: Whole, store: BarStore) -> None:
    register(whole, "first")
    assert registry.champions() == []
    with pytest.raises(NoModel, match=r"any pair is in force for H1: .*sep model promote"):
        find_champions.fn("H1", None)


def test_the_champion_stays_whatever_comes_after(whole: Whole, store: BarStore) -> None:
    chosen = register(whole, "first")
    registry.appoint(chosen.model_id[:6], who="a test")
    other = whole.model
    renamed = type(other)("0" * 12, other.frozen, other.confidence)
    register(whole._replace(model=renamed), "later")
    assert find_champions.fn("H1", None) == [chosen.model_id]
    assert [each.champion for each in registry.entries("PLANTED", "H1")] == [False, True]
    registry.appoint("0" * 12, who="a test")
    assert find_champions.fn("H1", ["PLANTED"]) == ["0" * 12]
    told = db.read_frame("SELECT model_id, who FROM champion")
    assert told.rows() == [("0" * 12, "a test")]


def test_who_is_in_force_stays_so_since_it_has_been(whole: Whole, store: BarStore) -> None:
    model = register(whole, "first").model_id

    def since() -> list[datetime]:
        registry.appoint(model, who="a test")
        return db.read_frame("SELECT since FROM champion")["since"].to_list()

    first = since()
    assert since() == first
    with db.engine().begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO demotion SELECT model_id, since, 'demoted', 'me', 'x', '{}' FROM champion"
        )
    assert first < since()


def test_a_pair_that_is_not_enabled_is_left_out(whole: Whole, store: BarStore) -> None:
    registry.appoint(register(whole, "first").model_id, who="a test")
    with db.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE pairs SET enabled = false")
    with pytest.raises(NoModel, match="no model of PLANTED"):
        find_champions.fn("H1", ["PLANTED"])


def test_a_backfill_into_the_trained_span_is_refused(
    whole: Whole, bars: pl.DataFrame, store: BarStore
) -> None:
    chosen = register(whole, "first")
    store.write("PLANTED", "H1", without_late(bars))
    assert registry.in_force(chosen, store).model_id == chosen.model_id
    store.write("PLANTED", "H1", bars)
    with pytest.raises(ModelRefused, match=r"5,990 bars .*\(6,000 are there now\): train again"):
        registry.in_force(chosen, store)


def test_trained_again_the_replay_is_the_backtest(bars: pl.DataFrame, store: BarStore) -> None:
    """After the backfill: bar by bar, and over the whole test span."""
    store.write("PLANTED", "H1", without_late(bars))
    store.write("PLANTED", "H1", bars)
    again = run(store.read("PLANTED", "H1"))
    model = registry.in_force(register(again, "again"), store)
    as_of = bars["timestamp"][-1] + HOUR
    live = predict_newest(model, again.library, store, as_of=as_of, count=1_400, engine="cpu")
    same = again.told.tail(1_400)
    assert live.select(TOLD).equals(same.select(TOLD))
    assert damped(live).equals(damped(same))
    assert len(damped(live)) > 0


def test_a_backfill_behind_the_trained_span_moves_no_row(
    bars: pl.DataFrame, store: BarStore
) -> None:
    """Bars that come late after training shift no query against the library (fault N1).

    The library knows its rows by time: none sees an outcome that was not known at its close.
    """
    trained = run(bars.head(5_000))
    late = pl.concat([bars.head(5_200), bars.slice(5_200 + LATE)])
    as_of = bars["timestamp"][-1] + HOUR
    told = []
    for stored in (late, bars):
        store.write("PLANTED", "H1", stored)
        model = registry.in_force(register(trained, "first"), store)
        live = predict_newest(model, trained.library, store, as_of=as_of, count=50, engine="cpu")
        fresh = BarStore(store.root.with_name(f"fresh-{len(stored)}"))
        fresh.write("PLANTED", "H1", stored)
        library = Library.read(RunFolder(Path(registry.entries()[0].folder)).library)
        same = predict_newest(model, library, fresh, as_of=as_of, count=50, engine="cpu")
        assert live.equals(same)
        told.append(live)
    assert told[0]["timestamp"].equals(told[1]["timestamp"])


def test_a_revised_bar_is_refused(whole: Whole, bars: pl.DataFrame, store: BarStore) -> None:
    chosen = register(whole, "first")
    store.write("PLANTED", "H1", without_late(bars))
    revised = bars.slice(2_000, 1).with_columns(pl.col("close", "high") * 1.0001)
    store.write("PLANTED", "H1", revised)
    with pytest.raises(ModelRefused, match="not as they were"):
        registry.in_force(chosen, store)


def test_later_bars_with_quotes_change_nothing(
    whole: Whole, bars: pl.DataFrame, store: BarStore
) -> None:
    """A source that gives bid and ask from some day on adds columns to all bars that are read."""
    chosen = register(whole, "first")
    store.write("PLANTED", "H1", without_late(bars))
    end = bars["timestamp"][-1]
    later = bars.tail(1).with_columns(
        timestamp=pl.lit(end + 24 * HOUR).cast(bars.schema["timestamp"])
    )
    store.write("PLANTED", "H1", later)
    assert registry.in_force(chosen, store).model_id == chosen.model_id


def test_other_code_is_refused(
    whole: Whole, bars: pl.DataFrame, store: BarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = register(whole, "first")
    store.write("PLANTED", "H1", without_late(bars))
    monkeypatch.setattr(registry, "code_version", lambda: "9.9+later")
    with pytest.raises(ModelRefused, match=r"here is 9\.9\+later: train again"):
        registry.in_force(chosen, store)
    with pytest.raises(ModelRefused, match="train again"):
        registry.appoint(chosen.model_id, who="a test")


def test_a_model_whose_file_is_gone_or_damaged_says_what_to_do(
    whole: Whole, store: BarStore
) -> None:
    chosen = register(whole, "first")
    path = RunFolder(Path(chosen.folder)).model
    for spoil in (lambda: path.write_text("{"), path.unlink):
        spoil()
        with pytest.raises(ModelRefused, match=r"model\.json is no Model.*train again"):
            registry.in_force(chosen, store)


@pytest.mark.parametrize("name", ["nothing", "%", "_"])
def test_an_unknown_name_is_no_model(whole: Whole, store: BarStore, name: str) -> None:
    register(whole, "first")
    with pytest.raises(NoModel, match="sep model list"):
        registry.entry(name)
