"""Backups of a home: a folder each, whole or not there, with a manifest that knows every file.

```
<folder>/20261125T020000.000Z/
    manifest.json                    what is in it; manifest.sha256 guards it
    database.dump                    the database, by pg_dump
    bars/EUR_USD/H1/2017...parquet  the bulk store, with its manifests
    removed/...parquet               bars that were taken out of it
    runs/backtest/<run>/...          the folders of models
```

All but the first two lie as they lie under the home. A file that did not change since the backup
before is a hard link to that one's, where the file system has them. Passwords are in none.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, inspect, quoted_name, select, table, text
from sqlalchemy.exc import SQLAlchemyError

from infra.backups import dump
from infra.backups.manifest import (
    ARCHIVE,
    FORMAT,
    REMOVED,
    STORE,
    BackupError,
    File,
    Manifest,
    Tell,
    fault,
    model_folder,
    read,
    silent,
)
from infra.backups.manifest import write as write_manifest
from infra.files import locked, sync, write_durably
from infra.postgres import database
from infra.postgres.schema import TABLES
from infra.settings import settings
from infra.stores.bulk import BarStore
from infra.stores.years import StoreError

DERIVED: Final = "paths"
"""Schema of what models' files can make anew; TimescaleDB's catalogue lets no table be left out."""
TIMESCALE: Final = "timescaledb"

_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z")
_LEFT = re.compile(r"\.\d{8}T\d{6}\.\d{3}Z\.(new|old)")
_PIECE = 2**20


@dataclass(frozen=True)
class Taken:
    """A backup that was made.

    Attributes
    ----------
    path : Path
    manifest : Manifest
    shared : int
        Files that are those of the backup before.
    kept, removed : list of str
        Names of the backups that are there now, and of those that had to go.
    """

    path: Path
    manifest: Manifest
    shared: int
    kept: list[str]
    removed: list[str]


def take(
    folder: Path, *, keep: int, wanted: Collection[str] | None = None, tell: Tell = silent
) -> Taken:
    """Back up database, bulk store and the folders of models; then remove old backups.

    Parameters
    ----------
    folder : Path
        Where backups are kept; made if it is not there.
    keep : int
        How many of the newest stay, this one included: at least 1.
    wanted : collection of str, optional
        Names of the files that count in a model's folder; left out: all.
    tell : callable
        Hears of progress.

    Raises
    ------
    BackupError, DumpError, DatabaseError
        If anything fails; no half backup is left, and no old one is removed.
    """
    if keep < 1:
        raise BackupError(f"{keep} backups cannot be kept: at least 1")
    folder = folder.expanduser().resolve()
    with failing("no backup was made"), _alone(folder, tell):
        _clear(folder)
        before = find(folder)
        name = _free_name(folder)
        draft = folder / f".{name}.new"
        try:
            manifest, shared = _fill(draft, before[-1] if before else None, wanted, tell)
            draft.rename(folder / name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync(folder)
        removed = _retire(folder, before, keep)
        kept = [path.name for path in find(folder)]
    return Taken(folder / name, manifest, shared, kept, removed)


def find(folder: Path) -> list[Path]:
    """Return the backups in a folder, the newest last; half ones are none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def copy(source: Path, target: Path) -> File:
    """Copy a file durably and return what was copied; the path is the target's name.

    Parameters
    ----------
    source : Path
    target : Path
        Must not be there yet; its folder is made if need be.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as file, target.open("xb") as out:
        state = os.fstat(file.fileno())
        size, digest = write_durably(iter(lambda: file.read(_PIECE), b""), out)
    # the next backup takes a file of the same size and time for unchanged
    os.utime(target, ns=(state.st_mtime_ns, state.st_mtime_ns))
    return File(target.name, size, digest, state.st_mtime_ns)


def _fill(
    draft: Path, before: Path | None, wanted: Collection[str] | None, tell: Tell
) -> tuple[Manifest, int]:
    """Write everything into the draft of a backup; how many files it shares with another."""
    begin, home = time.monotonic(), settings().home
    draft.mkdir(mode=0o700)
    tell("looking at the database")
    with _snapshot() as connection:
        about = _describe(connection)
        paths = _model_paths(connection)
        without = () if TIMESCALE in about["extensions"] else (f"{DERIVED}.*",)
        archive = _archive(connection, draft / ARCHIVE, without, tell)
    places = {model: _place(home, Path(path)) for model, path in paths.items()}
    there = {model: place for model, place in places.items() if Path(paths[model]).is_dir()}
    sources = _bars(home) | {
        f"{place}/{file.relative_to(paths[model]).as_posix()}": file
        for model, place in there.items()
        for file in _below(Path(paths[model]))
        if wanted is None or file.name in wanted
    }
    files, shared = _copy_all(sources, draft, before, tell)
    manifest = Manifest(
        **about,
        seconds=round(time.monotonic() - begin, 3),
        store=_contents(draft, home),
        models=there,
        missing=sorted(places.keys() - there.keys()),
        files=[archive, *files],
    )
    write_manifest(draft, manifest)
    return manifest, shared


@contextmanager
def _snapshot() -> Iterator[Connection]:
    """Open a transaction that sees one moment, as the owner of the tables."""
    engine = database.engine("owner")
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        yield connection


def _describe(connection: Connection) -> dict[str, Any]:
    there = set(inspect(connection).get_table_names())
    if "alembic_version" not in there:
        raise BackupError("the database has no tables of this project: `sep up` makes them")
    extensions = connection.execute(text("SELECT extname, extversion FROM pg_extension")).tuples()
    return {
        "format": FORMAT,
        "taken_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "project": version("sep-trader"),
        "revision": connection.scalar(text("SELECT version_num FROM alembic_version")),
        "postgres": str(connection.scalar(text("SHOW server_version"))).split()[0],
        "extensions": dict(sorted(extensions.all())),
        "tables": count_rows(connection, sorted(there & TABLES)),
    }


def count_rows(connection: Connection, tables: Iterable[str]) -> dict[str, int]:
    """Return the number of rows of each table.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    tables : iterable of str
        Names, without quotes.
    """
    sources = {name: table(quoted_name(name, quote=True)) for name in tables}
    count = select(func.count())
    return {
        name: connection.execute(count.select_from(source)).scalar_one()
        for name, source in sources.items()
    }


def _model_paths(connection: Connection) -> dict[str, str]:
    return dict(connection.execute(text("SELECT model_id, path FROM model")).tuples().all())


def _archive(connection: Connection, path: Path, without: tuple[str, ...], tell: Tell) -> File:
    snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
    chosen = dump.programs(server_version(connection))

    def pieces() -> Iterator[bytes]:
        written = 0
        address = database.url("owner")
        for piece in dump.dump(address, chosen, snapshot=snapshot, without=without):
            yield piece
            written += len(piece)
            tell(f"database: {written / 1e6:,.0f} MB")

    with path.open("xb") as out:
        size, digest = write_durably(pieces(), out)
    return File(ARCHIVE, size, digest, path.stat().st_mtime_ns)


def server_version(connection: Connection) -> int:
    """Return the major version of the server."""
    return int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10_000


def _place(home: Path, path: Path) -> str:
    """Return where a model's folder lies under a home, also if it lay elsewhere."""
    if path.is_relative_to(home) and model_folder(place := path.relative_to(home).as_posix()):
        return place
    return f"runs/elsewhere/{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _bars(home: Path) -> dict[str, Path]:
    """Return the files of the bulk store, each pair's manifest with those it names, and removed."""
    store = BarStore(home / STORE)
    files = [path for key in store.pairs() for path in (*store.files(*key), store.manifest(*key))]
    files += sorted((home / REMOVED).glob("*.parquet"))
    return {file.relative_to(home).as_posix(): file for file in files if file.exists()}


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _copy_all(
    sources: Mapping[str, Path], draft: Path, before: Path | None, tell: Tell
) -> tuple[list[File], int]:
    copied = {file.path: file for file in _files_of(before)}
    files, shared = [], 0
    for number, (name, source) in enumerate(sources.items(), 1):
        tell(f"copying {number:,} of {len(sources):,}: {name}")
        old, target = copied.get(name), draft / name
        if before and old and _share(source, before, old, target):
            files.append(old)
            shared += 1
        else:
            files.append(File(**{**asdict(copy(source, target)), "path": name}))
    return files, shared


