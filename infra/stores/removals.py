"""Bars taken out of the store, by span or by run, and put back.

First the rows are written to a file of their own, then the store is swapped, its manifest noting
the removal, then the database commits: killed anywhere, either the bars are there, or their file
and the record of it are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl
from sqlalchemy import Connection, text

from infra.bars import SCHEMA, TIME
from infra.errors import SepError
from infra.files import replaced
from infra.postgres import database
from infra.settings import settings
from infra.stores import hot, ledger, versions, warm
from infra.stores.bulk import Ahead, BarStore
from infra.stores.changes import completed

_DAY: Final = 86_400
_RUNS: Final = """
SELECT run_id AS arrived_by, max(removed_at) AS removed_at FROM bar_removal
WHERE pair = %s AND timeframe = %s AND run_id IS NOT NULL AND undone_at IS NULL GROUP BY 1
"""
_UNDONE: Final = """
SELECT file, undone_at FROM bar_removal
WHERE pair = %s AND timeframe = %s AND undone_at IS NOT NULL
"""
_READ_AGAIN: Final = """
UPDATE ingest_cursor SET last_timestamp = least(last_timestamp, :first), content_hash = :content
WHERE pair = :pair AND timeframe = :timeframe AND source <> :store AND last_timestamp >= :first
"""
_RECORD: Final = "SELECT * FROM bar_removal WHERE id = :id"
_NEWEST: Final = "SELECT * FROM bar_removal WHERE undone_at IS NULL ORDER BY id DESC LIMIT 1"
_BACK: Final = "SELECT file FROM bar_removal WHERE undone_at IS NOT NULL"
_ID: Final = "SELECT id FROM bar_removal WHERE file = :file"


class RemovalError(SepError, LookupError):
    """There are no such bars to be removed or put back; the message says why."""


@dataclass(frozen=True)
class Wanted:
    """Which bars go: those with start <= timestamp < end, or those of a run.

    Attributes
    ----------
    pair, timeframe : str
    start, end : datetime or None
        With a zone; None sets no limit.
    run_id : str or None
    """

    pair: str
    timeframe: str
    start: datetime | None = None
    end: datetime | None = None
    run_id: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Pair and timeframe."""
        return self.pair, self.timeframe

    def __str__(self) -> str:
        """Say it in words."""
        run = f" of the run {self.run_id}" if self.run_id else ""
        start = f" from {self.start:%Y-%m-%d %H:%M}" if self.start else ""
        end = f" to {self.end:%Y-%m-%d %H:%M}" if self.end else ""
        return f"{self.pair} {self.timeframe}{run}{start}{end}"


@dataclass(frozen=True)
class Removed:
    """Bars that went: how many, their span, and how many earlier rows took their places."""

    id: int | None
    rows: int
    first: datetime
    last: datetime
    put_back: int


@dataclass(frozen=True)
class Undone:
    """Bars that are back, and how many others had come in their places and stayed."""

    id: int
    pair: str
    timeframe: str
    rows: int
    stayed: int


def look(store: BarStore, wanted: Wanted) -> Removed:
    """Tell what `remove` would do.

    Parameters
    ----------
    store : BarStore
    wanted : Wanted

    Raises
    ------
    RemovalError
        If there are no such bars.
    """
    with _alone(store, *wanted.key) as connection:
        return _told(*_chosen(connection, store, wanted))


def remove(store: BarStore, wanted: Wanted, *, who: str) -> Removed:
    """Take bars out of the store, and keep them aside; what a run had replaced is put back.

    Parameters
    ----------
    store : BarStore
    wanted : Wanted
    who : str
        Is noted.

    Raises
    ------
    RemovalError
        If there are no such bars.
    """
    with _alone(store, *wanted.key) as connection:
        chosen, back = _chosen(connection, store, wanted)
        at, done = ledger.next_moment(connection, *wanted.key), _told(chosen, back)
        file = f"{wanted.pair}.{wanted.timeframe}.{at:%Y%m%dT%H%M%S%f}.parquet"
        _keep(chosen, back, file)
        note: dict[str, Any] = {"kind": "removal", "at": at.isoformat(), "run_id": wanted.run_id}
        note |= {"first": done.first.isoformat(), "last": done.last.isoformat(), "file": file}
        note |= {"rows": done.rows, "put_back": done.put_back, "who": who, "what": str(wanted)}
        rows = back.select(*SCHEMA)
        with store.writing(*wanted.key, rows, gone=chosen["timestamp"]) as ahead:
            ledger.record(connection, ahead, note, equal=_equal(chosen, back))
            _follow(connection, ahead, done.first)
        number = connection.scalar(text(_ID), note)
    _forget(store, ahead)
    return Removed(number, done.rows, done.first, done.last, done.put_back)


