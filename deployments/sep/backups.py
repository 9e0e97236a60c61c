"""Backups on the command line: made, listed, checked and restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.parts import parts
from deployments.services import exclusive
from infra.backups.backup import find
from infra.backups.manifest import BackupError, read, verify
from infra.backups.restore import restore as restore_backup
from infra.records import alive
from infra.servers import postgres
from infra.settings import Settings
from tasks.upkeep.backup import backup_all, backup_folder


def make(console: Console, folder: Path | None) -> None:
    """Make a backup and say what is in it.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    folder : Path, optional
        Of backups; None: that of the settings.
    """
    with console.status("backup") as status:
        made = backup_all(folder, tell=status.update)
    console.print(
        f"{made['path']}: {made['files']:,} files, {_size(made['bytes'])}, {made['rows']:,} rows, "
        f"{made['shared']:,} files shared with the backup before, {made['seconds']:.1f} s"
    )
    if made["missing"]:
        console.print(f"models without their folder: {', '.join(made['missing'])}")
    if made["removed"]:
        console.print(f"removed, {len(made['kept'])} are kept: {', '.join(made['removed'])}")


def show(console: Console, folder: Path | None) -> None:
    """List the backups of a folder, the newest last.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    folder : Path, optional
        Of backups; None: that of the settings.
    """
    place = folder or backup_folder()
    copies = find(place)
    if not copies:
        console.print(f"no backups in {place}: `sep backup` makes one")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("backup, by its time", no_wrap=True, min_width=len(copies[0].name))
    for heading in ("files", "size", "rows", "version", "PostgreSQL"):
        table.add_column(heading, no_wrap=True, justify="right")
    for path in copies:
        table.add_row(path.name, *_line(path))
    console.print(table)
    console.print(f"in {place}")


def check(console: Console, folder: Path | None, path: Path) -> bool:
    """Check every file of a backup, a line for each that is missing or damaged.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    folder : Path, optional
        Of backups; None: that of the settings.
    path : Path
        Of the backup.
    """
    with console.status("checking") as status:
        faults = verify(_chosen(folder, path), tell=status.update)
    for fault in faults or [f"{_chosen(folder, path)}: every file is as it was backed up"]:
        console.print(fault, soft_wrap=True)
    return not faults


def restore(settings: Settings, console: Console, path: Path, *, force: bool) -> None:
    """Restore a backup; the embedded server runs only as long as that takes.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    console : rich.console.Console
        Where it is shown.
    path : Path
        Of the backup.
    force : bool
        Whether what is there may be overwritten.
    """
    with exclusive(settings.home, console):
        _refuse_services(settings)
        with _server(settings), console.status("checking") as status:
            done = restore_backup(_chosen(None, path), force=force, tell=status.update)
    manifest = done.manifest
    console.print(
        f"restored into {settings.home}: {len(manifest.files):,} files, "
        f"{sum(manifest.tables.values()):,} rows, of {manifest.taken_at}, in {done.seconds:.1f} s; "
        "`sep up` goes on from there"
    )


def _refuse_services(settings: Settings) -> None:
    others = [part for part in parts(settings) if part.name != postgres.NAME]
    if running := [part.title for part in others if alive(settings.home, part.name)]:
        raise BackupError(f"these run: {', '.join(running)}. Stop them first: `sep down`")


@contextmanager
def _server(settings: Settings) -> Iterator[None]:
    """Start the embedded server where it is the one to use, and stop it if it did not run."""
    if settings.database_url or postgres.find(settings.home):
        yield
        return
    postgres.start(settings.home)
    try:
        yield
    finally:
        postgres.stop(settings.home)


def _chosen(folder: Path | None, path: Path) -> Path:
    """Return a backup by its path, or by its name among the others."""
    return path if path.exists() else (folder or backup_folder()) / path


def _line(path: Path) -> tuple[str, ...]:
    try:
        manifest = read(path)
    except BackupError as error:
        return (f"[red]{escape(str(error))}[/]",)
    files, rows = f"{len(manifest.files):,}", f"{sum(manifest.tables.values()):,}"
    return files, _size(manifest.bytes), rows, manifest.project, manifest.postgres


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
