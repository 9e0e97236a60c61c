"""The Prefect server under several clients at once: every request answered, no ERROR logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from infra.servers.process import log_path


@pytest.fixture
def client(prefect_server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{prefect_server}/", timeout=60) as opened:
        yield opened


def deployment(client: httpx.Client) -> str:
    flow = client.post("flows/", json={"name": "busy"}).json()["id"]
    every_minute = {"cron": "* * * * *", "timezone": "UTC"}
    schedules = [{"schedule": every_minute, "active": True, "slug": "minutely"}]
    body = {"name": "busy", "flow_id": flow, "schedules": schedules}
    return str(client.post("deployments/", json=body).json()["id"])


def test_clients_at_once_are_all_answered(client: httpx.Client, home: Path) -> None:
    busy = deployment(client)

    def run(_: int) -> list[int]:
        created = client.post(f"deployments/{busy}/create_flow_run", json={})
        answers = [created.status_code]
        for state in ("PENDING", "RUNNING", "COMPLETED"):
            path = f"flow_runs/{created.json()['id']}/set_state"
            answers.append(client.post(path, json={"state": {"type": state}}).status_code)
        return answers

    try:
        with ThreadPoolExecutor(6) as pool:
            answers = Counter(code for codes in pool.map(run, range(30)) for code in codes)
        assert answers == {201: 120}
        log = log_path(home, "prefect-server").read_text()
        assert "database is locked" not in log
        assert "| ERROR" not in log
    finally:
        client.delete(f"deployments/{busy}")
