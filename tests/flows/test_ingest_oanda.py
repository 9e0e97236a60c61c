"""OANDA by the flow `ingest`: a venue that misbehaves, a process that is killed, a token."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, get_current_settings

import tasks.intake.candles
from flows.ingest import ingest
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Fault, Simulator
from infra.market.hours import calendar_of
from infra.postgres import database as db
from infra.settings import PROJECT
from infra.sources import oanda
from infra.sources.candles import INCOMPLETE
from infra.sources.columns import SourceError
from tasks.folder import bar_store
from tests.flows.test_ingest import artifacts, latest_run, retry

pytestmark = pytest.mark.usefixtures("database", "prefect_server")

START = datetime(2024, 3, 4, tzinfo=UTC)
MINUTES = 24 * 1440
TOKEN = "a-secret-of-the-user"
FAULTS = [
    Fault("status", 429),
    Fault("late"),
    Fault("status", 500),
    Fault("late", seconds=0.3),
    Fault("html", 502),
    Fault("late"),
    Fault("drop"),
    Fault("late"),
    Fault("truncate"),
]
"""One after the other; each second request gets its answer."""

WHOLE: dict[str, Any] = {"source": "oanda", "timeframe": "M1", "start": START}
FLOW = """
import tasks.intake.candles
from flows.ingest import ingest
tasks.intake.candles.PAGES = 1
ingest(source="oanda", timeframe="M1", start="{start}")
"""


@pytest.fixture(scope="module")
def minutes() -> pl.DataFrame:
    walk = random_minutes(START, MINUTES, seed=4)
    return walk.filter(calendar_of("EUR_USD").is_open(walk["time"]))


@pytest.fixture
def venue(
    home: Path, minutes: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulator]:
    shutil.rmtree(home / "bars", ignore_errors=True)
    monkeypatch.setattr(tasks.intake.candles, "PAGES", 1)
    now = START + timedelta(minutes=MINUTES, seconds=-20)
    with Simulator(Market({"EUR_USD": minutes}, now), token=TOKEN).serve() as simulator:
        monkeypatch.setenv("SEP_OANDA_TOKEN", TOKEN)
        monkeypatch.setenv("SEP_OANDA_URL", simulator.url)
        yield simulator


def test_faults_in_passing_change_nothing(venue: Simulator, minutes: pl.DataFrame) -> None:
    venue.faults.extend(FAULTS)
    result = ingest(**WHOLE)
    assert bar_store().read("EUR_USD", "M1")["timestamp"].equals(minutes["time"][:-1])
    assert (result["pages"], result["added"], result["revised"]) == (5, minutes.height - 1, 0)
    shown = artifacts(latest_run().id)
    assert shown["progress"] == 100.0
    assert {"what": "pages read", "rows": 5} in json.loads(shown["ingest-eur-usd-m1"])
    assert f"{result['rows']:,}" in shown["ingest-eur-usd-m1-summary"]
    assert "5 pages" in logs()


def test_killed_run_goes_on_where_it_stopped(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    venue.faults.extend([Fault("late")] * 3 + [Fault("late", seconds=60)])
    script = FLOW.format(start=START.isoformat())
    variables = get_current_settings().to_environment_variables(exclude_unset=True)
    environment = {**os.environ, **variables}
    child = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT, env=environment)
    while len(venue.requests) < 4:
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    done = bar_store().read("EUR_USD", "M1").height
    assert done >= 2 * oanda.PAGE
    killed, before = latest_run(), len(venue.requests)
    result = retry(killed)
    assert latest_run().id == killed.id
    assert len(venue.requests) - before <= 2
    assert (result["pages"], result["added"]) == (5, minutes.height - 1)
    assert bar_store().read("EUR_USD", "M1")["timestamp"].equals(minutes["time"][:-1])


def test_venue_that_stays_away_is_gone_on_with_later(
    venue: Simulator, minutes: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oanda, "TRIES", 2)
    venue.faults.extend([Fault("late")] * 2 + [Fault("html", 503)] * 2)
    with pytest.raises(SourceError, match=r"503.*run it again later"):
        ingest(**WHOLE)
    assert bar_store().read("EUR_USD", "M1").height == 2 * oanda.PAGE
    venue.requests.clear()
    assert ingest(source="oanda", timeframe="M1")["stored"] == minutes.height - 1
    assert len(venue.requests) == 3


def test_candle_left_out_and_a_clock_apart_are_told(venue: Simulator) -> None:
    begin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
    walk = random_minutes(begin, 240, level=30_000.0)
    stuck = {walk["time"][10]}
    venue.market = Market({"BTC_USD": walk}, begin + timedelta(hours=3), stuck=stuck)
    result = ingest(source="oanda", timeframe="M1", pair="BTC_USD", start=begin)
    assert result["reasons"] == {INCOMPLETE: 1}
    told = logs()
    assert f"by reason: {{'{INCOMPLETE}': 1}}" in told
    assert "OANDA has finished candles up to" in told


def test_token_is_nowhere(venue: Simulator, home: Path) -> None:
    venue.token = "another"
    with pytest.raises(SourceError, match="refuses the token"):
        ingest(**WHOLE)
    run = latest_run()
    assert TOKEN not in f"{run!r} {artifacts(run.id)} {logs()}"
    kept = [home / "runs", Path(PREFECT_LOCAL_STORAGE_PATH.value())]
    files = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    found = db.read_frame("SELECT * FROM ingest_cursor")
    assert found.is_empty()


def logs() -> str:
    """What the newest run logged, as soon as its end is there."""
    run = latest_run().id
    deadline = time.monotonic() + 30
    while True:
        with get_client(sync_client=True) as client:
            found = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))
        text = "\n".join(f"{log.name}: {log.message}" for log in found)
        if "prefect.flow_runs: Finished in state" in text:
            return text
        assert time.monotonic() < deadline, text
        time.sleep(0.2)
