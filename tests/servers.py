"""Real servers for tests: PostgreSQL, Valkey and Prefect in a temporary `SEP_HOME`.

The conftest of a folder that needs them imports the fixtures from here:

- `home`: a session-wide `SEP_HOME`, in force for the test;
- `database`: the address of a migrated PostgreSQL, emptied before the test;
- `cache`: the address of an empty Valkey;
- `prefect_server`: the address of a Prefect server's API, in force for the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)
from sqlalchemy import text

from infra import cache as valkey_cache
from infra import database as postgresql
from infra.models import Base
from infra.servers import postgres, prefect, valkey

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@contextmanager
def temporary_home(name: str) -> Iterator[Path]:
    """A `SEP_HOME` whose servers end with it.

    Not below pytest's own folder: each pytest of root shuts that to PostgreSQL's user.
    """
    with TemporaryDirectory(prefix="sep-test-") as folder:
        home = Path(folder).resolve() / name
        yield home
        for server in (prefect, valkey, postgres):
            server.stop(home)


@pytest.fixture(scope="session")
def session_home() -> Iterator[Path]:
    with temporary_home("home with spaces") as home:
        yield home


@pytest.fixture
def home(session_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SEP_DATABASE_URL", "SEP_VALKEY_URL", "SEP_PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEP_HOME", str(session_home))
    return session_home


@pytest.fixture(scope="session")
def session_database(session_home: Path) -> str:
    return postgres.start(session_home, options=FAST)


@pytest.fixture
def database(home: Path, session_database: str) -> str:
    postgresql.migrate()
    tables = ", ".join(f'"{name}"' for name in Base.metadata.tables)
    with postgresql.engine().begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    return session_database


@pytest.fixture(scope="session")
def session_cache(session_home: Path) -> str:
    return valkey.start(session_home)


@pytest.fixture
def cache(home: Path, session_cache: str) -> str:
    client = valkey_cache.client()
    assert client is not None
    client.flushall()
    return session_cache


@pytest.fixture(scope="session")
def session_prefect(session_home: Path) -> Iterator[str]:
    address, folder = prefect.start(session_home, port=0), session_home / "prefect"
    with temporary_settings(
        {
            PREFECT_API_URL: address,
            PREFECT_HOME: folder,
            PREFECT_LOCAL_STORAGE_PATH: folder / "storage",
        }
    ):
        yield address
        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=10)


@pytest.fixture
def prefect_server(home: Path, session_prefect: str) -> str:
    return session_prefect
