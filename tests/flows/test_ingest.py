"""The flow `ingest` against a real Prefect server, PostgreSQL and bulk store."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ParameterTypeError
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry
from pydantic import ValidationError

from flows.ingest import NothingStored, ingest
from infra import records
from infra.postgres import database as db
from infra.servers import postgres
from infra.sources.columns import SourceError
from tasks.folder import bar_store
from tests.servers import FAST

pytestmark = pytest.mark.usefixtures("database", "prefect_server")


@pytest.fixture(autouse=True)
def empty_store(home: Path) -> None:
    shutil.rmtree(home / "bars", ignore_errors=True)


def bars_csv(folder: Path, rows: list[str]) -> str:
    path = folder / "bars.csv"
    path.write_text("\n".join(["time,open,high,low,close", *rows]) + "\n")
    return str(path)


def artifacts(run: UUID) -> dict[str | None, Any]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        )
    return {artifact.key or artifact.type: artifact.data for artifact in found}


def latest_run() -> FlowRun:
    with get_client(sync_client=True) as client:
        newest = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    return newest[0]


def retry(run: FlowRun, flow: Flow[..., Any] = ingest) -> Any:
    """Run the same flow run again, as Retry in the UI does."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        return run_flow(flow, flow_run=client.read_flow_run(run.id), parameters=run.parameters)


def test_sample_reaches_both_stores_and_the_ui() -> None:
    result = ingest()
    assert (result["rows"], result["good"], result["added"]) == (5_000, 4_998, 4_998)
    assert result["first"] == "2017-04-19T09:00:00+00:00"
    shared = db.read_frame("SELECT timestamp, close FROM bars ORDER BY timestamp")
    assert shared.equals(bar_store().read("EUR_USD", "H1").select("timestamp", "close"))
    shown = artifacts(latest_run().id)
    assert "5,000" in shown["ingest-eur-usd-h1-summary"]
    assert "5000" in str(shown["ingest-eur-usd-h1"])
    assert shown["progress"] == 100.0


def test_reasons_are_counted_and_shown(tmp_path: Path) -> None:
    path = bars_csv(tmp_path, ["2018-01-03 00:00,1,2,1,2", "2018-01-03 01:00,0,2,1,2"])
    with pytest.raises(SourceError, match="clock=UTC"):
        ingest(source="csv", path=path)
    declared = ingest(source="csv", path=path, clock="UTC")
    assert (declared["added"], declared["reasons"]) == (1, {"non-positive price": 1})
    run = latest_run()
    assert "quarantined: non-positive price" in str(artifacts(run.id)["ingest-eur-usd-h1"])
    assert run.state is not None
    assert run.state.is_completed()


def test_run_that_stores_nothing_has_failed(tmp_path: Path) -> None:
    path = bars_csv(tmp_path, ["2018-01-03T00:00:00Z,-1,2,1,2", "2018-01-06T01:00:00Z,1,2,1,2"])
    with pytest.raises(NothingStored, match=r"none of 2 rows .*1 x non-positive price"):
        ingest(source="csv", path=path)
    state = latest_run().state
    assert state is not None
    assert state.is_failed()
    assert db.read_frame("SELECT reason FROM quarantine ORDER BY 1")["reason"].to_list() == [
        "market closed",
        "non-positive price",
    ]


def test_retry_after_a_lost_database_does_finished_steps_no_second_time(
    home: Path, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_DATABASE_PATIENCE", "0")
    path = bars_csv(tmp_path, ["2018-01-03T00:00:00Z,1,2,1,2", "x,1,2,1,2"])
    record = records.alive(home, postgres.NAME)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    with pytest.raises(db.DatabaseError, match="sep up"):
        ingest(source="csv", path=path)
    failed = latest_run()
    assert failed.state is not None
    assert failed.state.is_failed()
    assert postgres.start(home, options=FAST) == database
    Path(path).unlink()  # to fetch again would fail
    assert retry(failed)["added"] == 1
    assert db.read_frame("SELECT reason FROM quarantine")["reason"].to_list() == [
        "unreadable timestamp"
    ]
    assert latest_run().id == failed.id
    assert not (home / "runs" / "ingest" / str(failed.id)).exists()


def test_parameters_are_checked_before_anything_runs() -> None:
    wrong: dict[str, Any] = {"timeframe": 3, "bars": 0}
    with pytest.raises(ParameterTypeError, match="timeframe"):
        ingest(**wrong)
    with pytest.raises(ValidationError, match="the sample is EUR_USD H1"):
        ingest(pair="GBP_USD")
