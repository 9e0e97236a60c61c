"""A backup back into a home: checked first, refused where something is there, checked after."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, Table, inspect, quoted_name, text
from sqlalchemy.schema import DropTable

from infra.backups import dump
from infra.backups.backup import DERIVED, TIMESCALE, copy, count_rows, failing, server_version
from infra.backups.manifest import (
    ARCHIVE,
    REMOVED,
    STORE,
    BackupError,
    Manifest,
    Tell,
    first_link,
    read,
    silent,
    verify,
)
from infra.postgres import database
from infra.postgres.schema import TABLES
from infra.settings import settings
from infra.stores.bulk import BarStore
from infra.stores.years import StoreError

_DRAFT = ".restore"
_SHOWN = 10
_SESSIONS = """
SELECT DISTINCT usename || ' (' || coalesce(nullif(application_name, ''), 'unnamed') || ')'
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
    AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Restored:
    """What was restored and checked."""

    path: Path
    manifest: Manifest
    seconds: float


def restore(path: Path, *, force: bool = False, tell: Tell = silent) -> Restored:
    """Restore a backup into the present home and database, both empty.

    Every file is checked first; whatever is refused is refused before anything is touched.

    Parameters
    ----------
    path : Path
        A backup.
    force : bool
        Replace what is there: its rows, its bars, its folders of the same models.
    tell : callable
        Hears of progress.

    Raises
    ------
    BackupError
        If a file is missing or damaged, the server does not fit, somebody is connected, or
        something is there; each named.
    DumpError
        If PostgreSQL does not take the archive; the database is then without tables.
    """
    begin, path = time.monotonic(), path.expanduser().resolve()
    if faults := verify(path, tell=tell):
        raise BackupError("nothing was restored:\n" + "\n".join(faults[:_SHOWN]) + _more(faults))
    manifest, draft = read(path), settings().home / _DRAFT
    _refuse_links(manifest)
    with failing("nothing was restored"), database.engine("owner").connect() as connection:
        _refuse_server(connection, manifest)
        _refuse_extensions(connection, manifest)
        _refuse_sessions(connection)
        if not force:
            _refuse_content(connection, manifest)
    with failing("the restore did not come to its end, run it again with --force"):
        try:
            _copy_files(path, draft, manifest, tell)
            tell("restoring the database")
            _restore_database(path / ARCHIVE, manifest)
            _move_files(draft, manifest)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _check(manifest)
    return Restored(path, manifest, round(time.monotonic() - begin, 3))


def _refuse_links(manifest: Manifest) -> None:
    """Refuse a home in which the folder of a model would be reached through a link."""
    home = settings().home
    for place in _places(manifest):
        if link := first_link(home, str(PurePosixPath(place).parent)):
            raise BackupError(
                f"{home / place} would be replaced through a symbolic link, {link}: remove the link"
            )


def _refuse_server(connection: Connection, manifest: Manifest) -> None:
    scripts = ScriptDirectory.from_config(database.migrations(connection))
    if manifest.revision not in {script.revision for script in scripts.walk_revisions()}:
        raise BackupError(
            f"the backup's tables are of revision {manifest.revision}, made by version "
            f"{manifest.project}: restore it with that version"
        )
    server = server_version(connection)
    if server < manifest.server:
        raise BackupError(
            f"the backup is of PostgreSQL {manifest.postgres} and does not go into the older "
            f"{server}: use a server of {manifest.server} or newer"
        )


def _refuse_extensions(connection: Connection, manifest: Manifest) -> None:
    offered = dict(
        connection.execute(text("SELECT name, default_version FROM pg_available_extensions"))
        .tuples()
        .all()
    )
    if lacking := sorted(set(manifest.extensions) - set(offered)):
        raise BackupError(f"the server lacks extensions of the backup: {', '.join(lacking)}")
    wanted = manifest.extensions.get(TIMESCALE)
    if wanted and offered[TIMESCALE] != wanted:
        raise BackupError(
            f"the backup is of TimescaleDB {wanted}, the server has {offered[TIMESCALE]}: "
            "install that version, restore, then update the extension"
        )
    allowed = text("SELECT has_parameter_privilege('timescaledb.restoring', 'SET')")
    if wanted and not connection.scalar(allowed):
        raise BackupError(
            f"TimescaleDB is restored by a superuser, which {database.url('owner').username} is not"
        )


def _refuse_sessions(connection: Connection) -> None:
    if sessions := ", ".join(map(str, connection.scalars(text(_SESSIONS)))):
        raise BackupError(
            f"the database is in use by {sessions}: `sep down` on every machine "
            "that uses it stops the services"
        )


