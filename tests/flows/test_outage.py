"""A real database that goes away in the middle: runs wait for it, or fail and publish nothing."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]
import psycopg
import pytest
from prefect import flow
from sqlalchemy import text

import tasks.intake.candles
from flows.ingest import ingest
from flows.signals import signals
from infra import records
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Simulator
from infra.market.hours import calendar_of
from infra.postgres import database as db
from infra.postgres.outage import is_outage
from infra.servers import postgres
from tasks.folder import bar_store
from tasks.ingest import fetch_rows, store, validate_rows
from tasks.intake.request import IngestRequest
from tasks.steps import TRIES, step
from tests.flows.champions import put_in_force
from tests.flows.test_ingest import latest_run, retry
from tests.flows.test_ingest_oanda import logs
from tests.servers import FAST
from tests.stack import family

pytestmark = pytest.mark.usefixtures("prefect_server")

HOUR = timedelta(hours=1)
SECONDS = 2.0
"""An outage; it begins in the middle of a step."""


@pytest.fixture(autouse=True)
def database_is_back(database: str, home: Path) -> Iterator[None]:
    shutil.rmtree(home / "bars", ignore_errors=True)
    yield
    assert postgres.start(home, options=FAST) == database


def cut_off(home: Path) -> None:
    """Kill the server and all its sessions as a power cut does: one left alone still commits."""
    record = records.alive(home, postgres.NAME)
    assert record is not None
    for member in family(record.pid):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    while records.alive(home, postgres.NAME):
        time.sleep(0.01)


def goes_away(home: Path, *, comes_back: bool = True) -> None:
    """Stop the server, and start it again where it was, later."""
    cut_off(home)
    if comes_back:
        threading.Timer(SECONDS, lambda: postgres.start(home, options=FAST)).start()


@contextmanager
def at_call(name: str, do: Callable[[], None], number: int = 1) -> Iterator[None]:
    """Do something in the middle of the code, once, where a function is called."""
    left = [number]

    def told(frame: FrameType, event: str, argument: Any) -> None:
        here = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"
        if event == "call" and here == name:
            left[0] -= 1
            if left[0] == 0:
                sys.setprofile(None)
                do()

    sys.setprofile(told)
    try:
        yield
    finally:
        sys.setprofile(None)
    assert left[0] <= 0, f"{name} was not called"


def in_a_flow(step: Callable[..., Any], *arguments: Any) -> Any:
    @flow(name="one step")
    def alone() -> Any:
        return step(*arguments)

    return alone()


@pytest.mark.parametrize(
    "call",
    [
        "infra.stores.years.write",
        "psycopg._copy.write",
        "sqlalchemy.engine.default.do_commit",
    ],
)
def test_step_is_done_again_when_the_database_is_back(
    call: str, home: Path, tmp_path: Path
) -> None:
    lines = [f"2018-01-02T{hour:02}:00:00Z,1.2,1.3,1.1,1.25" for hour in range(24)]
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(["time,open,high,low,close", *lines, "x,1,1,1,1"]))
    request = IngestRequest(source="csv", path=path)
    validated = validate_rows(fetch_rows(request, str(tmp_path)), timeframe="H1")
    with at_call(call, lambda: goes_away(home)):
        result = in_a_flow(store, validated, request)
    assert result["stored"] == 24
    assert db.read_frame("SELECT reason FROM quarantine").height == 1
    shared = db.read_frame("SELECT timestamp, close FROM bars ORDER BY timestamp")
    assert shared.equals(bar_store().read("EUR_USD", "H1").select("timestamp", "close"))


def test_run_completes_after_an_outage(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = datetime(2024, 3, 4, tzinfo=UTC)
    walk = random_minutes(start, 17_000, seed=6)
    minutes = walk.filter(calendar_of("EUR_USD").is_open(walk["time"]))
    monkeypatch.setattr(tasks.intake.candles, "PAGES", 1)
    with Simulator(Market({"EUR_USD": minutes}, start + timedelta(days=12))).serve() as venue:
        monkeypatch.setenv("SEP_OANDA_TOKEN", venue.token)
        monkeypatch.setenv("SEP_OANDA_URL", venue.url)
        with at_call("tasks.ingest.store_rows", lambda: goes_away(home), 2):
            result = ingest(source="oanda", timeframe="M1", start=start)
    assert (result["stored"], result["pages"]) == (minutes.height, 3)
    assert bar_store().read("EUR_USD", "M1")["timestamp"].equals(minutes["time"])
    assert "the database went away, waiting for it" in logs()


@pytest.fixture
def replayed(home: Path) -> Iterator[dict[str, Any]]:
    """A model of PLANTED in the stores, and the parameters of a live cycle that has signals."""
    whole, folder = put_in_force(6_000)
    as_of = whole.bars["timestamp"][-1] + HOUR
    yield {"timeframe": "H1", "as_of": as_of, "bars": 1_400}
    shutil.rmtree(folder.path)


def test_live_cycle_without_a_database_publishes_nothing(
    home: Path, replayed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_DATABASE_PATIENCE", "0.5")
    for call in (
        "tasks.research.registry.champions",
        "tasks.live.publish.publish",
        "infra.postgres.database._upsert",
    ):
        with (
            at_call(call, lambda: goes_away(home, comes_back=False)),
            pytest.raises(db.DatabaseError, match=r"not answered for 0\.5 s.*sep up.*retry the"),
        ):
            signals(**replayed)
        failed = latest_run()
        assert failed.state is not None
        assert failed.state.is_failed()
        predicted = (
            home / "runs" / "signals" / str(failed.id) / "PLANTED/damped/predictions.parquet"
        )
        assert predicted.exists() == (call != "tasks.research.registry.champions")
        postgres.start(home, options=FAST)
        assert db.read_frame("SELECT * FROM signal").is_empty()
    result = retry(failed, signals)
    assert result["new"] == db.read_frame("SELECT * FROM signal").height > 0


def test_bug_is_no_outage(home: Path) -> None:
    calls = []

    @step("wrong", version=1)
    def wrong() -> None:
        calls.append(1)
        with db.engine().begin() as connection:
            connection.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(Exception, match="nowhere") as caught:
        in_a_flow(wrong)
    assert len(calls) == 1
    assert not is_outage(caught.value)
    assert not is_outage(ValueError("nowhere"))


def test_database_that_always_goes_away_is_given_up() -> None:
    calls = []

    @step("unlucky", version=1)
    def unlucky() -> None:
        calls.append(1)
        with db.engine().begin() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(Exception, match="terminating connection") as caught:
        in_a_flow(unlucky)
    assert len(calls) == TRIES
    assert is_outage(caught.value)


@pytest.mark.parametrize(
    ("code", "outage"), [("57P01", True), ("57P03", True), ("57014", False), ("40P01", False)]
)
def test_codes_of_postgresql(code: str, outage: bool) -> None:
    assert is_outage(psycopg.errors.lookup(code)("x")) is outage
