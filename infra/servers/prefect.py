"""A Prefect server on loopback, its settings and, as a rule, its SQLite file in `home/prefect`.

Who may ask it anything may run any command as its workers do. So it answers those alone who have
the password in `home/secrets/prefect-server`, under its own names, and no foreign web page.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import make_url

from infra.records import alive, secret
from infra.servers.process import Launch
from infra.servers.process import start as start_process
from infra.servers.process import stop as stop_process
from infra.site import PREFECT, prefect_address

NAME = PREFECT
PORT = 4200
_PROMPT = {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "10"}
"""A schedule that is switched on gets its runs by then, and not within a minute."""

_PATIENCE = 10  # seconds: a busy machine's server is slow, not gone


def start(home: Path, *, port: int = PORT, database: SecretStr | None = None) -> str:
    """Start the Prefect server unless it runs.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    port : int
        Wanted at the first start; later ones try the last port first.
    database : SecretStr, optional
        Address of a PostgreSQL that keeps the runs; a SQLite file in `home` without it.

    Returns
    -------
    str
        Address of its API, `http://127.0.0.1:<port>/api`.

    Raises
    ------
    ServerError
        If it does not answer within two minutes; of a database that will not do, its log tells.
    """
    folder = home / "prefect"  # not the caller's, where a prefect.toml or .env may lie
    folder.mkdir(parents=True, exist_ok=True)
    launch = Launch(
        command=_command,
        folder=folder,
        healthy=_answers,
        port=port,
        environment={**environment(home), **_locks(home), **_PROMPT, **_keeps(database)},
        timeout=120,
    )
    return prefect_address(start_process(home, NAME, launch).port)


def find(home: Path) -> str | None:
    """Return the address of the running server's API, None if none answers."""
    record = alive(home, NAME)
    return prefect_address(record.port) if record and _answers(record.port) else None


def address(home: Path) -> str | None:
    """Return the address of the running server's API without asking it."""
    record = alive(home, NAME)
    return prefect_address(record.port) if record else None


def password(home: Path, api_url: str) -> str | None:
    """Return what the server of a home asks for; None if `api_url` is another server's.

    Parameters
    ----------
    home : Path
    api_url : str
        Address of the API that is to be asked.
    """
    return secret(home, NAME) if api_url == address(home) else None


def password_path(home: Path) -> Path:
    """Return the file that holds the password, which the UI asks for once a browser."""
    return home / "secrets" / NAME


def stop(home: Path) -> None:
    """End the server; runs, logs and artifacts stay in its database."""
    stop_process(home, NAME)


def environment(home: Path) -> dict[str, str]:
    """Return what server, workers and flows share: where Prefect keeps things, no telemetry."""
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _locks(home: Path) -> dict[str, str]:
    """Return what keeps others out.

    The UI asks the address it was loaded from, so that no web origin needs to be allowed. Tokens
    against forged requests are not needed: a browser adds no password of its own accord.
    """
    return {
        "PREFECT_SERVER_API_AUTH_STRING": secret(home, NAME),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "none",
        "PREFECT_UI_API_URL": "/api",
    }


def _keeps(database: SecretStr | None) -> dict[str, str]:
    if database is None:
        return {}
    address = make_url(database.get_secret_value()).set(drivername="postgresql+asyncpg")
    shown = address.render_as_string(hide_password=False)
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": shown}


def _command(port: int) -> list[str]:
    here = ("--host", "127.0.0.1", "--port", str(port))
    return [sys.executable, "-m", "infra.servers.prefect_main", "server", "start", *here]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{prefect_address(port)}/health", timeout=_PATIENCE) as reply:  # noqa: S310
            return bool(reply.read() == b"true")
    except (OSError, urllib.error.URLError):
        return False