def _refuse_content(connection: Connection, manifest: Manifest) -> None:
    """Refuse a database with rows, a store with files, a model's folder that is there."""
    rows, home = count_rows(connection, _our_tables(connection)), settings().home
    filled = ", ".join(f"{name} {count:,}" for name, count in rows.items() if count)
    content = [f"rows in the database: {filled}"] if filled else []
    for place in (home / STORE, home / REMOVED):
        if files := [file for file in place.rglob("*") if file.is_file() and _counts(file)]:
            content.append(f"{place}: {len(files):,} files")
        if place.is_symlink():
            content.append(f"{place}: a symbolic link")
    content += [str(home / place) for place in _places(manifest) if os.path.lexists(home / place)]
    if content:
        raise BackupError(
            "restoring needs an empty database and an empty home, here is:\n"
            + "\n".join(content[:_SHOWN])
            + _more(content)
            + "\nWith --force all of that is deleted and replaced by the backup, for good."
        )


def _counts(file: Path) -> bool:
    return file.name != ".lock"


def _more(things: list[str]) -> str:
    return f"\nand {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""


def _our_tables(connection: Connection) -> list[str]:
    return sorted(set(inspect(connection).get_table_names()) & TABLES)


def _places(manifest: Manifest) -> list[str]:
    """Return the folders of models; one that lies in another goes with that."""
    places = set(manifest.models.values())
    return sorted(p for p in places if not places & set(map(str, PurePosixPath(p).parents)))


def _copy_files(path: Path, draft: Path, manifest: Manifest, tell: Tell) -> None:
    """Copy all files beside their places, each checked again as it is copied."""
    files = manifest.files
    _remove(draft)
    for number, file in enumerate(files, 1):
        if file.path == ARCHIVE:
            continue
        tell(f"copying {number:,} of {len(files):,}: {file.path}")
        if copy(path / file.path, draft / file.path).sha256 != file.sha256:
            raise BackupError(f"{path / file.path} changed while it was copied")


def _restore_database(archive: Path, manifest: Manifest) -> None:
    address, timescale = database.url("owner"), TIMESCALE in manifest.extensions
    with database.engine("owner").begin() as connection:
        server = server_version(connection)
        chosen = dump.programs(max(server, manifest.server))
        _drop_tables(connection)
        if timescale:
            connection.execute(text(f"DROP EXTENSION IF EXISTS {TIMESCALE} CASCADE"))
    database.engine("owner").dispose()
    with _restoring() if timescale else nullcontext():
        dump.restore(archive, address, chosen, server=server)
    with database.engine("owner").begin() as connection:
        for table in inspect(connection).get_table_names(schema=DERIVED):
            name = quoted_name(table, quote=True)
            connection.execute(DropTable(Table(name, MetaData(), schema=DERIVED)))
        for model, place in manifest.models.items():
            connection.execute(
                text("UPDATE model SET path = :path WHERE model_id = :model"),
                {"path": str(settings().home / place), "model": model},
            )


def _drop_tables(connection: Connection) -> None:
    """Take back all migrations: the archive brings its own tables."""
    if "alembic_version" not in inspect(connection).get_table_names():
        return
    try:
        command.downgrade(database.migrations(connection), "base")
    except CommandError as error:
        raise BackupError(f"the tables of the database are of a newer version: {error}") from error
    connection.execute(text("DROP TABLE alembic_version"))


@contextmanager
def _restoring() -> Iterator[None]:
    """Make TimescaleDB take rows of its own catalogue, as its manual says."""
    _separately(f"CREATE EXTENSION {TIMESCALE}")
    _separately("SELECT timescaledb_pre_restore()")
    try:
        yield
    finally:
        _separately("SELECT timescaledb_post_restore()")


def _separately(statement: str) -> None:
    """Run a statement in a session of its own: the extension is loaded once a session."""
    with database.engine("owner").begin() as connection:
        connection.execute(text(statement))
    database.engine("owner").dispose()


def _move_files(draft: Path, manifest: Manifest) -> None:
    """Put the copied folders into their places."""
    for place in (STORE, REMOVED, *_places(manifest)):
        source, target = draft / place, settings().home / place
        _remove(target)
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)


def _remove(path: Path) -> None:
    """Remove a folder, a file or a link, never what a link leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check(manifest: Manifest) -> None:
    """Compare rows and content hashes with the manifest, then bring the tables up to date."""
    with database.engine("owner").connect() as connection:
        rows = count_rows(connection, manifest.tables)
    store = BarStore(settings().home / STORE)
    try:
        content = {"/".join(key): store.content_hash(*key) for key in store.pairs()}
    except StoreError as error:
        raise BackupError(f"restored, but not as backed up: {error}") from error
    wrong = sorted(name for name, count in manifest.tables.items() if rows[name] != count)
    wrong += sorted(
        key for key in content | manifest.store if content.get(key) != manifest.store.get(key)
    )
    if wrong:
        raise BackupError(f"restored, but not as backed up: {', '.join(wrong)}")
    database.migrate()
