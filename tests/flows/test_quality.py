"""The quality report that `ingest` leaves in the Prefect UI."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.ingest import ingest
from tests.flows.test_ingest import artifacts, latest_run

pytestmark = pytest.mark.usefixtures("database", "prefect_server")


def test_quality_of_the_sample_is_shown_with_its_pictures(home: Path) -> None:
    shutil.rmtree(home / "bars", ignore_errors=True)
    ingest()
    shown = artifacts(latest_run().id)
    table = str(shown["quality-eur-usd-h1"])
    assert "Sun 17:00 to Fri 17:00 America/New_York" in table
    assert "Completeness" in table
    report = shown["quality-eur-usd-h1-report"]
    assert report.startswith("**EUR_USD H1: ")
    assert report.count("![](data:image/png;base64,") == 2
