"""The part that makes rounds of exits without Prefect: one process, looked after as workers are."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import psutil  # type: ignore[import-untyped,unused-ignore]

from infra.records import Record, alive, read_record
from infra.servers.process import MARK, Launch
from infra.servers.process import start as start_process
from infra.servers.process import stop as stop_process
from infra.site import EXITS

NAME: Final = EXITS
LATE: Final = 120.0
"""Seconds after which a round that has not ended is told as no answer."""


def start(home: Path, environment: Mapping[str, str]) -> Literal["started", "found"]:
    """Start it unless it runs with the same settings, and wait until a round has begun.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    environment : mapping
        Its settings, added to the present environment.

    Raises
    ------
    ServerError
        If it ends or does not begin; with the tail of its log.
    """
    present = alive(home, NAME)
    if present is not None and _settings(present) == _ours(environment):
        return "found"
    stop(home)
    launch = Launch(
        command=lambda _: [sys.executable, "-m", "deployments.exits_main"],
        healthy=lambda _: _beat(home) is not None,
        port=None,
        environment=environment,
        folder=home,
        pause=0.1,
    )
    start_process(home, NAME, launch)
    return "started"


def stop(home: Path) -> None:
    """End it, after the round under way."""
    stop_process(home, NAME)


def find(home: Path) -> str | None:
    """Say when its last round began; None if it does not run, or has been silent for too long.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    """
    beat = _beat(home)
    if alive(home, NAME) is None or beat is None or time.time() - beat > LATE:
        return None
    return f"last round at {datetime.fromtimestamp(beat, UTC):%H:%M:%S} UTC"


def beat_path(home: Path) -> Path:
    """Return the file that is touched when a round begins."""
    return home / "run" / "exits.beat"


def _beat(home: Path) -> float | None:
    """Return when the process that was started last began a round."""
    record = read_record(home, NAME)
    try:
        moment = beat_path(home).stat().st_mtime
    except OSError:
        return None
    return moment if record is not None and moment > record.created else None


def _settings(record: Record) -> dict[str, str]:
    try:
        return _ours(psutil.Process(record.pid).environ())
    except psutil.Error:
        return {}


def _ours(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith("SEP_") and k != MARK}
