"""The flow `ingest` against a real Prefect server, PostgreSQL and bulk store."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun

from flows.ingest import ingest
from infra import database as db
from tasks.folder import bar_store

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
        return max(
            client.read_flow_runs(), key=lambda run: run.created or datetime.min.replace(tzinfo=UTC)
        )


def test_sample_reaches_both_stores_and_the_ui() -> None:
    result = ingest()
    assert (result["rows"], result["good"], result["added"], result["reasons"]) == (
        5_000,
        5_000,
        5_000,
        {},
    )
    assert (result["first"], result["last"]) == (
        "2017-04-19T09:00:00+00:00",
        "2018-02-07T15:00:00+00:00",
    )
    shared = db.read_frame("SELECT timestamp, close FROM bars ORDER BY timestamp")
    assert shared.equals(bar_store().read("EUR_USD", "H1").select("timestamp", "close"))
    shown = artifacts(latest_run().id)
    assert "5,000" in shown["ingest-eur-usd-h1-summary"]
    assert "5000" in str(shown["ingest-eur-usd-h1"])
    assert shown["progress"] == 100.0
