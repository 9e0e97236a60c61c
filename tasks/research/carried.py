"""Models on their way between machines: the files of one in PostgreSQL, whole or not at all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from infra.errors import SepError
from infra.postgres.database import session
from infra.postgres.models import Champion, Model, ModelFile
from infra.settings import settings
from tasks.folder import RunFolder

MOST: Final = 512 * 2**20
"""Bytes of a model that go through the database."""
_RULE: Final = r"(?:rules/\w[\w-]*/)?"


class NotCarried(SepError, RuntimeError):
    """The files of a model are not in the database as they should be; the message says more."""


def send(model_id: str, folder: Path) -> dict[str, Any]:
    """Put the files of a model into the database, in place of those of the same model before.

    Parameters
    ----------
    model_id : str
        Of the first exit rule; those of others lie below its folder.
    folder : Path
        Of its run.

    Returns
    -------
    dict
        `files` and `bytes`.

    Raises
    ------
    NotCarried
        If it is too large.
    """
    paths = _paths(folder)
    size = sum(path.stat().st_size for path in paths.values())
    if size > MOST:
        raise NotCarried(
            f"the model {model_id} has {size:,} bytes, and {MOST:,} go through the database: it "
            f"stays in {folder}; train it where it is to be used"
        )
    with session() as opened:
        opened.execute(delete(ModelFile).where(ModelFile.model_id == model_id))
        for name, path in paths.items():
            row = _row(model_id, name, path.read_bytes(), len(paths))
            opened.execute(insert(ModelFile).values(row))
    return {"files": len(paths), "bytes": size}


def is_carried(model_id: str) -> bool:
    """Say whether the database has the files of a model.

    Parameters
    ----------
    model_id : str
    """
    with session() as opened:
        found = select(ModelFile.model_id).where(ModelFile.model_id == model_id).limit(1)
        return opened.scalar(found) is not None


def place(model_id: str) -> Path:
    """Return where the files of a model of another machine lie on this one.

    Parameters
    ----------
    model_id : str
    """
    return settings().home / "runs" / "fetched" / model_id


def fetch(model_id: str) -> None:
    """Bring the files of a model to this machine, unless they are here.

    Parameters
    ----------
    model_id : str
        Of the first exit rule.

    Raises
    ------
    NotCarried
        If the database has not all of them, or one is damaged.
    """
    target = place(model_id)
    if target.exists():
        return
    rows = _rows(model_id)
    _check(model_id, rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{model_id}.", dir=target.parent))
    try:
        for row in rows:
            path = draft / row.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row.content)
        draft.rename(target)
    except OSError:
        if not target.exists():  # else another process was faster
            raise
    finally:
        rmtree(draft, ignore_errors=True)


def clear(days: int) -> int:
    """Take the files of models out of the database that were recorded so long ago, and count them.

    Those of a pair's newest model and of one in force stay.

    Parameters
    ----------
    days : int
    """
    before = func.now() - func.make_interval(0, 0, 0, days)
    newest = (
        select(Model.model_id)
        .distinct(Model.pair, Model.timeframe)
        .order_by(Model.pair, Model.timeframe, Model.created_at.desc())
    )
    of = func.coalesce(Model.metrics["of"].astext, Model.model_id)
    kept = select(of).where(Model.model_id.in_(newest))
    old: Select[tuple[str]] = select(Model.model_id).where(Model.created_at < before)
    gone = delete(ModelFile).where(
        ModelFile.model_id.in_(old),
        ModelFile.model_id.not_in(kept),
        ModelFile.model_id.not_in(select(Champion.model_id)),
    )
    with session() as opened:
        return int(opened.execute(gone).rowcount)  # type: ignore[attr-defined]


def _paths(folder: Path) -> dict[str, Path]:
    """Return what of a run's folder is of use to others, by its name there."""
    wanted = _names()
    every = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return {name: path for name, path in every.items() if wanted.fullmatch(name) and path.is_file()}


def _names() -> re.Pattern[str]:
    names = "|".join(re.escape(file.name) for file in RunFolder.files("model", "report"))
    return re.compile(f"{_RULE}(?:{names})")


def _row(model_id: str, name: str, content: bytes, files: int) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {
        "model_id": model_id,
        "name": name,
        "files": files,
        "sha256": digest,
        "content": content,
    }


def _rows(model_id: str) -> Sequence[ModelFile]:
    with session() as opened:
        rows = opened.scalars(select(ModelFile).where(ModelFile.model_id == model_id)).all()
        opened.expunge_all()
        return rows


def _check(model_id: str, rows: Sequence[ModelFile]) -> None:
    if not rows:
        raise NotCarried(f"the files of the model {model_id} are not in the database")
    if len(rows) != rows[0].files:
        raise NotCarried(
            f"the database has {len(rows)} of {rows[0].files} files of the model {model_id}"
        )
    known = _names()
    for row in rows:
        if hashlib.sha256(row.content).hexdigest() != row.sha256 or not known.fullmatch(row.name):
            raise NotCarried(f"{row.name!r} of the model {model_id} came damaged")
