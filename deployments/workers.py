"""Workers: one process for each pool, which turns scheduled flow runs into processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from socket import gethostname
from typing import Literal

import psutil  # type: ignore[import-untyped,unused-ignore]

from deployments.api import Api, PrefectError
from infra.pinning import Pinning, plan
from infra.records import alive, read_record
from infra.servers.process import MARK, Launch
from infra.servers.process import start as start_process
from infra.servers.process import stop as stop_process
from infra.settings import Settings
from infra.site import TRAINING_QUEUE, site, worker_name
from infra.topology import Topology

LOST = ("RUNNING", "PENDING", "CANCELLING")
"""States in which a flow run needs its process."""

Started = Literal["started", "found", "busy"]
"""Busy: found with other settings, and left because of its flow runs."""


def start(
    home: Path, pool: str, api: Api, environment: Mapping[str, str], *, sole: bool
) -> Started:
    """Start the pool's worker unless it runs, and wait until it has reported to the server.

    A worker with other settings is replaced, unless flow runs depend on it; one that looks for
    another server is replaced in any case.

    Parameters
    ----------
    home : Path
        Folder of all state.
    pool : str
        Work pool.
    api : Api
        The Prefect server.
    environment : mapping
        Settings of worker and flow runs, added to the present environment.
    sole : bool
        Whether no other worker serves the pool: runs that lost their process are then known.

    Raises
    ------
    ServerError
        If it ends or does not report; with the tail of its log.
    """
    state = _state(home, pool, environment)
    if state == "busy":
        return "busy"
    if state == "none":
        stop(home, pool)
        if sole:
            bury(api, pool)
    launch = Launch(
        command=lambda _: _command(pool),
        healthy=lambda _: _reported(home, pool, api),
        port=None,
        environment=environment,
        folder=home,
        pause=0.25,
    )
    start_process(home, worker_name(pool), launch)
    return "found" if state == "same" else "started"


def stop(home: Path, pool: str) -> None:
    """End the pool's worker and its flow runs.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    pool : str
        Work pool.
    """
    stop_process(home, worker_name(pool))


def find(home: Path, pool: str) -> str | None:
    """Return where the pool's worker looks for work, None if it does not run.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    pool : str
        Work pool.
    """
    record = alive(home, worker_name(pool))
    return _environment(record.pid).get("PREFECT_API_URL") if record else None


def bury(api: Api, pool: str) -> int:
    """Mark the pool's flow runs that lost their process as crashed, and count them.

    Only for a server and a pool that no other worker serves, while ours does not run. A training
    may be another machine's: that one is missed by its heartbeats.

    Parameters
    ----------
    api : Api
        The Prefect server.
    pool : str
        Work pool.
    """
    query = {
        "work_pools": {"name": {"any_": [pool]}},
        "flow_runs": {"state": {"type": {"any_": list(LOST)}}},
    }
    found = api.post("/flow_runs/filter", query)
    lost = [run for run in found if run["work_queue_name"] != TRAINING_QUEUE]
    crashed = {"type": "CRASHED", "message": "Its process ended with its worker."}
    for run in lost:
        api.post(f"/flow_runs/{run['id']}/set_state", {"state": crashed, "force": True})
    return len(lost)


def placement(topology: Topology, settings: Settings) -> Pinning:
    """Decide where the GPU's worker and its flow runs are to run; they take CUDA's first GPU.

    Parameters
    ----------
    topology : Topology
        Of this machine.
    settings : Settings
        Of this machine.
    """
    if settings.pin == "off":
        return Pinning("SEP_PIN=off: nothing is pinned")
    return plan(topology, None if settings.engine == "cpu" else 0)


def _command(pool: str) -> list[str]:
    worker = ["--pool", pool, "--type", "process", "--name", f"{pool}@{gethostname()}"]
    worker += [f"--work-queue={queue}" for queue in site().queues]
    return [sys.executable, "-m", "deployments.worker_main", "worker", "start", *worker]


def _reported(home: Path, pool: str, api: Api) -> bool:
    """Say whether the server has heard of the worker since it was started."""
    record = read_record(home, worker_name(pool))
    try:
        workers = api.post(f"/work_pools/{pool}/workers/filter", {})
    except PrefectError:
        workers = []
    heartbeats = [datetime.fromisoformat(w["last_heartbeat_time"]).timestamp() for w in workers]
    return record is not None and any(moment > record.created for moment in heartbeats)


def _state(
    home: Path, pool: str, environment: Mapping[str, str]
) -> Literal["none", "same", "busy"]:
    """Say what to do: start one (again), keep it, or keep it although its settings differ."""
    record = alive(home, worker_name(pool))
    if record is None:
        return "none"
    present = _environment(record.pid)
    if _settings(present) == _settings(environment):
        return "same"
    moved = present.get("PREFECT_API_URL") != environment["PREFECT_API_URL"]
    return "none" if moved or not _has_runs(record.pid) else "busy"


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what makes a worker another one: our settings and the server it looks to."""
    return {
        key: value
        for key, value in environment.items()
        if (key.startswith("SEP_") or key == "PREFECT_API_URL") and key != MARK
    }


def _has_runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).children())
    except psutil.Error:
        return False


def _environment(pid: int) -> dict[str, str]:
    try:
        return dict(psutil.Process(pid).environ())
    except psutil.Error:
        return {}
