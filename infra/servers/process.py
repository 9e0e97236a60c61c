"""A server process that outlives its starter and is never mistaken for another: see its record."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

from infra.errors import SepError
from infra.files import UMASK, replaced
from infra.records import Record, alive, locked, log_path, read_record, record_path, touch
from infra.waiting import until

MARK = "SEP_SERVER"
_ATTEMPTS = 3
_PORT_RELEASE = 1.0  # seconds a killed process may need to let go of its port


class ServerError(SepError, RuntimeError):
    """A server did not start or stop; the message ends with the tail of its log."""


@dataclass(frozen=True)
class Launch:
    """How to start a server.

    Attributes
    ----------
    command : callable
        Port to command line.
    healthy : callable
        Port to whether the server answers there.
    port : int or None
        Port preferred the first time, 0 for any; None where the server listens on none.
    environment : mapping
        Added to the environment of the starter, of which our settings are left out.
    user : str or None
        System user to run as.
    folder : Path or None
        Working folder.
    timeout : float
        Seconds to wait until healthy.
    pause : float
        Seconds between two looks at its health.
    """

    command: Callable[[int], Sequence[str]]
    healthy: Callable[[int], bool]
    port: int | None = 0
    environment: Mapping[str, str] | None = None
    user: str | None = None
    folder: Path | None = None
    timeout: float = 60.0
    pause: float = 0.05


def start(home: Path, name: str, launch: Launch) -> Record:
    """Start server `name` unless it runs, and wait until it is healthy.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    launch : Launch

    Raises
    ------
    ServerError
        If it ends or stays silent; with the tail of its log.
    """
    with locked(home, name):
        running = alive(home, name)
        if running and _wait(running, launch):
            return running
        _end(home, name)
        for _ in range(_ATTEMPTS):
            record = _spawn(home, name, launch)
            if _wait(record, launch):
                return record
            _end(home, name)
    raise ServerError(f"{name} did not start. {log_tail(home, name)}")


def stop(home: Path, name: str, *, ask: signal.Signals = signal.SIGTERM, grace: float = 20) -> None:
    """End server `name` and what it left behind: asked first, killed after `grace` seconds.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    ask : signal.Signals
        Asks the server to end; what it left behind gets SIGTERM.
    grace : float
        Seconds.
    """
    with locked(home, name):
        _end(home, name, ask=ask, grace=grace)
        touch(home, name)


def end(processes: Sequence[psutil.Process], *, ask: int = signal.SIGTERM, grace: float) -> None:
    """Ask processes to end, kill those that live on after `grace` seconds, wait for all.

    Parameters
    ----------
    processes : sequence of psutil.Process
        May have ended already.
    ask : int
        Signal.
    grace : float
        Seconds; as long again for the killed ones.
    """
    _signal(processes, ask)
    _, left = psutil.wait_procs(list(processes), timeout=grace)
    _signal(left, signal.SIGKILL)
    psutil.wait_procs(left, timeout=grace)


def log_tail(home: Path, name: str, *, lines: int = 20) -> str:
    """Return the end of the server's log, headed by its path.

    Parameters
    ----------
    home : Path
        Folder of all state.
    name : str
        Of the server, such as `postgres`.
    lines : int
        How many at most.
    """
    path = log_path(home, name)
    try:
        text = path.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        text = []
    return "\n".join([f"The end of its log, {path}:", *(text or ["(empty)"])])


def free_port(preferred: int = 0) -> int:
    """Return `preferred` if it is free on 127.0.0.1, else a port that is."""
    for port in (preferred, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise ServerError("no free port on 127.0.0.1: end some of the programs that listen there")


def _spawn(home: Path, name: str, launch: Launch) -> Record:
    port = 0 if launch.port is None else _port(read_record(home, name), launch.port)
    log = log_path(home, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603
            launch.command(port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=launch.folder,
            env={**_inherited(), **(launch.environment or {}), MARK: _mark(home, name)},
            umask=UMASK,
            user=launch.user,
            group=launch.user,
            extra_groups=[] if launch.user else None,
        )
    record = Record(child.pid, time.time(), port, _command_line(child))
    with replaced(record_path(home, name)) as draft:
        draft.write_text(json.dumps(asdict(record)))
    child.returncode = 0  # it outlives this object on purpose: no ResourceWarning
    return record


def _command_line(child: subprocess.Popen[bytes]) -> tuple[str, ...]:
    """Return what the system calls a process by; it may have ended already."""
    with suppress(psutil.Error):
        return tuple(psutil.Process(child.pid).cmdline())
    return ("ended at once",)


def _inherited() -> dict[str, str]:
    """Return the starter's environment less our settings: servers need no token or password."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SEP_")}


def _port(last: Record | None, preferred: int) -> int:
    """Prefer the port of the last run: who knew the address finds the server again."""
    if last is None or not last.port:
        return free_port(preferred)
    last_port = last.port
    ask = partial(free_port, last_port)
    return until(ask, lambda port: port == last_port, seconds=_PORT_RELEASE)


def _wait(record: Record, launch: Launch) -> bool:
    def look() -> str:
        if _process(record) is None:
            return "ended"
        return "healthy" if launch.healthy(record.port) else ""

    return until(look, seconds=launch.timeout, pause=launch.pause) == "healthy"


def _end(home: Path, name: str, *, ask: int = signal.SIGTERM, grace: float = 20) -> None:
    record = read_record(home, name)
    leader = _process(record) if record else None
    if leader:
        end([leader], ask=ask, grace=grace)
    end(_marked(_mark(home, name)), grace=grace)


def _process(record: Record) -> psutil.Process | None:
    with suppress(ChildProcessError):
        os.waitpid(record.pid, os.WNOHANG)  # a dead child of ours is a zombie until reaped
    try:
        process = psutil.Process(record.pid)
        return process if tuple(process.cmdline()) == record.command else None
    except psutil.Error:
        return None


def _marked(mark: str) -> list[psutil.Process]:
    """Processes of a server whose leader died, or whose record was never written."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                processes.append(process)
        except (psutil.Error, OSError):
            continue
    return [process for process in processes if process.pid != os.getpid()]


def _mark(home: Path, name: str) -> str:
    return f"{home}:{name}"


def _signal(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
