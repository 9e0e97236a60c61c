"""The steps of `maintain`: what is old enough to go, and the health of what the system is on."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from infra.postgres import database
from infra.settings import settings
from infra.stores import offers, pinned, removals, warm
from infra.stores.paths import PathStore, libraries
from tasks.research import carried
from tasks.steps import step
from tasks.upkeep.health import look_after

_DAY: Final = 86_400
_IN_USE: Final = """
SELECT path FROM (SELECT DISTINCT ON (pair, timeframe) path FROM model
    ORDER BY pair, timeframe, created_at DESC) AS newest
UNION SELECT path FROM model JOIN champion USING (model_id)
"""


def clean_runs() -> dict[str, Any]:
    """Delete folders of runs in which nothing changed for `SEP_RUN_DAYS` days.

    The folder of a pair's newest model and that of a champion stay. A model whose folder is gone
    leaves no path library in the database. Bars that were removed so long ago go for good, as do
    those that were kept or offered for `train_all`, and models that came back from it.

    Returns
    -------
    dict
        `deleted` (folders), `bytes` (freed), `kept` (folders), `libraries` (dropped), `removals`
        (whose rows were deleted), `carried` (files that went from the database).
    """
    used = set(database.read_frame(_IN_USE)["path"])
    oldest = time.time() - settings().run_days * _DAY
    folders = [path for path in _run_folders() if not path.is_symlink()]
    old = [path for path in folders if str(path) not in used and _changed(path) < oldest]
    freed = sum(map(_size, old))
    for path in old:
        shutil.rmtree(path)
    kept = len(folders) - len(old)
    done = {"deleted": len(old), "bytes": freed, "kept": kept, "libraries": _drop_libraries()}
    done["removals"] = removals.clear(settings().run_days)
    return {**done, "carried": _clear_carried(settings().run_days)}


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


def _clear_carried(days: int) -> int:
    pinned.clear(days)
    try:
        return offers.clear(days) + carried.clear(days)
    except DBAPIError as error:
        if not warm.denied(error):
            raise
        return 0


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
