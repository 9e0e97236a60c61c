"""The steps of `maintain`: folders of old runs, and the health of what the system stands on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from infra.postgres import database
from infra.settings import settings
from infra.stores import cache, hot, warm
from infra.stores.bulk import StoreError
from infra.stores.paths import PathStore, libraries
from tasks.folder import bar_store
from tasks.steps import step

State = Literal["ok", "note", "problem"]
_DAY: Final = 86_400
_GIB: Final = 2**30
_IN_USE: Final = """
SELECT path FROM (SELECT DISTINCT ON (pair, timeframe) path FROM model
    ORDER BY pair, timeframe, created_at DESC) AS newest
UNION SELECT path FROM model WHERE status = 'champion'
"""


def clean_runs() -> dict[str, Any]:
    """Delete folders of runs in which nothing changed for `SEP_RUN_DAYS` days.

    The folder of a pair's newest model and that of a champion stay. A model whose folder is gone
    leaves no path library in the database.

    Returns
    -------
    dict
        `deleted` (folders), `bytes` (freed), `kept` (folders), `libraries` (dropped).
    """
    used = set(database.read_frame(_IN_USE)["path"])
    oldest = time.time() - settings().run_days * _DAY
    folders = [path for path in _run_folders() if not path.is_symlink()]
    old = [path for path in folders if str(path) not in used and _changed(path) < oldest]
    freed = sum(map(_size, old))
    for path in old:
        shutil.rmtree(path)
    kept = len(folders) - len(old)
    return {"deleted": len(old), "bytes": freed, "kept": kept, "libraries": _drop_libraries()}


def look_after() -> list[dict[str, str]]:
    """Look at database, cache, disk, bulk store and live cycle.

    Returns
    -------
    list of dict
        `what`, `state` (ok, note or problem), `text`.
    """
    found = (*_database(), *_cache(), *_disk(), *_store(), *_live())
    return [{"what": what, "state": state, "text": text} for what, state, text in found]


clean = step("clean runs", version=1)(clean_runs)
health = step("health", version=1)(look_after)


def _run_folders() -> list[Path]:
    return sorted((settings().home / "runs").glob("*/*/"))


def _drop_libraries() -> int:
    """Drop the libraries of models that are gone, and count them; others' are left to others."""
    folders = dict(database.read_frame("SELECT model_id, path FROM model").iter_rows())
    return sum(_drop(name) for name in libraries() if _is_gone(folders.get(name)))


def _drop(name: str) -> bool:
    try:
        PathStore(name).drop()
    except DBAPIError as error:
        if not warm.denied(error):
            raise
        return False
    return True


def _is_gone(folder: str | None) -> bool:
    """Say whether there is no such model, or its folder should lie in this home and does not."""
    if folder is None:
        return True
    return Path(folder).is_relative_to(settings().home) and not Path(folder).is_dir()


def _changed(folder: Path) -> float:
    """Return when a folder or anything in it last changed, seconds since 1970."""
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _database() -> Iterator[tuple[str, State, str]]:
    with database.engine().connect() as connection:
        query = "SELECT current_setting('server_version'), pg_database_size(current_database())"
        version, size = connection.execute(text(query)).one()
    yield "PostgreSQL", "ok", f"{version}, {size / 2**20:,.0f} MiB"


def _cache() -> Iterator[tuple[str, State, str]]:
    memory = cache.memory()
    if memory is None:
        yield "Valkey", "note", "does not answer: all runs without it, reads are slower"
    elif not memory.bounded:
        text = f"no bound that makes room (maxmemory {memory.limit}, {memory.policy})"
        yield "Valkey", "note", f"{text}: set maxmemory, and maxmemory-policy to allkeys-lru"
    else:
        used = f"{memory.used / 2**20:,.1f} of {memory.limit / 2**20:,.0f} MiB"
        yield "Valkey", "ok", f"{used}, {memory.policy}"


def _disk() -> Iterator[tuple[str, State, str]]:
    free = shutil.disk_usage(settings().home).free / _GIB
    yield "disk", "problem" if free < 1 else "ok", f"{free:,.1f} GiB free at {settings().home}"


def _store() -> Iterator[tuple[str, State, str]]:
    """Every file of the bulk store says what it holds, or it is damaged."""
    store = bar_store()
    series = store.pairs()
    for pair, timeframe in series:
        try:
            store.content_hash(pair, timeframe)
        except StoreError as error:
            yield "bulk store", "problem", str(error)
    yield "bulk store", "ok", f"{len(series)} pairs and timeframes"


def _live() -> Iterator[tuple[str, State, str]]:
    """What the live cycle measured last, as long as it is remembered."""
    for kept in hot.kept("metrics"):
        told = hot.take("metrics", kept.pair, kept.timeframe, version=kept.version)
        if told is not None and told.height:
            newest = told["timestamp"][-1]
            yield f"signals {kept.pair} {kept.timeframe}", "ok", f"measured the bar of {newest}"