def undo(store: BarStore, number: int | None = None) -> Undone:
    """Put back what a removal took out; bars that came since stay.

    Parameters
    ----------
    store : BarStore
    number : int, optional
        Of the removal; left out: the newest that is not undone.

    Raises
    ------
    RemovalError
        If there is none, it is undone, or its rows are cleared.
    """
    ledger.settle_all(store)
    record = _record(number)
    key = (record.pair, record.timeframe)
    with _alone(store, *key) as connection:
        record = _record(record.id)  # another may have put it back meanwhile
        rows = pl.read_parquet(_file_of(record), glob=False)
        edges = (rows["timestamp"][0], rows["timestamp"][-1])
        there = pl.col("timestamp").is_between(*edges)
        present = completed(store.scan(*key).filter(there).collect())
        present = versions.dated(connection, *key, present)
        present = _first_come(present, _returns(connection, Wanted(*key)))
        stays = present.filter(pl.col("arrived_at").ne_missing(pl.lit(record.removed_at)))
        back = rows.join(stays, on="timestamp", how="anti", maintain_order="left")
        at = ledger.next_moment(connection, *key).isoformat()
        with store.writing(*key, back.select(*SCHEMA)) as ahead:
            note = {"kind": "undo", "at": at, "file": record.file}
            ledger.record(connection, ahead, note, equal=_equal(present, back))
            warm.share(ahead, *key, connection=connection)
    _forget(store, ahead)
    return Undone(record.id, *key, back.height, rows.height - back.height)


def clear(days: float) -> int:
    """Delete the rows that were taken out so many days ago, and count the files."""
    oldest = time.time() - days * _DAY
    files = (settings().home / ledger.FOLDER).glob("*.parquet")
    old = [file for file in files if file.stat().st_mtime < oldest]
    if old:  # of bars that are back, the file tells when they first came
        with database.engine().connect() as connection:
            back = set(connection.scalars(text(_BACK)))
        old = [file for file in old if file.name not in back]
    for file in old:
        file.unlink(missing_ok=True)
    return len(old)


@contextmanager
def _alone(store: BarStore, pair: str, timeframe: str) -> Iterator[Connection]:
    """Open a transaction in which the database knows all, and nobody else stores bars."""
    with database.engine().begin() as connection:
        warm.alone(connection, pair, timeframe)
        ledger.settle(store, pair, timeframe)
        yield connection


def _chosen(
    connection: Connection, store: BarStore, wanted: Wanted
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the bars that go, and the rows that take the places of some."""
    bars = completed(store.read(*wanted.key, wanted.start, wanted.end))
    bars = versions.dated(connection, *wanted.key, bars)
    if wanted.run_id is not None:
        bars = bars.filter(pl.col("arrived_by") == wanted.run_id)
    if bars.is_empty():
        raise RemovalError(f"the store has no bars left of {wanted}: `sep bars list` shows it")
    if wanted.run_id is None:
        return bars, bars.clear()
    return bars, _before(connection, wanted, bars)


def _equal(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose values are those of another version at the same time."""
    both = rows.join(others.select(*SCHEMA), on="timestamp", suffix=" new", maintain_order="left")
    names = [name for name in SCHEMA if name != "timestamp"]
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name} new")) for name in names)
    return both.filter(same).select(*SCHEMA)


def _told(chosen: pl.DataFrame, back: pl.DataFrame) -> Removed:
    first, last = chosen["timestamp"][0], chosen["timestamp"][-1]
    return Removed(None, chosen.height, first, last, back.height)


