"""PostgreSQL servers that differ: the embedded one, Debian's 15, and one that is named.

`anywhere` is the address of an empty database on each of them, in force for the test.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from infra import database as db
from infra.servers import postgres
from tests.servers import FAST, once

DEBIAN = Path("/usr/lib/postgresql/15/bin")
NAMED = "SEP_TEST_DATABASE_URL"
RUNNING = pytest.StashKey[str]()


@contextmanager
def debian() -> Iterator[str]:
    """Debian's PostgreSQL 15, which has neither vector nor timescaledb, on loopback."""
    user = "postgres" if os.geteuid() == 0 else None
    with TemporaryDirectory(prefix="sep-test-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        if user:
            shutil.chown(folder, user)
        data = Path(folder) / "data"
        local = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "timezone=UTC")
        flags = " ".join(f"-c {option}" for option in (f"port={port}", *local, *FAST))
        made = ("-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust")
        command(user, "initdb", "-D", str(data), *made)
        log = ("-l", str(Path(folder) / "log"))
        command(user, "pg_ctl", "-D", str(data), "-w", *log, "-o", flags, "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            command(user, "pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")


def command(user: str | None, program: str, *arguments: str) -> None:
    extra = {"user": user, "group": user, "extra_groups": []} if user else {}
    subprocess.run(  # type: ignore[call-overload]
        [DEBIAN / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **extra
    )


def address(name: str, home: Path, config: pytest.Config) -> str:
    """Start or find a server; skip the test where there is none."""
    if name == "embedded":
        return postgres.start(home, options=FAST)
    if name == "debian":
        if not (DEBIAN / "postgres").exists():
            pytest.skip("Debian's PostgreSQL 15 is not installed: apt-get install postgresql-15")
        return once(config, RUNNING, debian())
    if NAMED not in os.environ:
        pytest.skip(f"{NAMED} names no server")
    return os.environ[NAMED]


@pytest.fixture(params=["embedded", "debian", "named"])
def anywhere(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    server, name = address(request.param, home, request.config), f"sep_test_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        found = make_url(server).set(database=name).render_as_string(hide_password=False)
        monkeypatch.setenv("SEP_DATABASE_URL", found)
        yield found
        db.engine().dispose()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def timescale() -> bool:
    """Say whether the migrations found TimescaleDB in the database in force."""
    with db.engine().connect() as connection:
        found = text("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
        return bool(connection.execute(found).rowcount)
