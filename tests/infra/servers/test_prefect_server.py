"""The Prefect server under several clients at once: every request answered, no ERROR logged."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest
from prefect.server.database.configurations import AioSqliteConfiguration
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from infra.records import log_path
from infra.servers import prefect
from infra.servers.prefect_main import begin_as_writer
from tests.infra.databases import address
from tests.servers import temporary_home


@pytest.fixture
def client(home: Path, prefect_server: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Basic {known(home, prefect_server)}"}
    with httpx.Client(base_url=f"{prefect_server}/", headers=headers, timeout=60) as opened:
        yield opened


def known(home: Path, address: str) -> str:
    password = prefect.password(home, address)
    assert password
    return base64.b64encode(password.encode()).decode()


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


def test_nobody_without_the_password_is_answered(prefect_server: str) -> None:
    """A local user, or a page that found the port, knows the address and nothing else."""
    asks = {"flow_runs/filter": {}, "deployments/filter": {}, "flows/": {"name": "foreign"}}
    with httpx.Client(base_url=f"{prefect_server}/", timeout=60) as stranger:
        answers = {path: stranger.post(path, json=body) for path, body in asks.items()}
        guessed = stranger.post("flows/filter", json={}, auth=("sep", "guess"))
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(
        asks, 401
    )
    assert guessed.status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8000"])
def test_no_foreign_page_is_allowed_to_ask(client: httpx.Client, origin: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked = client.options("flows/filter", headers=headers)
    told = client.post("flows/filter", json={}, headers={"Origin": origin})
    assert "access-control-allow-origin" not in {**asked.headers, **told.headers}
    assert asked.status_code == 400


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4200", "127.0.0.1.evil.example"])
def test_a_name_made_to_mean_loopback_is_refused(client: httpx.Client, host: str) -> None:
    assert client.post("flows/filter", json={}, headers={"Host": host}).status_code == 400


def test_the_ui_asks_for_the_password_at_its_own_address(prefect_server: str) -> None:
    page = httpx.get(f"{prefect_server.removesuffix('/api')}/ui-settings", timeout=60).json()
    assert (page["api_url"], page["auth"]) == ("/api", "BASIC")


def test_runs_can_be_kept_in_a_postgresql(request: pytest.FixtureRequest) -> None:
    server = address("debian", Path(), request.config)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE prefect")
        database = make_url(server).set(database="prefect").render_as_string(hide_password=False)
        with temporary_home("prefect-on-postgresql") as home:
            api = prefect.start(home, port=0, database=SecretStr(database))
            headers = {"Authorization": f"Basic {known(home, api)}"}
            with httpx.Client(base_url=f"{api}/", headers=headers, timeout=60) as client:
                deployment(client)
            assert not list(home.rglob("prefect.db"))
        connection.execute("DROP DATABASE prefect WITH (FORCE)")


def test_another_prefect_is_not_patched_blindly(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin_transaction(self: object, session: object) -> None: ...

    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", begin_transaction)
    with pytest.raises(RuntimeError, match="takes self, session: install the version of"):
        begin_as_writer()
