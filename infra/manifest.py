"""The manifest of a backup: what is in it, each file with its hash, and the check of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from infra import durable

FORMAT: Final = 1
ARCHIVE: Final = "database.dump"
MANIFEST: Final = "manifest.json"
GUARD: Final = "manifest.sha256"

Tell = Callable[[str], None]
"""What hears of progress."""


class BackupError(RuntimeError):
    """A backup was not made, or is not whole; the message names the cause or the files."""


@dataclass(frozen=True)
class File:
    """A file of a backup.

    Attributes
    ----------
    path : str
        Where it lies in the backup and, but for the archive, under the home.
    bytes : int
    sha256 : str
    modified : int
        When the original was changed last, nanoseconds since 1970.
    """

    path: str
    bytes: int
    sha256: str
    modified: int


@dataclass(frozen=True)
class Manifest:
    """What is in a backup.

    Attributes
    ----------
    format : int
        Version of this description.
    taken_at : str
        ISO time at which the database was looked at.
    seconds : float
        What the backup took.
    project : str
        Version of the project.
    revision : str
        Revision of the tables.
    postgres : str
        Version of the server.
    extensions : dict[str, str]
        Extension to version.
    tables : dict[str, int]
        Table to number of rows.
    store : dict[str, str]
        `pair/timeframe` to the content hash of its bars.
    models : dict[str, str]
        Model to its folder; those whose folder was not there are in `missing`.
    missing : list of str
    files : list of File
        Every file but the manifest and its guard.
    """

    format: int
    taken_at: str
    seconds: float
    project: str
    revision: str
    postgres: str
    extensions: dict[str, str]
    tables: dict[str, int]
    store: dict[str, str]
    models: dict[str, str]
    missing: list[str]
    files: list[File]

    @property
    def bytes(self) -> int:
        """Size of all files, shared ones included."""
        return sum(file.bytes for file in self.files)

    @property
    def server(self) -> int:
        """Major version of the server."""
        return int(self.postgres.split(".")[0])


def silent(_: str) -> None:
    """Hear of progress, say nothing."""


def read(path: Path) -> Manifest:
    """Return the manifest of a backup.

    Raises
    ------
    BackupError
        If it is missing, damaged or of another version.
    """
    try:
        content, said = (path / MANIFEST).read_bytes(), (path / GUARD).read_bytes()
    except OSError as error:
        raise BackupError(f"{path} is no whole backup: {error}") from error
    if said != guard(content):
        raise BackupError(f"{path / MANIFEST} is damaged: it does not match {GUARD}")
    fields = json.loads(content)
    if fields["format"] != FORMAT:
        raise BackupError(
            f"{path} has format {fields['format']}, made by version {fields['project']}: "
            "restore it with that version"
        )
    return Manifest(**{**fields, "files": [File(**file) for file in fields["files"]]})


def verify(path: Path, *, tell: Tell = silent) -> list[str]:
    """Check every file of a backup against its manifest.

    Returns
    -------
    list of str
        A line for each file that is missing or damaged, with its name; empty if all is well.
    """
    try:
        files = read(path).files
    except BackupError as error:
        return [str(error)]
    faults = []
    for number, file in enumerate(files, 1):
        tell(f"checking {number:,} of {len(files):,}: {file.path}")
        if found := fault(path / file.path, file):
            faults.append(f"{path / file.path} {found}")
    return faults


def write(draft: Path, manifest: Manifest) -> None:
    """Write the manifest and its guard durably; every folder of the backup is durable then."""
    content = json.dumps(asdict(manifest), indent=1).encode()
    for name, data in ((MANIFEST, content), (GUARD, guard(content))):
        with (draft / name).open("xb") as out:
            durable.write([data], out)
    for folder in {path.parent for path in draft.rglob("*")}:
        durable.sync(folder)


def guard(content: bytes) -> bytes:
    """Return what `sha256sum` writes of the manifest."""
    return f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n".encode()


def fault(path: Path, file: File) -> str | None:
    """Say what is wrong with a file, None if it is as the manifest says."""
    try:
        size = path.stat().st_size
        if size != file.bytes:
            return f"is damaged: {size:,} bytes instead of {file.bytes:,}"
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if digest == file.sha256 else "is damaged: its hash is not that of the manifest"


def safe_name(name: str) -> bool:
    """Say whether a path of a manifest stays below the folder it is joined to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)
