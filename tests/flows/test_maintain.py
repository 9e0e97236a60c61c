"""The flow `maintain` against a real Prefect server, PostgreSQL, Valkey and bulk store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.maintain import maintain
from infra.postgres import database as db
from infra.servers import valkey
from infra.stores import warm
from infra.stores.tiers import TieredBars
from tasks.folder import RunFolder, bar_store
from tasks.ingest import fetch_rows, store_rows, validate_rows
from tasks.intake.request import IngestRequest
from tests.flows.test_ingest import artifacts, latest_run
from tests.infra.stores.test_cache import kill_valkey


@pytest.fixture(autouse=True)
def bars(
    home: Path,
    database: str,
    cache: str,
    prefect_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """The sample, more of it shared than will be, and an old run."""
    monkeypatch.setenv("SEP_BACKUP_FOLDER", str(tmp_path / "backups"))
    for name in ("bars", "runs"):
        shutil.rmtree(home / name, ignore_errors=True)
    sample = IngestRequest()
    fetched = fetch_rows(sample, str(tmp_path))
    store_rows(validate_rows(fetched, timeframe=sample.timeframe), sample)
    monkeypatch.setenv("SEP_SHARED_BARS", "1000")
    os.utime(RunFolder.of("backtest", "old").path, (0, 0))
    yield
    shutil.rmtree(home / "bars")


def test_everything_is_put_in_order_and_shown(tmp_path: Path) -> None:
    before, reader = bar_store().content_hash("EUR_USD", "H1"), TieredBars(bar_store())
    expected = bar_store().read("EUR_USD", "H1").tail(500)
    for _ in range(2):
        assert reader.read("EUR_USD", "H1", expected["timestamp"][0]).equals(expected)
    did = maintain()
    assert (did["tiers"]["up"], did["tiers"]["down"]) == (0, 3998)
    assert (did["runs"]["deleted"], did["backup"]["files"] > 0) == (1, True)
    assert did["health"] == "ok"
    (backup,) = (tmp_path / "backups").glob("[0-9]*")
    assert did["backup"]["path"] == str(backup)
    shown = artifacts(latest_run().id)
    assert {"memory-tiers", "maintain", "health"} <= shown.keys()
    assert '"warm bars": 1000' in shown["memory-tiers"]
    assert '"cold bars": 4998' in shown["memory-tiers"]
    assert '"what": "cache"' in shown["health"]
    assert reader.read("EUR_USD", "H1", expected["timestamp"][0]).equals(expected)
    assert bar_store().content_hash("EUR_USD", "H1") == before
    again = maintain(parts=["tiers"])
    assert [again["tiers"][name] for name in ("up", "down", "cooled", "chunks")] == [0, 0, 0, 0]
    assert "backup" not in again


def test_a_part_that_fails_keeps_no_other_from_being_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEP_BACKUP_FOLDER", str(tmp_path / "file"))
    with pytest.raises(Exception, match="file"):
        maintain()
    assert warm.rows() == {("EUR_USD", "H1"): 1000}
    failed = latest_run()
    assert failed.state is not None
    assert failed.state.is_failed()
    assert "runs" in artifacts(failed.id)["maintain"]


def test_it_runs_without_valkey(home: Path) -> None:
    kill_valkey(home)
    try:
        did = maintain(parts=["tiers", "runs"])
    finally:
        valkey.start(home)
    assert did["health"] == "note"
    assert did["tiers"]["down"] == 3998
    assert "Valkey does not answer" in did["tiers"]["sentence"]


def test_parts_are_checked_before_anything_runs() -> None:
    wrong: Any = ["everything"]
    with pytest.raises(Exception, match="parts"):
        maintain(parts=wrong)
    assert db.read_frame("SELECT count(*) AS n FROM bars")["n"][0] == 4998
