"""A removal, and what puts bars back, killed anywhere: bars are there, or their file and record."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from signal import SIGKILL
from typing import Any

import polars as pl
import pytest

from infra.bars import SCHEMA
from infra.postgres import database as db
from infra.stores import ledger, removals
from infra.stores.removals import RemovalError, Wanted, remove, undo
from tasks.folder import bar_store
from tasks.intake.request import IngestRequest
from tests.tasks.prepared import Prepared
from tests.tasks.test_ingest_killed import (
    CALLS,
    SMALLEST,
    WRITE,
    Crash,
    crash,
    earlier,
    request_,
)

__all__ = ["crash", "earlier", "request_"]

pytestmark = pytest.mark.usefixtures("database")

KEY = ("BTC_USD", "H1")
RUN = "csv:bars.csv"
WANTED = {"pair": "BTC_USD", "timeframe": "H1", "run_id": RUN}
CHANGING = CALLS | {"posix.unlink"}


def prepare(*requests: IngestRequest, folder: Path) -> Prepared:
    forget(folder)
    return Prepared(*requests, folder=folder)


def forget(folder: Path) -> None:
    """Let files of removed rows go."""
    for place in (folder, bar_store().root.parent):
        shutil.rmtree(place / ledger.FOLDER, ignore_errors=True)


def put_back(prepared: Prepared) -> None:
    forget(prepared.files.parent)
    prepared.put_back()


def state() -> tuple[str, int]:
    """What the store holds, and how many files of removed rows there are, each readable."""
    files = list((bar_store().root.parent / ledger.FOLDER).glob("*.parquet"))
    for file in files:
        assert set(SCHEMA) < set(pl.read_parquet(file, glob=False).columns)
    return bar_store().content_hash(*KEY), len(files)


def shared() -> pl.DataFrame:
    columns = ", ".join(f'"{name}"' for name in bar_store().read(*KEY).columns)
    return db.read_frame(f"SELECT {columns} FROM bars ORDER BY timestamp")


def records() -> list[tuple[int, bool]]:
    ledger.settle_all(bar_store())
    rows = db.read_frame("SELECT rows, undone_at IS NOT NULL AS undone FROM bar_removal")
    return rows.rows()


def points(calls: list[str], chance: random.Random) -> list[dict[str, Any]]:
    """Each call that changes something and the one behind it, and half files."""
    places = [number for number, name in enumerate(calls, 1) if name in CHANGING]
    assert {calls[number - 1] for number in places} >= CALLS - {"posix.mkdir"}
    chosen = [{"call": number + after} for number in places for after in (0, 1)]
    files = [number for number in places if calls[number - 1] == WRITE]
    chosen += [{"call": number, "bytes": chance.randrange(1, SMALLEST)} for number in files]
    return chance.sample(chosen, min(len(chosen), 40))


@pytest.mark.slow
def test_removal_killed_anywhere(
    crash: Crash, earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    noted = tmp_path / "calls"
    prepare(earlier, folder=tmp_path)
    without = state()[0]
    prepared = prepare(earlier, request_, folder=tmp_path)
    whole = state()[0]
    assert crash(request_, folder=tmp_path, calls=str(noted), removal=WANTED) == [0]
    assert state() == (without, 1)
    assert records() == [(131, False)]
    killed = 0
    for point in points(noted.read_text().splitlines(), random.Random(seed)):
        put_back(prepared)
        killed += crash(request_, folder=tmp_path, removal=WANTED, **point) != [0]
        content, files = state()
        if content == whole:
            assert records() == []
            assert remove(bar_store(), Wanted(*KEY, run_id=RUN), who="me").rows == 131
        else:
            assert (content, files) == (without, 1), f"seed {seed}, {point}"
            assert records() == [(131, False)]
        assert state()[0] == without
        assert shared().equals(bar_store().read(*KEY).tail(150))
        assert undo(bar_store()).rows == 131
        assert state()[0] == whole, f"seed {seed}, {point}"
        assert shared().equals(bar_store().read(*KEY).tail(150))
    assert killed >= 30


@pytest.mark.proof
@pytest.mark.slow
def test_undoing_killed_anywhere(
    crash: Crash, earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    noted, undoing = tmp_path / "calls", {"undo": True}
    prepared = prepare(earlier, request_, folder=tmp_path)
    whole = state()[0]
    remove(bar_store(), Wanted(*KEY, run_id=RUN), who="me")
    without = state()[0]
    assert crash(request_, folder=tmp_path, calls=str(noted), removal=undoing) == [0]
    assert state() == (whole, 1)
    killed = 0
    for point in points(noted.read_text().splitlines(), random.Random(seed)):
        put_back(prepared)
        remove(bar_store(), Wanted(*KEY, run_id=RUN), who="me")
        codes = crash(request_, folder=tmp_path, removal=undoing, **point)
        killed += codes == [-SIGKILL]
        content, _ = state()
        assert content in (whole, without)
        assert records() == [(131, content == whole)], f"seed {seed}, {point}"
        if content == whole:
            with pytest.raises(RemovalError, match="nothing was removed"):
                undo(bar_store())
        else:
            assert undo(bar_store()).rows == 131
        assert state() == (whole, 1)
        assert shared().equals(bar_store().read(*KEY).tail(150))
    assert killed >= 25


def test_a_file_without_a_record_goes_with_time(earlier: IngestRequest, tmp_path: Path) -> None:
    prepare(earlier, folder=tmp_path)
    remove(bar_store(), Wanted(*KEY), who="me")
    assert removals.clear(1) == 0
    assert removals.clear(0) == 1
    with pytest.raises(RemovalError, match="are cleared after 30 days: ingest them again"):
        undo(bar_store())
