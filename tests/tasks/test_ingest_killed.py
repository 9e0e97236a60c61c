"""An ingest killed anywhere and run again, or run twice at once, comes to one result."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL, SIGXFSZ
from typing import Any

import polars as pl
import pytest

import tasks.intake.candles
from infra.bars import content_hash
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Simulator
from infra.postgres import database as db
from infra.settings import PROJECT
from infra.sources import oanda
from tasks.folder import bar_store
from tasks.intake.request import IngestRequest
from tests.tasks.crash import ingest
from tests.tasks.prepared import Prepared, begin_anew, run

pytestmark = pytest.mark.usefixtures("database")

NEW_YEAR = datetime(2018, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WRITE = "polars.dataframe.frame.write_parquet"
SMALLEST = 700
"""Bytes that every file of bars or rows has."""

CALLS = {
    "fcntl.flock",
    "posix.fsync",
    "posix.mkdir",
    "posix.replace",
    "infra.stores.bulk._write_year",
    "infra.stores.years.swap",
    "infra.stores.years.write",
    WRITE,
    "psycopg._copy.write",
    "psycopg.cursor.copy",
    "psycopg.cursor.execute",
    "sqlalchemy.engine.default.do_commit",
}
"""Where files and tables change."""

PAGE = 400
TABLES = {
    "bars": "pair, timeframe, timestamp",
    "quarantine": "pair, timeframe, source, source_row, reason, raw",
    "ingest_cursor": "pair, timeframe, source",
    "pairs": "pair, timeframe",
    "bar_arrival": "pair, timeframe, run_id, part",
    "bar_span": "pair, timeframe, first",
    "bar_revision": "pair, timeframe, timestamp",
}
PASSING = ("id", "created_at", "updated_at", "arrived_at", "replaced_at")


class Crash:
    """The program that ingests in children and kills them."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tasks.crash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env=os.environ,
        )

    def __call__(self, *requests: IngestRequest, folder: Path, **order: Any) -> list[int]:
        """Ingest in children, all at once; return their exit codes."""
        assert self.process.stdin
        assert self.process.stdout
        dumped = [request.model_dump(mode="json") for request in requests]
        asked = {"requests": dumped, "folder": str(folder), **order}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        codes = json.loads(self.process.stdout.readline())
        assert set(codes) <= {0, -SIGKILL, -SIGXFSZ}
        return list(codes)


@pytest.fixture
def crash(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crash]:
    monkeypatch.setenv("SEP_SHARED_BARS", "150")
    program = Crash()
    yield program
    program.process.communicate()


def row(hour: int) -> str:
    price = 1.2 + hour % 7 / 100
    return f"{NEW_YEAR + hour * HOUR:%Y-%m-%dT%H:%M:%SZ},{price},1.4,1.1,1.25,{hour % 5}"


def file_request(path: Path, rows: list[str]) -> IngestRequest:
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]))
    return IngestRequest(pair="BTC_USD", source="csv", path=path)


@pytest.fixture
def earlier(tmp_path: Path) -> IngestRequest:
    """What the stores hold before."""
    return file_request(tmp_path / "earlier.csv", [*map(row, range(-60, 20)), "z,1,1,1,1,1"])


@pytest.fixture
def request_(tmp_path: Path) -> IngestRequest:
    """Both years grow, bars are revised, and two rows are no bars."""
    revised = row(3).replace("1.25", "1.26")
    rows = [*map(row, range(-90, 3)), revised, *map(row, range(4, 120))]
    return file_request(tmp_path / "bars.csv", [*rows, "x,1,1,1,1,1", row(5)])


def everything() -> dict[str, Any]:
    """All that an ingest leaves behind, but when and by whom."""
    found: dict[str, Any] = {
        name: db.read_frame(f"SELECT * FROM {name} ORDER BY {order}").drop(PASSING, strict=False)
        for name, order in TABLES.items()
    }
    store = bar_store()
    found["files"] = [path.name for key in store.pairs() for path in store.files(*key)]
    found["hashes"] = [store.content_hash(*key) for key in store.pairs()]
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    same = {
        name: value.equals(other[name]) if isinstance(value, pl.DataFrame) else value == other[name]
        for name, value in one.items()
    }
    return [name for name in same if not same[name]]


