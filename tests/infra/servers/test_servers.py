"""Servers start once, survive their starter, and come back after any death."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil  # type: ignore[import-untyped,unused-ignore]
import psycopg
import pytest
import redis

from infra import records
from infra.servers import postgres, prefect, process, valkey
from infra.servers.process import Launch, ServerError
from tests.servers import temporary_home


@pytest.fixture
def place() -> Iterator[Path]:
    """A home of its own, in a deep folder with spaces: longer than a socket's path may be."""
    with temporary_home(("long " * 25).strip()) as home:
        yield home


def kill(home: Path, name: str) -> None:
    record = records.alive(home, name)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)


def listens_on(pid: int) -> set[str]:
    connections = psutil.Process(pid).net_connections(kind="inet")
    return {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize("server", [postgres, valkey])
def test_server_starts_once_and_stops(server: ModuleType, place: Path) -> None:
    assert server.find(place) is None
    address = server.start(place)
    assert server.start(place) == address == server.find(place)
    record = records.alive(place, server.NAME)
    assert record is not None
    assert listens_on(record.pid) == {"127.0.0.1"}
    server.stop(place)
    server.stop(place)
    assert server.find(place) is None
    assert not psutil.pid_exists(record.pid)


def test_committed_rows_survive_a_killed_postgres(place: Path) -> None:
    address = postgres.start(place)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with psycopg.connect(address):  # a session that outlives its postmaster
        kill(place, postgres.NAME)
        assert postgres.find(place) is None
        assert postgres.start(place) == address
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_killed_valkey_comes_back_at_its_address(place: Path) -> None:
    address = valkey.start(place)
    kill(place, valkey.NAME)
    assert valkey.start(place) == address
    with redis.Redis.from_url(address) as client:
        assert client.ping()


@pytest.mark.slow
def test_killed_prefect_server_comes_back_at_its_address(home: Path, prefect_server: str) -> None:
    kill(home, prefect.NAME)
    assert prefect.find(home) is None
    assert prefect.start(home, port=0) == prefect_server == prefect.find(home)
    assert (home / "prefect" / "prefect.db").is_file()
    record = records.alive(home, prefect.NAME)
    assert record is not None
    assert listens_on(record.pid) == {"127.0.0.1"}
    assert "ERROR" not in records.log_path(home, prefect.NAME).read_text()


def test_password_is_asked_and_kept_from_others(place: Path) -> None:
    address = postgres.start(place)
    password = (place / "secrets" / "postgres").read_text()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(address.replace(password, "guess"))
    kept = [file for file in (place / "secrets").iterdir() if file.stat().st_mode & 0o077]
    assert kept == []
    record = records.alive(place, postgres.NAME)
    assert record is not None
    assert password not in " ".join(record.command)


def test_server_outlives_its_starter(place: Path) -> None:
    code = (
        "from infra.servers import valkey; from pathlib import Path; "
        f"print(valkey.start(Path({str(place)!r})))"
    )
    started = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert valkey.find(place) == started.stdout.strip()


def test_starts_at_once_make_one_server(place: Path) -> None:
    addresses: list[str] = []
    threads = [
        threading.Thread(target=lambda: addresses.append(postgres.start(place))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(addresses) == 3
    assert len(set(addresses)) == 1


def test_a_program_that_ends_at_once_is_told(place: Path) -> None:
    launch = Launch(lambda _: ["true"], lambda _: False, port=None)
    for _ in range(20):
        with pytest.raises(ServerError, match="brief did not start"):
            process.start(place, "brief", launch)


def test_reused_process_id_is_not_taken_for_the_server(place: Path) -> None:
    record = records.record_path(place, valkey.NAME)
    record.parent.mkdir(parents=True)
    record.write_text(
        json.dumps({"pid": os.getpid(), "created": 1.0, "port": 6379, "command": ["x"]})
    )
    assert valkey.find(place) is None
    valkey.stop(place)  # must not end this process
    assert valkey.start(place) == valkey.find(place)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1, "command": []}'])
def test_torn_record_is_no_record(text: str, place: Path) -> None:
    path = records.record_path(place, valkey.NAME)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert records.alive(place, valkey.NAME) is None
    assert valkey.start(place)


def test_stale_postmaster_file_is_cleared(place: Path) -> None:
    postgres.start(place)
    postgres.stop(place)
    stale = place / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getppid()}\n{place / 'postgres'}\n1\n5432\n\n127.0.0.1\n")
    assert postgres.start(place)


def test_half_made_data_folder_is_made_again(place: Path) -> None:
    draft = place / "postgres.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    assert postgres.start(place)


def test_server_whose_record_was_lost_is_ended_before_the_next(place: Path) -> None:
    valkey.start(place)
    lost = records.alive(place, valkey.NAME)
    records.record_path(place, valkey.NAME).unlink()
    valkey.start(place)
    assert lost is not None
    assert not psutil.pid_exists(lost.pid)


def test_taken_port_is_avoided(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert process.free_port(port) != port
    assert process.free_port(port) == port


def test_failure_shows_the_end_of_the_log(place: Path) -> None:
    code = "print('the disk is full'); raise SystemExit(1)"
    launch = Launch(command=lambda port: [sys.executable, "-c", code], healthy=lambda port: False)
    with pytest.raises(ServerError, match="the disk is full"):
        process.start(place, "broken", launch)


def test_other_version_of_data_is_refused(place: Path) -> None:
    postgres.start(place)
    postgres.stop(place)
    (place / "postgres" / "PG_VERSION").write_text("14\n")
    with pytest.raises(ServerError, match="PostgreSQL 14"):
        postgres.start(place)
    (place / "postgres" / "PG_VERSION").write_text("18\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_ordinary_user_starts_everything(place: Path) -> None:
    postgres.start(place / "root")  # imports all, and opens the way to the programs
    postgres.stop(place / "root")
    (place / "user").mkdir()
    shutil.chown(place / "user", "nobody", "nogroup")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(grp.getgrnam("nogroup").gr_gid)
            os.setuid(pwd.getpwnam("nobody").pw_uid)
            for server in (postgres, valkey):
                assert server.start(place / "user") == server.find(place / "user")
                server.stop(place / "user")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
