"""The bulk store: what goes in comes out, twice is once, and no half file is ever seen."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.bars import PRICES, QUOTES, SCHEMA
from infra.stores.bulk import BarStore
from infra.stores.years import StoreError

PAIR = ("EUR_USD", "H1")
NEW_YEAR = datetime(2018, 1, 1, tzinfo=UTC)


def bars_at(hours: list[int], *, quotes: bool = False, seed: int = 0) -> pl.DataFrame:
    generator = np.random.default_rng([seed, *(hour + 1_000 for hour in hours)])
    times = [NEW_YEAR + timedelta(hours=hour) for hour in hours]
    names = [*PRICES, "volume", *(QUOTES if quotes else ())]
    prices = {name: generator.uniform(1.0, 2.0, len(hours)) for name in names}
    return pl.DataFrame({"timestamp": pl.Series(times, dtype=SCHEMA["timestamp"]), **prices})


def bytes_of(store: BarStore) -> dict[Path, tuple[bytes, int]]:
    return {p: (p.read_bytes(), p.stat().st_ino) for p in store.root.rglob("*.parquet")}


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(tmp_path / "bars [1]*")


def test_bars_are_kept_by_year(store: BarStore) -> None:
    written = store.write(*PAIR, bars_at([-1, 0, 1]))
    assert [(w.year, w.rows, w.added, w.changed) for w in written] == [
        (2017, 1, 1, True),
        (2018, 2, 2, True),
    ]
    folder = store.root / "EUR_USD" / "H1"
    assert written[0].path == folder / f"2017.{written[0].content_hash[:12]}.parquet"
    assert store.files(*PAIR) == [each.path for each in written]
    assert store.pairs() == [PAIR]


def test_second_write_leaves_files_alone(store: BarStore) -> None:
    store.write(*PAIR, bars_at([-1, 0, 1]))
    before = bytes_of(store)
    assert not any(w.changed for w in store.write(*PAIR, bars_at([-1, 0, 1])))
    assert not any(w.changed for w in store.write(*PAIR, bars_at([-1, 0, 1])[::-1]))
    assert bytes_of(store) == before


def test_revised_bar_replaces_the_old_one(store: BarStore) -> None:
    old, new = bars_at([0, 1, 2]), bars_at([1], seed=1)
    store.write(*PAIR, old)
    written = store.write(*PAIR, new)
    assert (written[0].rows, written[0].added, written[0].changed) == (3, 0, True)
    assert store.read(*PAIR).equals(pl.concat([old[:1], new, old[2:]]))


def test_quotes_appear_where_a_year_has_them(store: BarStore) -> None:
    plain, quoted = bars_at([-2, -1]), bars_at([0, 1], quotes=True)
    store.write(*PAIR, plain)
    assert "bid_open" not in store.read(*PAIR).columns
    store.write(*PAIR, quoted)
    assert store.read(*PAIR).equals(pl.concat([plain, quoted], how="diagonal"))


def test_quotes_without_a_value_are_no_quotes(store: BarStore) -> None:
    empty = bars_at([0]).with_columns(pl.lit(None, pl.Float64).alias(name) for name in QUOTES)
    store.write(*PAIR, empty)
    assert store.read(*PAIR).columns == ["timestamp", *PRICES, "volume"]


def test_read_takes_start_and_leaves_end(store: BarStore) -> None:
    bars = bars_at(list(range(-5, 5)))
    store.write(*PAIR, bars)
    hour = timedelta(hours=1)
    assert store.read(*PAIR, start=NEW_YEAR - hour, end=NEW_YEAR + 2 * hour).equals(bars[4:7])


def test_nothing_stored_reads_as_nothing(store: BarStore) -> None:
    assert store.read(*PAIR).is_empty()
    assert store.read(*PAIR).schema == pl.Schema(list(SCHEMA.items())[:6])
    assert store.pairs() == []


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    parts=st.lists(
        st.lists(st.integers(-30, 30), unique=True, max_size=12), min_size=1, max_size=4
    ),
    quotes=st.booleans(),
)
def test_order_and_slicing_of_writes_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]], quotes: bool
) -> None:
    bars = bars_at(list(range(-30, 31)), quotes=quotes)
    rows = [[hour + 30 for hour in part] for part in parts]
    expected = bars[sorted({row for part in rows for row in part})]
    whole, pieces = (BarStore(tmp_path_factory.mktemp("store")) for _ in range(2))
    whole.write(*PAIR, expected)
    for part in rows:
        pieces.write(*PAIR, bars[part])
    assert pieces.read(*PAIR).equals(whole.read(*PAIR))
    assert pieces.read(*PAIR).height == expected.height
    assert pieces.content_hash(*PAIR) == whole.content_hash(*PAIR)


def test_hash_tells_any_change(store: BarStore) -> None:
    bars = bars_at([0, 1])
    store.write(*PAIR, bars)
    before = store.content_hash(*PAIR)
    store.write(*PAIR, bars.with_columns(volume=pl.lit(None, pl.Float64)))
    nulls = store.content_hash(*PAIR)
    store.write(*PAIR, bars.with_columns(volume=pl.lit(0.0)))
    assert len({before, nulls, store.content_hash(*PAIR)}) == 3


def test_draft_of_a_killed_writer_is_never_read(store: BarStore) -> None:
    store.write(*PAIR, bars_at([0]))
    (store.root / "EUR_USD" / "H1" / ".2018.0.parquet.1.new").write_bytes(b"half a file")
    (store.root / "EUR_USD" / "H1" / "2018.0.parquet").write_bytes(b"half a file")
    assert store.read(*PAIR).height == 1
    store.write(*PAIR, bars_at([1]))
    assert store.read(*PAIR).height == 2


def _write_hours(root: Path, first: int) -> None:
    for hour in range(first, 40, 2):
        BarStore(root).write(*PAIR, bars_at(list(range(60)))[hour : hour + 1])


def test_two_writers_at_once_lose_nothing(store: BarStore) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_hours, args=(store.root, first)) for first in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert store.read(*PAIR).equals(bars_at(list(range(60)))[:40])


@pytest.mark.parametrize("pair", ["../EUR_USD", "eur/usd", "", "EUR_USD/H1", "."])
def test_name_cannot_leave_the_folder(pair: str, store: BarStore) -> None:
    with pytest.raises(StoreError, match="no name"):
        store.write(pair, "H1", bars_at([0]))


def test_unfit_frames_are_refused(store: BarStore) -> None:
    bars = bars_at([0, 1])
    with pytest.raises(StoreError, match="close"):
        store.write(*PAIR, bars.drop("close"))
    with pytest.raises(StoreError, match="surprise"):
        store.write(*PAIR, bars.with_columns(surprise=1))
    with pytest.raises(StoreError, match="repeated"):
        store.write(*PAIR, pl.concat([bars, bars]))


def test_damaged_file_is_named(store: BarStore) -> None:
    path = store.write(*PAIR, bars_at([0]))[0].path
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"2018\.\w+\.parquet is damaged"):
        store.write(*PAIR, bars_at([1]))


def test_file_of_others_is_not_touched(store: BarStore) -> None:
    folder = store.root / "EUR_USD" / "H1"
    folder.mkdir(parents=True)
    bars_at([0]).write_parquet(folder / "2018.parquet")
    with pytest.raises(StoreError, match="version"):
        store.write(*PAIR, bars_at([1]))


def test_others_see_a_write_at_its_end(store: BarStore) -> None:
    """Two years at once: the writer sees both, anybody else neither, and then both."""
    store.write(*PAIR, bars_at([0]))
    before, reader = store.content_hash(*PAIR), BarStore(store.root)
    with store.writing(*PAIR, bars_at([-1, 0, 1])) as ahead:
        assert ahead.read(*PAIR).height == 3
        assert (reader.read(*PAIR).height, reader.content_hash(*PAIR)) == (1, before)
    assert reader.read(*PAIR).height == 3
    assert reader.content_hash(*PAIR) == ahead.content_hash(*PAIR)


def test_a_write_that_fails_changes_nothing(store: BarStore) -> None:
    store.write(*PAIR, bars_at([0]))
    before = store.content_hash(*PAIR)
    with pytest.raises(RuntimeError), store.writing(*PAIR, bars_at([-1, 1])):
        raise RuntimeError
    assert (store.read(*PAIR).height, store.content_hash(*PAIR)) == (1, before)


def test_files_of_before_are_read_and_go_later(store: BarStore) -> None:
    """A reader that began before a write finds its files; a store without a manifest is one."""
    old = store.write(*PAIR, bars_at([-1, 0]))
    folder = old[0].path.parent
    for each in old:
        each.path.rename(folder / f"{each.year}.parquet")
    (folder / "manifest.json").unlink()
    before = store.content_hash(*PAIR)
    began = store.scan(*PAIR)
    store.write(*PAIR, bars_at([1]))
    assert began.collect().height == 2
    assert store.content_hash(*PAIR) != before
    assert store.read(*PAIR).height == 3
    os.utime(folder / "2018.parquet", (0, 0))
    store.write(*PAIR, bars_at([2]))
    assert not (folder / "2018.parquet").exists()
    assert (folder / "2017.parquet").exists()
    assert store.pairs() == [PAIR]


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "0"}', '{"version": "1"}'])
def test_damaged_manifest_is_named(store: BarStore, content: str) -> None:
    path = store.write(*PAIR, bars_at([0]))[0].path.with_name("manifest.json")
    path.write_text(content)
    with pytest.raises(
        StoreError, match=r"(manifest\.json is damaged|not of this store's version)"
    ):
        store.read(*PAIR)


def _write_forever(root: Path) -> None:
    for n in range(2, 400):
        BarStore(root).write(*PAIR, bars_at([*range(-n, n)]))


def watch_a_killed_writer(store: BarStore, chance: random.Random, kills: int) -> int:
    """Look all the time while writers are killed; return how often."""
    looks = 0
    store.write(*PAIR, bars_at([-1, 0]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["infra.stores.bulk"])
    for _ in range(kills):
        writer = context.Process(target=_write_forever, args=(store.root,))
        writer.start()
        end = time.monotonic() + chance.uniform(0.005, 0.06)
        while time.monotonic() < end:
            hours = store.read(*PAIR)["timestamp"]
            assert (NEW_YEAR - hours[0]) == (hours[-1] - NEW_YEAR) + timedelta(hours=1)
            looks += 1
        writer.kill()
        writer.join()
        store.check(*PAIR)
    return looks


def test_a_killed_write_is_seen_whole_or_not_at_all(store: BarStore) -> None:
    """Fifty kills; a reader that looks all the time finds both years of one and the same write."""
    assert watch_a_killed_writer(store, random.Random(10), kills=50) > 50
