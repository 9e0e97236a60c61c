"""What each part does at this moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

from deployments.api import Api
from deployments.parts import Part, masked, parts
from infra.records import alive
from infra.servers import postgres, prefect, valkey
from infra.settings import Settings


@dataclass(frozen=True)
class State:
    """What a part does at this moment; memory in bytes, with its child processes."""

    title: str
    state: str
    address: str
    pid: int | None = None
    memory: int | None = None
    since: datetime | None = None

    @property
    def runs(self) -> bool:
        """Whether it answers."""
        return self.state in ("runs", "external")


def status(settings: Settings) -> list[State]:
    """Return the state of every part."""
    return [_state(part, settings.home) for part in parts(settings)]


def _state(part: Part, home: Path) -> State:
    if part.external:
        state = "external" if _answers(part) else "no answer"
        return State(part.title, state, masked(part.external))
    record, address = alive(home, part.name), part.find(home)
    if record is None:
        return State(part.title, "stopped", "")
    since = datetime.fromtimestamp(record.created, UTC)
    state = "runs" if address else "no answer"
    return State(part.title, state, masked(address or ""), record.pid, _memory(record.pid), since)


def _answers(part: Part) -> bool:
    """Say whether the server that a setting names answers."""
    try:
        _asks[part.name](part.external or "")
    except Exception:
        return False
    return True


def _ask_database(address: str) -> None:
    import psycopg

    psycopg.connect(address, connect_timeout=3).close()


def _ask_cache(address: str) -> None:
    import redis

    with redis.Redis.from_url(address, socket_timeout=3) as client:
        client.ping()


def _ask_prefect(address: str) -> None:
    with Api(address, timeout=3) as api:
        api.get("/health")


_asks: dict[str, Callable[[str], None]] = {
    postgres.NAME: _ask_database,
    valkey.NAME: _ask_cache,
    prefect.NAME: _ask_prefect,
}


def _memory(pid: int) -> int | None:
    """Return the bytes of a process and its children, shared pages counted once."""
    try:
        leader = psutil.Process(pid)
        family = (leader, *leader.children(recursive=True))
        return sum(int(process.memory_full_info().pss) for process in family)
    except psutil.Error:
        return None
