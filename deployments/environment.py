"""What a shell, a worker and a flow need to know of the servers: environment and `prefect.toml`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from deployments.automations import HEARTBEAT_SECONDS
from deployments.pools import GPU_POOL
from infra.files import replaced
from infra.servers import prefect
from infra.servers.process import MARK
from infra.settings import PROJECT, Settings
from infra.site import DROPLET_POOL

_TOML = "prefect.toml"
_SECRETS = {GPU_POOL: "SEP_OANDA_TOKEN", DROPLET_POOL: "SEP_OANDA_TRADING_TOKEN"}
"""Of the shell, for the pool whose runs need it: prices there, orders here; no other has it."""

_SIGN = "# Written by `sep up`, removed by `sep down`."


def client_environment(settings: Settings, api_url: str) -> dict[str, str]:
    """Return the variables with which any program finds the servers and the results.

    Results are JSON and kept by default, so that a retry finds what finished tasks returned.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    api_url : str
        Address of the Prefect API.
    """
    password = prefect.password(settings.home, api_url)
    return {
        **({"PREFECT_API_AUTH_STRING": password} if password else {}),
        "SEP_HOME": str(settings.home),
        **prefect.environment(settings.home),
        "PREFECT_API_URL": api_url,
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(results_folder(settings)),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    }


def worker_environment(
    settings: Settings, api_url: str, *, role: str = "owner", pool: str | None = None
) -> dict[str, str]:
    """Return the variables that workers and so their flow runs are started with.

    Of a database role they hold the name alone: its password is looked up under the home.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    api_url : str
        Address of the Prefect API.
    role : str
        Database role.
    pool : str, optional
        Whose worker it is; the secrets that it needs are in.
    """
    return {
        **plain_environment(settings, role=role, pool=pool),
        **client_environment(settings, api_url),
        "SEP_ROOT": str(PROJECT),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_LOGGING_COLORS": "false",
        "NO_COLOR": "1",
    }


def plain_environment(settings: Settings, *, role: str, pool: str | None) -> dict[str, str]:
    """Return the variables of what runs without Prefect: our settings, and one pool's secret.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    role : str
        Database role.
    pool : str or None
        Whose secret is in.
    """
    kept_back = {MARK, *(secret for owner, secret in _SECRETS.items() if owner != pool)}
    return {
        **{k: v for k, v in os.environ.items() if k.startswith("SEP_") and k not in kept_back},
        "SEP_HOME": str(settings.home),
        "SEP_DATABASE_ROLE": role,
    }


def results_folder(settings: Settings) -> Path:
    """Return the folder in which Prefect keeps the results of tasks and flows."""
    return settings.home / "results"


def exports(settings: Settings, api_url: str) -> str:
    """Return the `export` lines that make any shell use the servers of `settings`.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    api_url : str
        Address of the Prefect API.
    """
    variables = client_environment(settings, api_url)
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def write_toml(settings: Settings, api_url: str, *, project: Path = PROJECT) -> Path | None:
    """Point the plain `prefect` command in the project folder at the server.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    api_url : str
        Address of the Prefect API.
    project : Path
        Folder of `prefect.yaml`.

    Returns
    -------
    Path or None
        The file; None where it is left alone: another home than the project's own, or a file
        that `sep` did not write.
    """
    if not _ours(settings, project):
        return None
    password = prefect.password(settings.home, api_url)
    text = f"""{_SIGN}
[api]
url = {json.dumps(api_url)}
{f"auth_string = {json.dumps(password)}" if password else ""}

[flows]
heartbeat_frequency = {HEARTBEAT_SECONDS}

[results]
default_serializer = "json"
local_storage_path = {json.dumps(str(results_folder(settings)))}
persist_by_default = true
"""
    path = project / _TOML
    with replaced(path) as draft:
        draft.write_text(text)
    return path


def remove_toml(settings: Settings, *, project: Path = PROJECT) -> None:
    """Remove the file that `write_toml` wrote.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    project : Path
        Folder of `prefect.yaml`.
    """
    if _ours(settings, project):
        (project / _TOML).unlink(missing_ok=True)


def user_command(settings: Settings, *, project: Path = PROJECT) -> str:
    """Return what a user types first so that `prefect` finds the server.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    project : Path
        Folder of `prefect.yaml`.
    """
    return f"cd {project}" if _ours(settings, project) else 'eval "$(sep env)"'


def forget_other_servers() -> None:
    """Drop what the shell says of another Prefect server: ours would take it for its own address.

    The interface in the browser would then ask that address.
    """
    for name in (
        "PREFECT_API_URL",
        "PREFECT_API_KEY",
        "PREFECT_API_AUTH_STRING",
        "PREFECT_PROFILE",
    ):
        os.environ.pop(name, None)


def _ours(settings: Settings, project: Path) -> bool:
    path = project / _TOML
    signed = not path.exists() or path.read_text().startswith(_SIGN)
    return signed and settings.home == project / ".sep"