def _files_of(before: Path | None) -> list[File]:
    with suppress(BackupError):
        return read(before).files if before else []
    return []


def _share(source: Path, before: Path, old: File, target: Path) -> bool:
    """Link the file of the backup before if nothing changed, and its content is still sound."""
    state = source.stat()
    if (state.st_size, state.st_mtime_ns) != (old.bytes, old.modified) or fault(before, old):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(before / old.path, target)
    except OSError:
        return False
    return True


def _contents(draft: Path, home: Path) -> dict[str, str]:
    store = BarStore(draft / STORE)
    try:
        return {f"{pair}/{frame}": store.content_hash(pair, frame) for pair, frame in store.pairs()}
    except StoreError as error:
        raise BackupError(str(error).replace(str(draft), str(home))) from error


def _retire(folder: Path, before: list[Path], keep: int) -> list[str]:
    """Remove the oldest so that `keep` are left, the new one among them."""
    gone = before[: max(0, len(before) - (keep - 1))]
    for path in gone:
        half = folder / f".{path.name}.old"
        path.rename(half)  # from here on it is listed no more
        shutil.rmtree(half)
    return [path.name for path in gone]


def _clear(folder: Path) -> None:
    """Remove what a killed run left: half a backup, or half of a removed one."""
    for path in folder.iterdir():
        if _LEFT.fullmatch(path.name):
            shutil.rmtree(path)


def _free_name(folder: Path) -> str:
    while True:
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
        if not (folder / name).exists():
            return name


def _alone(folder: Path, tell: Tell) -> AbstractContextManager[None]:
    """One backup at a time."""
    return locked(
        folder / ".lock", waiting=lambda: tell("another backup is under way: waiting for it")
    )


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Say what a full disk or a lost database keeps from being done."""
    try:
        yield
    except (OSError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, SQLAlchemyError) else error
        raise BackupError(f"{what}: {str(cause or error).strip()}") from error
