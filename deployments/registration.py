"""The deployments of `prefect.yaml`, registered once for each state of the project."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from deployments.api import Api, PrefectError
from infra.settings import PROJECT

_COMMAND = (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all")


def declared(project: Path = PROJECT) -> list[dict[str, Any]]:
    """Return the deployments that `prefect.yaml` declares."""
    text = (project / "prefect.yaml").read_text()
    deployments: list[dict[str, Any]] = yaml.safe_load(text)["deployments"]
    return deployments


def version(project: Path = PROJECT) -> str:
    """Return a digest of `prefect.yaml` and the flows, whose parameters a deployment shows."""
    digest = hashlib.sha256()
    for path in [project / "prefect.yaml", *sorted((project / "flows").glob("*.py"))]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def missing(api: Api, project: Path = PROJECT) -> list[str]:
    """Return the entry points that are not registered in their present version."""
    wanted = {(item["entrypoint"], item["name"]) for item in declared(project)}
    present = version(project)
    found = {
        (item["entrypoint"], item["name"])
        for item in api.post("/deployments/filter", {})
        if item["version"] == present
    }
    return sorted(entrypoint for entrypoint, _ in wanted - found)


def register(api: Api, environment: Mapping[str, str], project: Path = PROJECT) -> bool:
    """Register what is missing; schedules that were switched on stay on.

    Returns
    -------
    bool
        Whether anything was to do.

    Raises
    ------
    PrefectError
        If a deployment is still missing afterwards; with what `prefect deploy` said.
    """
    if not missing(api, project):
        return False
    on = _schedules(api, active=True)
    said = _deploy(environment, project)
    if absent := missing(api, project):
        raise PrefectError(f"not registered: {', '.join(absent)}. `prefect deploy` said:\n{said}")
    for key, path in _schedules(api, active=False).items():
        if key in on:
            api.patch(path, {"active": True})
    return True


def _deploy(environment: Mapping[str, str], project: Path) -> str:
    known = {**os.environ, **environment, "SEP_VERSION": version(project)}
    known.pop("SEP_ROOT", None)  # every worker fills in its own
    done = subprocess.run(  # noqa: S603
        _COMMAND,
        cwd=project,
        env=known,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "\n".join(done.stdout.strip().splitlines()[-12:])


def _schedules(api: Api, *, active: bool) -> dict[tuple[str, str], str]:
    """Return the API path of each schedule that is on or off, by entry point and slug."""
    return {
        (item["entrypoint"], schedule["slug"]): f"/deployments/{item['id']}/schedules/"
        + schedule["id"]
        for item in api.post("/deployments/filter", {})
        for schedule in item["schedules"]
        if schedule["active"] is active
    }
