"""Real servers for tests: PostgreSQL, Valkey and Prefect in one temporary `SEP_HOME`.

Every test may use these fixtures:

- `home`: the session's `SEP_HOME`, in force for the test;
- `database`: the address of a migrated PostgreSQL, emptied before the test;
- `cache`: the address of an empty Valkey;
- `prefect_server`: the address of a Prefect server's API, in force from then on.

What they start is kept in pytest's stash, and ends with pytest; what runs Prefect, before the
tests of kernels and tasks, which do without: an idle server takes a tenth of a core.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)
from sqlalchemy import text

from infra.postgres import database as postgresql
from infra.postgres.models import Base
from infra.servers import postgres, prefect, valkey
from infra.stores import cache as valkey_cache
from tasks.trading import halt_file

T = TypeVar("T")

FAST = ("fsync=off", "full_page_writes=off")
"""What survives the server's death, and not the machine's."""
HOME = pytest.StashKey[Path]()
PREFECT = pytest.StashKey[str]()
ENTERED = pytest.StashKey[ExitStack]()
PREFECTS = pytest.StashKey[ExitStack]()
WITHOUT = tuple(Path(__file__).parent / name for name in ("kernels", "tasks"))
"""Folders whose tests need no Prefect; they come last."""


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


@contextmanager
def running_prefect(home: Path) -> Iterator[str]:
    """A Prefect server in force, whose clients have sent all they had before it ends."""
    address, folder = prefect.start(home, port=0), home / "prefect"
    with temporary_settings(
        {
            PREFECT_API_URL: address,
            PREFECT_API_AUTH_STRING: prefect.password(home, address),
            PREFECT_HOME: folder,
            PREFECT_LOCAL_STORAGE_PATH: folder / "storage",
        }
    ):
        yield address
        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=3)


def once(
    config: pytest.Config,
    key: pytest.StashKey[T],
    context: AbstractContextManager[T],
    until: pytest.StashKey[ExitStack] = ENTERED,
) -> T:
    """Enter a context the first time it is asked for; leave it when the session ends, or before."""
    if key not in config.stash:
        entered = config.stash.setdefault(until, ExitStack())
        config.stash[key] = entered.enter_context(context)
    return config.stash[key]


def with_prefect(config: pytest.Config) -> ExitStack:
    """Return what is left before tests that need no Prefect begin."""
    return config.stash.setdefault(PREFECTS, ExitStack())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stop what runs Prefect where nobody needs it any more; whoever does starts it anew."""
    if any(item.path.is_relative_to(folder) for folder in WITHOUT):
        _stop_prefect(item.config)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the servers while a parallel pytest still waits for us: 10 s later it kills."""
    _stop_prefect(session.config)
    session.config.stash.setdefault(ENTERED, ExitStack()).close()


def _stop_prefect(config: pytest.Config) -> None:
    with_prefect(config).close()
    if PREFECT in config.stash:
        del config.stash[PREFECT]


@pytest.fixture(scope="session")
def session_home(pytestconfig: pytest.Config) -> Path:
    return once(pytestconfig, HOME, temporary_home("home with spaces"))


@pytest.fixture
def home(session_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SEP_DATABASE_URL", "SEP_VALKEY_URL", "SEP_PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEP_HOME", str(session_home))
    halt_file.path_of(session_home).unlink(missing_ok=True)  # no halt outlives its test
    return session_home


@pytest.fixture
def database(home: Path) -> str:
    address = postgres.start(home, options=FAST)
    postgresql.migrate()
    empty_tables()
    return address


@pytest.fixture
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address = valkey.start(home)
    monkeypatch.setattr(valkey_cache, "_TIMEOUT", 10.0)  # a busy machine is no outage
    valkey_cache._client.cache_clear()
    client = valkey_cache.client()
    assert client is not None
    client.flushall()
    return address


@pytest.fixture
def prefect_server(home: Path, pytestconfig: pytest.Config) -> str:
    return once(pytestconfig, PREFECT, running_prefect(home), until=PREFECTS)


def empty_tables() -> None:
    """Empty every table of the database in force, the append-only ones too."""
    tables = ", ".join(f'"{name}"' for name in Base.metadata.tables)
    with postgresql.engine().begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
