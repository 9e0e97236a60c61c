"""Bars on their way between two homes: whole, of the hash that was asked for, or refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import text

from infra.postgres.database import engine, read_frame
from infra.stores import offers, pinned
from infra.stores.bulk import BarStore
from infra.stores.offers import Asked, NotOffered
from infra.stores.pinned import Pinned

KEY = ("EUR_USD", "H1")


def bars(first: datetime, n: int, price: float = 1.0) -> pl.DataFrame:
    times = [first + timedelta(hours=hour) for hour in range(n)]
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    frame = pl.DataFrame({"timestamp": times}, schema={"timestamp": pl.Datetime("us", "UTC")})
    return frame.with_columns(**{k: pl.lit(v) for k, v in prices.items()}, volume=pl.lit(1.0))


def two_years() -> pl.DataFrame:
    return bars(datetime(2025, 12, 31, tzinfo=UTC), 48)


@pytest.fixture
def first(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEP_DATABASE_URL", database)
    return tmp_path / "first"


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return tmp_path / "second"


@contextmanager
def at(home: Path) -> Iterator[BarStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEP_HOME", str(home))
        yield BarStore(home / "bars")


def offered(home: Path, second: Path) -> Asked:
    """Pin bars of the first home, let the second ask for them, and answer."""
    with at(home) as store:
        store.write(*KEY, two_years())
        digest = pinned.pin(store, *KEY)
        assert digest == store.content_hash(*KEY)
    asked = (digest, *KEY)
    with at(second) as store:
        assert not pinned.is_here(store, *asked[1:], digest)
        with pytest.raises(NotOffered, match="nobody offered them within 0 s"):
            offers.fetch(asked, patience=0)
    with at(home):
        assert offers.answer([asked]) == 1
        assert offers.answer([asked]) == 0
    return asked


def test_bars_that_a_home_lacks_come_and_go(first: Path, second: Path) -> None:
    asked = offered(first, second)
    with at(second) as store:
        offers.fetch(asked)
        assert pinned.is_here(store, *KEY, asked[0])
        assert store.pairs() == []
        assert_frame_equal(Pinned(store, {KEY: asked[0]}).read(*KEY), two_years())
    offers.withdraw([asked])
    for table in ("bar_file", "bar_want"):
        assert read_frame(f"SELECT * FROM {table}").is_empty()


def test_a_home_with_others_keeps_its_own(first: Path, second: Path) -> None:
    asked = offered(first, second)
    mine = bars(datetime(2026, 1, 1, tzinfo=UTC), 5, price=2.0)
    with at(second) as store:
        store.write(*KEY, mine)
        offers.fetch(asked)
        assert_frame_equal(store.read(*KEY), mine)
        assert_frame_equal(Pinned(store, {KEY: asked[0]}).read(*KEY), two_years())


def test_pinned_bars_outlast_an_ingest(first: Path) -> None:
    with at(first) as store:
        store.write(*KEY, two_years())
        digest = pinned.pin(store, *KEY)
        assert digest is not None
        store.write(*KEY, bars(datetime(2026, 1, 1, tzinfo=UTC), 48, price=3.0))
        for path in store.folder(*KEY).glob("*.parquet"):
            if path not in store.files(*KEY):
                path.unlink()
        assert pinned.is_here(store, *KEY, digest)
        assert_frame_equal(Pinned(store, {KEY: digest}).read(*KEY), two_years())
        assert pinned.clear(1) == 0
        assert pinned.clear(-1) == 1
        assert not pinned.is_here(store, *KEY, digest)


def test_who_waits_has_them_as_soon_as_they_come(first: Path, second: Path) -> None:
    with at(first) as store:
        store.write(*KEY, two_years())
        digest = pinned.pin(store, *KEY)
        assert digest is not None
        asked = (digest, *KEY)
        later = threading.Timer(1.5, _hand_over, [asked, pinned.files_of(*KEY, digest)])
    with at(second) as store:
        later.start()
        offers.fetch(asked, patience=30)
        later.join()
        assert pinned.is_here(store, *KEY, digest)


def _hand_over(asked: Asked, files: dict[str, Path]) -> None:
    with engine().begin() as connection:
        for year, path in files.items():
            content = path.read_bytes()
            row = {"h": asked[0], "y": year, "b": content, "s": sha256(content).hexdigest()}
            insert = "INSERT INTO bar_file VALUES (:h, 'EUR_USD', 'H1', :y, :s, :b)"
            connection.execute(text(insert), row)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE bar_file SET content = content || '\\x00' WHERE year = '2026'", "came damaged"),
        ("DELETE FROM bar_file WHERE year = '2026'", "those have another hash"),
        ("UPDATE bar_file SET content = 'no', sha256 = encode(sha256('no'), 'hex')", "damaged"),
        ("UPDATE bar_file SET year = '../x' WHERE year = '2026'", "came damaged"),
    ],
)
def test_other_bytes_are_refused(first: Path, second: Path, change: str, said: str) -> None:
    asked = offered(first, second)
    with engine().begin() as connection:
        connection.execute(text(change))
    with at(second) as store:
        with pytest.raises(NotOffered, match=said):
            offers.fetch(asked)
        assert not pinned.is_here(store, *KEY, asked[0])
        assert list((second / "pinned").glob(".fetched-*")) == []


def test_too_many_bytes_are_refused(
    first: Path, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_OFFERED_MB", "0")
    asked = offered(first, second)
    assert read_frame("SELECT * FROM bar_file").is_empty()
    with at(second), pytest.raises(NotOffered, match="SEP_OFFERED_MB lets wait in PostgreSQL"):
        offers.fetch(asked)


def test_offers_of_runs_that_never_ended_go(first: Path, second: Path) -> None:
    offered(first, second)
    assert offers.clear(1) == 0
    assert offers.clear(-1) == 2