def assert_no_half_file() -> None:
    for path in bar_store().root.rglob("*.parquet"):
        stored = pl.read_parquet_metadata(path)["sep_content_hash"]
        assert content_hash(pl.read_parquet(path, glob=False)) == stored


def kill_points(calls: list[str], chance: random.Random, n: int) -> list[dict[str, Any]]:
    """Numbers of calls: at those that change something or right behind, anywhere, and in files."""
    places = [number for number, name in enumerate(calls, 1) if name in CALLS]
    assert {calls[number - 1] for number in places} >= CALLS - {"posix.mkdir"}
    files = [number for number in places if calls[number - 1] == WRITE]
    chosen = [chance.choice(places) + chance.randint(0, 1) for _ in range(n // 2)]
    chosen += [chance.randrange(1, len(calls)) for _ in range(n // 4)]
    points: list[dict[str, Any]] = [{"call": number} for number in chosen]
    sizes = [(number, chance.randrange(1, SMALLEST)) for number in files]
    return points + [{"call": number, "bytes": size} for number, size in sizes]


def test_what_is_put_back_is_what_was(
    earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    begin_anew(earlier, request_, folder=tmp_path)
    both = everything()
    prepared = Prepared(earlier, folder=tmp_path)
    alone = everything()
    run(request_, folder=tmp_path)
    assert differences(everything(), both) == []
    prepared.put_back()
    assert differences(everything(), alone) == []
    run(request_, folder=tmp_path)
    assert differences(everything(), both) == []


@pytest.mark.slow
def test_killed_anywhere_and_run_again(
    crash: Crash, earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance, noted = random.Random(seed), tmp_path / "calls"
    prepared = Prepared(earlier, folder=tmp_path)
    assert crash(request_, folder=tmp_path, calls=str(noted)) == [0]
    expected = everything()
    assert [len(expected[name]) for name in TABLES] == [150, 3, 3, 1, 2, 4, 1]
    points = kill_points(noted.read_text().splitlines(), chance, 32)  # `make chaos` goes on
    points += [{"seconds": chance.uniform(0.02, 0.4)} for _ in range(4)]
    killed = 0
    for point in points:
        prepared.put_back()
        killed += crash(request_, folder=tmp_path, **point) != [0]
        assert_no_half_file()
        run(request_, folder=tmp_path)
        assert differences(everything(), expected) == [], f"seed {seed}, {point}"
    assert killed >= 25


def test_what_a_run_added_is_told_as_if_it_was_never_killed(
    crash: Crash, earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    """Killed before the commit, at it, and between it and the end: files were seen in all."""
    begin_anew(earlier, folder=tmp_path)
    noted = tmp_path / "calls"
    assert crash(request_, folder=tmp_path, calls=str(noted)) == [0]
    calls = noted.read_text().splitlines()
    swaps = [n for n, call in enumerate(calls, 1) if call == "infra.stores.years.swap"]
    assert len(swaps) == 2  # the second forgets the note
    commit = max(n for n, call in enumerate(calls, 1) if call.endswith("do_commit"))
    assert swaps[0] < commit < swaps[1]
    for point in (commit, commit + 1, swaps[1], swaps[1] + 1, len(calls)):
        begin_anew(earlier, folder=tmp_path)
        before = bar_store().content_hash("BTC_USD", "H1")
        assert crash(request_, folder=tmp_path, call=point) == [-SIGKILL]
        assert bar_store().content_hash("BTC_USD", "H1") != before
        for _ in range(2):
            [told] = ingest(request_, str(tmp_path))
            assert (told["added"], told["revised"]) == (130, 1)
        row = db.read_frame("SELECT * FROM bar_arrival WHERE run_id = 'csv:bars.csv'")
        assert row.select("part", "source", "added", "revised").rows() == [
            ("first", "csv:bars.csv", 130, 1)
        ]
        assert (row["first"][0], row["last"][0]) == (NEW_YEAR - 90 * HOUR, NEW_YEAR + 119 * HOUR)


def test_another_run_tells_of_one_that_was_killed(
    crash: Crash, earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    others = file_request(tmp_path / "others.csv", [row(hour) for hour in range(100, 130)])
    begin_anew(earlier, folder=tmp_path)
    noted = tmp_path / "calls"
    assert crash(request_, folder=tmp_path, calls=str(noted)) == [0]
    calls = noted.read_text().splitlines()
    commit = max(n for n, call in enumerate(calls, 1) if call.endswith("do_commit"))
    begin_anew(earlier, folder=tmp_path)
    assert crash(request_, folder=tmp_path, call=commit) == [-SIGKILL]
    assert ingest(others, str(tmp_path))[0]["added"] == 10
    assert ingest(request_, str(tmp_path))[0]["added"] == 130
    told = db.read_frame("SELECT added, revised FROM bar_arrival ORDER BY arrived_at")
    assert told.rows() == [(80, 0), (130, 1), (10, 0)]


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Three pages of candles up to now, each a part of its own; two never become complete."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    minutes = random_minutes(now - timedelta(minutes=1200), 1190, seed=5, level=30_000.0)
    monkeypatch.setattr(oanda, "PAGE", PAGE)
    monkeypatch.setattr(tasks.intake.candles, "PAGES", 1)
    stuck = {minutes["time"][100], minutes["time"][600]}
    with Simulator(Market({"BTC_USD": minutes}, now, stuck=stuck)).serve() as simulator:
        monkeypatch.setenv("SEP_OANDA_TOKEN", simulator.token)
        monkeypatch.setenv("SEP_OANDA_URL", simulator.url)
        yield simulator


@pytest.mark.proof
@pytest.mark.slow
def test_candles_killed_anywhere_and_read_on(
    venue: Simulator, crash: Crash, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance, noted = random.Random(seed), tmp_path / "calls"
    asked = IngestRequest(source="oanda", timeframe="M1", pair="BTC_USD")
    begin_anew(folder=tmp_path)
    assert crash(asked, folder=tmp_path, page=PAGE, calls=str(noted)) == [0]
    expected = cursor_only(everything())
    assert len(venue.requests) == 3
    assert len(expected["quarantine"]) == 2
    killed = 0
    for point in kill_points(noted.read_text().splitlines(), chance, 6):
        begin_anew(folder=tmp_path)
        killed += crash(asked, folder=tmp_path, page=PAGE, **point) != [0]
        assert_no_half_file()
        run(asked, folder=tmp_path)
        assert differences(cursor_only(everything()), expected) == [], f"seed {seed}, {point}"
    assert killed >= 8


def cursor_only(found: dict[str, Any]) -> dict[str, Any]:
    """How many rows a part had depends on where it began; all parts together add the same."""
    cursor = found["ingest_cursor"].drop("rows", "quarantined")
    added = found["bar_arrival"]["added"].sum()
    return {**found, "ingest_cursor": cursor, "bar_arrival": added, "bar_span": None}


def test_two_at_once_come_to_one_result(
    crash: Crash, earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    begin_anew(earlier, request_, folder=tmp_path)
    expected = everything()
    for _ in range(5):
        begin_anew(earlier, folder=tmp_path)
        assert crash(request_, request_, folder=tmp_path) == [0, 0]
        assert differences(everything(), expected) == []


def test_some_that_differ_leave_both_stores_alike(
    crash: Crash, earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    """Whichever comes last wins, in both stores."""
    others = [row(hour).replace("1.25", "1.27") for hour in range(-80, 130)]
    other = file_request(tmp_path / "others.csv", others)
    for _ in range(4):
        begin_anew(earlier, folder=tmp_path)
        assert crash(*[request_, other] * 3, folder=tmp_path) == [0] * 6
        newest = bar_store().read("BTC_USD", "H1").tail(150)
        shared = db.read_frame("SELECT * FROM bars ORDER BY timestamp")
        assert shared.select(newest.columns).equals(newest)


def test_two_readers_of_candles_at_once_come_to_one_result(
    venue: Simulator, crash: Crash, tmp_path: Path
) -> None:
    asked = IngestRequest(source="oanda", timeframe="M1", pair="BTC_USD")
    begin_anew(asked, folder=tmp_path)
    expected = cursor_only(everything())
    for _ in range(3):
        begin_anew(folder=tmp_path)
        assert crash(asked, asked, folder=tmp_path, page=PAGE) == [0, 0]
        assert differences(cursor_only(everything()), expected) == []
