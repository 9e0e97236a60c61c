"""A database as one file: PostgreSQL's own pg_dump and pg_restore.

A command line is public: the password goes by the environment of the program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.engine import URL

from infra.errors import SepError
from infra.servers import postgres
from infra.servers.process import ServerError

_PIECE = 2**20
_NEEDED = ("pg_dump", "pg_restore", "psql")
_NEWS = b"SET transaction_timeout"  # what programs from 17 on say to any server
_KNOWN_FROM = 17


class DumpError(SepError, RuntimeError):
    """No program fits the server, or one failed; the message ends with what it said."""


@dataclass(frozen=True)
class Programs:
    """PostgreSQL's programs of one version.

    Attributes
    ----------
    folder : Path
    version : int
        Major version.
    """

    folder: Path
    version: int


def programs(server: int) -> Programs:
    """Return the installed programs that fit a server best: its own version's, else newer ones.

    A newer one's dump cannot be read by an older one, so the oldest that fits is taken.

    Parameters
    ----------
    server : int
        Major version of the server.

    Raises
    ------
    DumpError
        If all that are installed are older than the server.
    """
    candidates = [
        Programs(folder, version) for folder in _folders() if (version := _version(folder))
    ]
    fit = [each for each in candidates if each.version >= server]
    if not fit:
        there = ", ".join(f"{each.version} in {each.folder}" for each in candidates) or "none"
        raise DumpError(
            f"the server is PostgreSQL {server} and needs pg_dump {server} or newer; "
            f"installed: {there}. Install postgresql-client-{server}"
        )
    return min(fit, key=lambda each: each.version)


def dump(
    address: URL, chosen: Programs, *, snapshot: str, without: Sequence[str] = ()
) -> Iterator[bytes]:
    """Yield the archive of a database, custom format, as a transaction sees it.

    Parameters
    ----------
    address : sqlalchemy.URL
        The database; its user reads everything.
    chosen : Programs
    snapshot : str
        What `pg_export_snapshot()` returned in a transaction that stays open meanwhile.
    without : sequence of str
        Patterns of tables to leave out.

    Raises
    ------
    DumpError
        If pg_dump fails.
    """
    fewer = (f"--exclude-table={pattern}" for pattern in without)
    options = ("--format=custom", f"--snapshot={snapshot}", *fewer, *_target(address))
    with _running([str(chosen.folder / "pg_dump"), *options], address, stdout=True) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(_PIECE):
            yield piece


def restore(archive: Path, address: URL, chosen: Programs, *, server: int) -> None:
    """Read an archive into a database in one transaction: all of it or nothing.

    Owners and privileges are left out: the tables become those of the user of `address`.

    Parameters
    ----------
    archive : Path
        What `dump` yielded.
    address : sqlalchemy.URL
        A database without any of the archive's tables.
    chosen : Programs
    server : int
        Major version of the server.

    Raises
    ------
    DumpError
        If anything fails; the database is as it was.
    """
    plain = ("--no-owner", "--no-privileges", "--no-comments")
    whole = ("--exit-on-error", "--single-transaction", *_target(address))
    program = str(chosen.folder / "pg_restore")
    if server >= _KNOWN_FROM or chosen.version < _KNOWN_FROM:
        with _running([program, *plain, *whole, str(archive)], address):
            return
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction")
    script = [program, *plain, "--file=-", str(archive)]
    command = [str(chosen.folder / "psql"), *options, *_target(address)]
    with _running(command, address, stdin=True) as reader:
        assert reader.stdin is not None
        with _running(script, address, stdout=True) as writer, suppress(BrokenPipeError):
            assert writer.stdout is not None
            _pass_on(writer.stdout, reader.stdin)


def _pass_on(script: IO[bytes], sink: IO[bytes]) -> None:
    """Copy a script, leaving out the setting that older servers do not know."""
    for line in script:
        if line.startswith(_NEWS):
            break
        sink.write(line)
    shutil.copyfileobj(script, sink, _PIECE)
    sink.flush()


@contextmanager
def _running(
    command: Sequence[str], address: URL, *, stdin: bool = False, stdout: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; killed where the block raises, an error where it fails itself."""
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with TemporaryFile() as messages:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=pipe if stdin else null,
            stdout=pipe if stdout else null,
            stderr=messages,
            env=_environment(address),
        )
        try:
            with process:
                try:
                    yield process
                except BaseException:
                    process.kill()
                    raise
        finally:
            messages.seek(0)
            text = messages.read().decode(errors="replace").strip()
        if process.returncode:
            name = Path(command[0]).name
            raise DumpError(f"{name} failed ({process.returncode}): {text or 'it said nothing'}")


def _target(address: URL) -> tuple[str, ...]:
    """Return the options that name a database, without its password."""
    parameters = {name: value for name, value in _parameters(address).items() if name != "password"}
    return ("--no-password", f"--dbname={make_conninfo('', **parameters)}")


def _environment(address: URL) -> dict[str, str]:
    password = _parameters(address).get("password")
    return {**os.environ, **({"PGPASSWORD": password} if password else {})}


def _parameters(address: URL) -> dict[str, str]:
    text = address.set(drivername="postgresql").render_as_string(hide_password=False)
    return {name: str(value) for name, value in conninfo_to_dict(text).items() if value is not None}


def _folders() -> list[Path]:
    """Return where programs may be: the embedded package's, Debian's, Red Hat's, the path's."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    with suppress(ServerError):
        folders.insert(0, postgres.binaries())
    if named := shutil.which("pg_dump"):
        folders.append(Path(named).parent)
    return [folder for folder in folders if all((folder / name).exists() for name in _NEEDED)]


def _version(folder: Path) -> int | None:
    command = [str(folder / "pg_dump"), "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    number = re.search(r"\(PostgreSQL\) (\d+)", output.stdout)
    return int(number[1]) if number else None
