"""The deployments of `prefect.yaml`, registered once for each state of the project."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from deployments.api import Api, PrefectError
from infra.files import replaced
from infra.settings import PROJECT, settings

_SCHEMAS = """
import json, sys
from prefect.flows import load_flow_from_entrypoint
flows = {name: load_flow_from_entrypoint(name) for name in json.loads(sys.argv[1])}
print(json.dumps({n: f.parameters.model_dump(mode="json") for n, f in flows.items()}))
"""
_COMMAND = (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all")


def declared(project: Path = PROJECT) -> list[dict[str, Any]]:
    """Return the deployments that `prefect.yaml` declares."""
    text = (project / "prefect.yaml").read_text()
    deployments: list[dict[str, Any]] = yaml.safe_load(text)["deployments"]
    return deployments


def version(project: Path = PROJECT) -> str:
    """Return a digest of what is registered: `prefect.yaml`, and the schema of each flow.

    A schema depends on more than the flow's file, and takes seconds to be made: it is made anew
    where any file of the code changed, and remembered under the home until then.
    """
    declaration = (project / "prefect.yaml").read_bytes()
    return hashlib.sha256(declaration + _schemas(project).encode()).hexdigest()[:16]


def _schemas(project: Path) -> str:
    """Return the parameter schemas of the declared flows as JSON."""
    sources = hashlib.sha256()
    for path in _sources(project):
        sources.update(path.relative_to(project).as_posix().encode())
        sources.update(path.read_bytes())
    kept = settings().home / "run" / f"schemas-{sources.hexdigest()[:16]}.json"
    if not kept.exists():
        schemas = _ask_schemas(project)
        for old in kept.parent.glob("schemas-*.json"):
            old.unlink(missing_ok=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replaced(kept) as draft:
            draft.write_text(schemas)
    return kept.read_text()


def _sources(project: Path) -> list[Path]:
    packages = {path.parent.relative_to(project).parts[0] for path in project.glob("*/*.py")}
    return sorted(
        path for package in packages - {"tests"} for path in (project / package).rglob("*.py")
    )


def _ask_schemas(project: Path) -> str:
    """Import the flows in a process of their own: Prefect takes seconds to come."""
    entrypoints = json.dumps(sorted({item["entrypoint"] for item in declared(project)}))
    command = (sys.executable, "-c", _SCHEMAS, entrypoints)
    done = subprocess.run(  # noqa: S603
        command, cwd=project, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PrefectError(f"the flows cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def missing(api: Api, project: Path = PROJECT) -> list[str]:
    """Return the entry points that are not registered in their present version.

    Parameters
    ----------
    api : Api
        The Prefect server.
    project : Path
        Folder of `prefect.yaml`.
    """
    wanted = {(item["entrypoint"], item["name"]) for item in declared(project)}
    present = version(project)
    registered = {
        (item["entrypoint"], item["name"])
        for item in api.post("/deployments/filter", {})
        if item["version"] == present
    }
    return sorted(entrypoint for entrypoint, _ in wanted - registered)


def register(api: Api, environment: Mapping[str, str], project: Path = PROJECT) -> bool:
    """Register what is missing; schedules that were switched on stay on.

    Parameters
    ----------
    api : Api
        The Prefect server.
    environment : mapping of str to str
        Variables with which `prefect deploy` finds the server.
    project : Path
        Folder of `prefect.yaml`.

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
    output = _deploy(environment, project)
    if absent := missing(api, project):
        raise PrefectError(f"not registered: {', '.join(absent)}. `prefect deploy` said:\n{output}")
    for key, path in _schedules(api, active=False).items():
        if key in on:
            api.patch(path, {"active": True})
    return True


def _deploy(environment: Mapping[str, str], project: Path) -> str:
    variables = {**os.environ, **environment, "SEP_VERSION": version(project)}
    variables.pop("SEP_ROOT", None)  # every worker fills in its own
    done = subprocess.run(  # noqa: S603
        _COMMAND,
        cwd=project,
        env=variables,
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
