"""Bars that one machine lacks and another has, by way of PostgreSQL.

Who lacks bars of a hash says so in `bar_want`; who fans work out offers their files in `bar_file`,
or says why not, and takes them back as soon as nobody is left who needs them. What came is of the
hash that was asked for, or refused.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from infra.errors import SepError
from infra.postgres.database import session
from infra.postgres.models import BarFile, BarWant
from infra.settings import settings
from infra.stores import pinned
from infra.stores.years import StoreError

Asked: TypeAlias = tuple[str, str, str]
"""Hash, pair and timeframe."""

PATIENCE: Final = 300.0
"""Seconds that bars are waited for."""
_PAUSE: Final = 1.0
_MIB: Final = 2**20


class NotOffered(SepError, RuntimeError):
    """Bars that a run is to use are not here and did not come; the message says why."""


def fetch(asked: Asked, *, patience: float = PATIENCE) -> None:
    """Bring bars to this machine, whole or not at all.

    Parameters
    ----------
    asked : (str, str, str)
        Hash, pair and timeframe.
    patience : float
        Seconds to wait for somebody who has them.

    Raises
    ------
    NotOffered
        If nobody offers them in time, they are refused, or what came is something else.
    """
    deadline = time.monotonic() + patience
    while not (rows := _offered(asked)):
        if refused := _want(asked):
            raise NotOffered(f"{_title(asked)} are not on this machine, and {refused}")
        if time.monotonic() > deadline:
            raise NotOffered(
                f"{_title(asked)} are not on this machine, and nobody offered them within "
                f"{patience:g} s: retry the run of train_all that asked for them, or start another"
            )
        time.sleep(_PAUSE)
    _keep(asked, rows)


def answer(mine: Iterable[Asked]) -> int:
    """Offer what others lack of the bars that are kept here, or say why not; how many were asked.

    Parameters
    ----------
    mine : iterable of (str, str, str)
        Hash, pair and timeframe.
    """
    with session() as opened:
        open_wants = select(BarWant).where(_of(BarWant, mine), BarWant.refused.is_(None))
        wanted = [(row.hash, row.pair, row.timeframe) for row in opened.scalars(open_wants)]
    for each in wanted:
        _answer(each)
    return len(wanted)


def withdraw(asked: Sequence[Asked]) -> None:
    """Take back offers and forget what was wanted: nobody needs it any more.

    Parameters
    ----------
    asked : sequence of (str, str, str)
        Hash, pair and timeframe.
    """
    if asked:
        with session() as opened:
            opened.execute(delete(BarFile).where(_of(BarFile, asked)))
            opened.execute(delete(BarWant).where(_of(BarWant, asked)))


def clear(days: int) -> int:
    """Take back the offers of runs that never ended, and count their files.

    Parameters
    ----------
    days : int
        So old at least.
    """
    before = func.now() - func.make_interval(0, 0, 0, days)
    with session() as opened:
        opened.execute(delete(BarWant).where(BarWant.asked_at < before))
        gone = opened.execute(delete(BarFile).where(BarFile.offered_at < before))
        return int(gone.rowcount)  # type: ignore[attr-defined]


def _offered(asked: Asked) -> list[BarFile]:
    with session() as opened:
        found = opened.scalars(select(BarFile).where(_of(BarFile, [asked]))).all()
        opened.expunge_all()
        return list(found)


def _want(asked: Asked) -> str | None:
    """Say that bars are lacking, and return why they will not come, if that is known."""
    row = dict(zip(("hash", "pair", "timeframe"), asked, strict=True))
    with session() as opened:
        opened.execute(insert(BarWant).values(row).on_conflict_do_nothing())
        return opened.scalar(select(BarWant.refused).where(_of(BarWant, [asked])))


def _answer(asked: Asked) -> None:
    digest, pair, timeframe = asked
    files = pinned.files_of(pair, timeframe, digest)
    with session() as opened:
        opened.execute(select(func.pg_advisory_xact_lock(func.hashtext("bar_file"))))
        size = sum(path.stat().st_size for path in files.values())
        held = opened.scalar(select(func.coalesce(func.sum(func.length(BarFile.content)), 0)))
        why = _refusal(size, int(held or 0)) if files else "who asked for them has them no more"
        if why:
            opened.execute(update(BarWant).where(_of(BarWant, [asked])).values(refused=why))
            return
        for year, path in files.items():
            row = insert(BarFile).values(_row(asked, year, path.read_bytes()))
            opened.execute(row.on_conflict_do_nothing())
        opened.execute(delete(BarWant).where(_of(BarWant, [asked])))


def _refusal(size: int, held: int) -> str | None:
    most = settings().offered_mb
    if size + held <= most * _MIB:
        return None
    return (
        f"their {size / _MIB:,.1f} MiB do not fit beside {held / _MIB:,.1f} MiB of others into the "
        f"{most} MiB that SEP_OFFERED_MB lets wait in PostgreSQL: raise it where train_all runs, "
        "or ingest the same bars here"
    )


def _row(asked: Asked, year: str, content: bytes) -> dict[str, Any]:
    key = dict(zip(("hash", "pair", "timeframe"), asked, strict=True))
    return {**key, "year": year, "sha256": _digest(content), "content": content}


def _keep(asked: Asked, rows: Sequence[BarFile]) -> None:
    digest, pair, timeframe = asked
    parent = settings().home / "pinned"
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fetched-", dir=parent) as folder:
        for row in rows:
            if _digest(row.content) != row.sha256 or not row.year.isdecimal():
                raise NotOffered(f"{_title(asked)} came damaged ({row.year}): retry this run")
            Path(folder, f"{row.year}.parquet").write_bytes(row.content)
        try:
            same = pinned.keep(pair, timeframe, digest, Path(folder))
        except StoreError as error:
            raise NotOffered(f"{_title(asked)} came damaged: {error}") from error
    if not same:
        raise NotOffered(f"{_title(asked)} are not what came: those have another hash")


def _of(kind: type[BarFile | BarWant], asked: Iterable[Asked]) -> ColumnElement[bool]:
    return tuple_(kind.hash, kind.pair, kind.timeframe).in_(list(asked))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _title(asked: Asked) -> str:
    digest, pair, timeframe = asked
    return f"the bars of {pair} {timeframe} with the hash {digest[:12]}"