def _before(connection: Connection, wanted: Wanted, bars: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that were replaced by the run's, back to one of a run that is not removed."""
    history = versions.earlier(connection, *wanted.key).drop("run_id")
    gone = database.read_frame(_RUNS, list(wanted.key), connection=connection)
    returns = _returns(connection, wanted)
    found, left = [history.clear()], bars.select("timestamp", "arrived_at")
    while len(left):
        moved = left.join(returns, on=("timestamp", "arrived_at"))
        left = left.join(returns, on=("timestamp", "arrived_at"), how="anti")
        left = left.rename({"arrived_at": "replaced_at"})
        rows = history.join(left, on=("timestamp", "replaced_at"), how="semi")
        rows = rows.join(gone, on="arrived_by", how="left", maintain_order="left")
        removed = (pl.col("arrived_at") <= pl.col("removed_at")).fill_null(value=False)
        bad = removed | (pl.col("arrived_by") == wanted.run_id).fill_null(value=False)
        found.append(rows.filter(~bad).drop("removed_at"))
        moved = moved.select("timestamp", arrived_at="came_at")
        left = pl.concat([moved, rows.filter(bad).select("timestamp", "arrived_at")])
    return pl.concat(found).sort("timestamp")


def _returns(connection: Connection, wanted: Wanted) -> pl.DataFrame:
    """Return when bars that were put back, at `arrived_at`, had first come: their past is there."""
    undone = database.read_frame(_UNDONE, list(wanted.key), connection=connection)
    kinds = {"timestamp": SCHEMA["timestamp"], **dict.fromkeys(("arrived_at", "came_at"), TIME)}
    found = [pl.DataFrame(schema=kinds)]
    for name, at in undone.iter_rows():
        if (file := ledger.removed_file(name)).exists():
            rows = pl.read_parquet(file, columns=["timestamp", "arrived_at"], glob=False)
            rows = rows.rename({"arrived_at": "came_at"}).with_columns(arrived_at=pl.lit(at, TIME))
            found.append(rows.select(*kinds))
    return pl.concat(found)


def _first_come(bars: pl.DataFrame, returns: pl.DataFrame) -> pl.DataFrame:
    """Let bars that were put back have come when they first came."""
    while True:
        both = bars.join(returns, on=("timestamp", "arrived_at"), how="left", maintain_order="left")
        if not both["came_at"].count():
            return bars
        came = pl.coalesce("came_at", "arrived_at").alias("arrived_at")
        bars = both.with_columns(came).drop("came_at")


def _keep(chosen: pl.DataFrame, back: pl.DataFrame, name: str) -> None:
    path = ledger.removed_file(name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    authors = back.select("timestamp", back_by="arrived_by")
    rows = chosen.join(authors, on="timestamp", how="left", maintain_order="left")
    with replaced(path, durable=True) as draft:
        rows.write_parquet(draft)


def _follow(connection: Connection, ahead: Ahead, first: datetime) -> None:
    """Make PostgreSQL's bars follow, and sources be read again from there on."""
    warm.share(ahead, *ahead.key, connection=connection)
    pair, timeframe = ahead.key
    row = {"pair": pair, "timeframe": timeframe, "first": first, "store": warm.SOURCE}
    connection.execute(text(_READ_AGAIN), {**row, "content": ahead.content_hash(*ahead.key)})


def _forget(store: BarStore, ahead: Ahead) -> None:
    """Let go of what was of use until the commit, and of copies in Valkey."""
    if ahead.note:
        store.told(*ahead.key, ahead.note)
    hot.drop("bars", *ahead.key)
    hot.drop("metrics", *ahead.key)


def _record(number: int | None) -> Any:
    with database.engine().connect() as connection:
        query = text(_NEWEST if number is None else _RECORD)
        record = connection.execute(query, {} if number is None else {"id": number}).one_or_none()
    if record is None:
        what = "nothing was removed" if number is None else f"there is no removal {number}"
        raise RemovalError(f"{what} that could be put back: `sep bars undo --list` shows them")
    if record.undone_at:
        raise RemovalError(f"removal {record.id} is undone since {record.undone_at:%Y-%m-%d %H:%M}")
    return record


def _file_of(record: Any) -> Any:
    file = ledger.removed_file(record.file)
    if not file.exists():
        raise RemovalError(
            f"the {record.rows:,} rows of removal {record.id} are cleared after "
            f"{settings().run_days} days: ingest them again"
        )
    return file
