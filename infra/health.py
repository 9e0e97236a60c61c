"""Health: what is looked at, said once; doctor, status and `maintain` show the same findings.

A check is a function that yields findings. What was found last lies in `run/health.json` under the
home, each with the time since when it has been so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import text

from infra.files import free_bytes, replaced
from infra.postgres import database
from infra.records import locked
from infra.stores import cache
from infra.stores.bulk import BarStore
from infra.stores.years import StoreError

State = Literal["ok", "note", "problem"]
ORDER: Final[tuple[State, ...]] = ("ok", "note", "problem")
"""From good to bad."""

_GIB: Final = 2**30
_MIB: Final = 2**20


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes
    ----------
    topic : str
        The thing: "disk", "model EUR_USD H1".
    state : {"ok", "note", "problem"}
    text : str
        What is so.
    advice : str
        What to do about it.
    since : datetime or None
        Since when it has been in this state, as far as anybody looked.
    """

    topic: str
    state: State
    text: str
    advice: str = ""
    since: datetime | None = None

    def __str__(self) -> str:
        return f"{self.text}: {self.advice}" if self.advice else self.text


Check = Callable[[], Iterable[Finding]]


def look(checks: Iterable[Check]) -> list[Finding]:
    """Run checks; one that breaks is a finding itself and keeps no other from being run."""
    return [finding for check in checks for finding in _safely(check)]


def worst(findings: Iterable[Finding]) -> State:
    """Return the state that is worst; ok where there is none."""
    return max((finding.state for finding in findings), key=ORDER.index, default="ok")


def remember(home: Path, findings: Iterable[Finding], *, whole: bool = False) -> list[Finding]:
    """Keep what was found, and return it with the times since when it has been so.

    Parameters
    ----------
    home : Path
    findings : iterable of Finding
    whole : bool
        Whether everything was looked at: what was not found again is forgotten.
    """
    now = datetime.now(UTC)
    with locked(home, "health"):
        before = {finding.topic: finding for finding in last(home)}
        fresh = [replace(f, since=_since(f, before.get(f.topic), now)) for f in findings]
        kept = ({} if whole else before) | {finding.topic: finding for finding in fresh}
        with replaced(_path(home)) as draft:
            draft.write_text(json.dumps([_plain(finding) for finding in kept.values()], indent=1))
    return fresh


def last(home: Path) -> list[Finding]:
    """Return what was found last; nothing where nobody looked, or the file is damaged."""
    try:
        rows = json.loads(_path(home).read_text())
        return [Finding(**{**row, "since": datetime.fromisoformat(row["since"])}) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def shared_checks(home: Path) -> list[Check]:
    """Return the checks of what every part of the system stands on."""
    return [check_database, check_cache, partial(check_disk, home), partial(check_store, home)]


def check_database() -> Iterator[Finding]:
    """Say which server answers and how large the database is."""
    query = "SELECT current_setting('server_version'), pg_database_size(current_database())"
    with database.engine().connect() as connection:
        version, size = connection.execute(text(query)).one()
    yield Finding("database", "ok", f"PostgreSQL {version}, {size / _MIB:,.0f} MiB")


def check_cache() -> Iterator[Finding]:
    """Say whether the cache makes room by itself; the embedded one does."""
    memory = cache.memory()
    if memory is None:
        yield Finding("cache", "note", "does not answer: all runs without it, reads are slower")
        return
    limit = f"of {memory.limit / _MIB:,.0f} MiB" if memory.limit else "without a limit"
    used = f"{memory.used / _MIB:,.1f} MiB {limit}, {memory.policy}"
    if memory.bounded:
        yield Finding("cache", "ok", used)
    else:
        advice = "set maxmemory, and maxmemory-policy to allkeys-lru"
        yield Finding("cache", "note", used, advice)


def check_disk(home: Path) -> Iterator[Finding]:
    """Say how much room is left where the home is, or will be."""
    free = free_bytes(home) / _GIB
    advice = "" if free >= 1 else "make room, or set SEP_HOME to a larger disk"
    state: State = "problem" if advice else "ok"
    yield Finding("disk", state, f"{free:,.1f} GiB free at {home}", advice)


def check_store(home: Path) -> Iterator[Finding]:
    """Say whether every file of the bulk store holds what it should; each that does not."""
    store = BarStore(home / "bars")
    series = store.pairs()
    for pair, timeframe in series:
        try:
            store.check(pair, timeframe)
        except StoreError as error:
            yield Finding(f"bars {pair} {timeframe}", "problem", str(error))
    yield Finding("bulk store", "ok", f"{len(series)} pairs and timeframes")


def _safely(check: Check) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:
        name = getattr(getattr(check, "func", check), "__name__", "check")
        topic = name.removeprefix("check_").replace("_", " ")
        return [Finding(topic, "problem", " ".join(str(error).split()) or type(error).__name__)]


def _since(finding: Finding, before: Finding | None, now: datetime) -> datetime:
    same = before is not None and before.since is not None and before.state == finding.state
    return before.since if same and before and before.since else now


def _plain(finding: Finding) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(finding).items()}


def _path(home: Path) -> Path:
    return home / "run" / "health.json"
