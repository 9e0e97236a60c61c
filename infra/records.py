"""What runs under a home, as its files tell: records of servers, their passwords and locks.

A running server has a record, `home/run/<name>.json`: process id, command line and port. The
record counts only while a process with that id *and* that command line lives, so a reused process
id or a file left by a crash is nothing to trip over. (Creation times move with the clock.)
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from infra import files
from infra.files import replaced


@dataclass(frozen=True)
class Record:
    """What is known of a running server.

    Attributes
    ----------
    pid : int
        Process id.
    created : float
        When it was started, seconds since 1970.
    port : int
        Port on 127.0.0.1; 0 where it listens on none.
    command : tuple of str
        Its command line.
    """

    pid: int
    created: float
    port: int
    command: tuple[str, ...]


def record_path(home: Path, name: str) -> Path:
    """Return the file that holds the record of server `name`.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    """
    return home / "run" / f"{name}.json"


def log_path(home: Path, name: str) -> Path:
    """Return the log file of server `name`.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    """
    return home / "logs" / f"{name}.log"


def read_record(home: Path, name: str) -> Record | None:
    """Return the last record of server `name`, whether or not it still runs.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    """
    try:
        fields = json.loads(record_path(home, name).read_text())
        return Record(**{**fields, "command": tuple(fields["command"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def touch(home: Path, name: str) -> None:
    """Let those who remember where server `name` is look anew.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    """
    with suppress(OSError):
        os.utime(record_path(home, name))


def changed(home: Path, name: str) -> int:
    """Return a number that changes whenever server `name` is started or stopped; 0: it never was.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    """
    try:
        return record_path(home, name).stat().st_mtime_ns
    except OSError:
        return 0


def alive(home: Path, name: str) -> Record | None:
    """Return the record of server `name` if that very process runs.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    """
    record = read_record(home, name)
    return record if record and _command_of(record.pid) == record.command else None


def secret(home: Path, name: str) -> str:
    """Return the password of server `name`, made at first use and readable by its owner alone.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    """
    path = home / "secrets" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with replaced(path) as draft:
            draft.write_text(secrets.token_urlsafe(24))
    return path.read_text()


def locked(home: Path, name: str) -> AbstractContextManager[None]:
    """Hold the lock of server `name`; the system frees it when its holder dies.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    """
    return files.locked(record_path(home, name).with_suffix(".lock"))


def _command_of(pid: int) -> tuple[str, ...] | None:
    """Return the command line of a process, None where none lives or is left as a zombie."""
    try:
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    parts = content.split(b"\0")[:-1]
    return tuple(part.decode(errors="surrogateescape") for part in parts) or None
