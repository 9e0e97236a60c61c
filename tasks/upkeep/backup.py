"""The backup of a home: database, bulk store, models."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from infra.backups.backup import Taken, take
from infra.backups.manifest import Tell
from infra.settings import settings
from tasks.folder import RunFolder
from tasks.steps import step

logger = logging.getLogger(__name__)


def backup_folder() -> Path:
    """Return where backups are kept."""
    return settings().home / settings().backup_folder.expanduser()


def backup_all(folder: Path | None = None, *, tell: Tell = logger.debug) -> dict[str, Any]:
    """Back up everything a restored system needs, and remove backups beyond `SEP_BACKUPS_KEPT`.

    Of a model's folder that is what signals need: reports and what was of use to its run alone
    are left out.

    Parameters
    ----------
    folder : Path, optional
        Where; left out: what `SEP_BACKUP_FOLDER` says.
    tell : callable
        Hears of progress.

    Returns
    -------
    dict
        path, files, shared (files that did not change), bytes, seconds, rows, missing (models
        whose folder is not there), kept, removed.

    Raises
    ------
    BackupError, DumpError, DatabaseError
        If anything fails; no half backup is left, and no old one is removed.
    """
    wanted = {file.name for file in RunFolder.files("model")}
    place, keep = folder or backup_folder(), settings().backups_kept
    taken = take(place, keep=keep, wanted=wanted, tell=tell)
    return _told(taken)


@step("backup", version=1)
def backup() -> dict[str, Any]:
    """Back up database, bulk store and models, once in a flow run."""
    return backup_all()


def _told(taken: Taken) -> dict[str, Any]:
    manifest = taken.manifest
    return {
        "path": str(taken.path),
        "files": len(manifest.files),
        "shared": taken.shared,
        "bytes": manifest.bytes,
        "seconds": manifest.seconds,
        "rows": sum(manifest.tables.values()),
        "missing": manifest.missing,
        "kept": taken.kept,
        "removed": taken.removed,
    }
