"""The manifest of a backup: what is in it, each file with its hash, and the check of both.

Its guard finds damage, not malice: anyone can make one. So each name in it is checked as it is
read, before it becomes a path or reaches the database.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from infra.errors import SepError
from infra.files import sync, write_durably

FORMAT: Final = 1
ARCHIVE: Final = "database.dump"
MANIFEST: Final = "manifest.json"
GUARD: Final = "manifest.sha256"
STORE: Final = "bars"
REMOVED: Final = "removed"
RUNS: Final = "runs"

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

Tell = Callable[[str], None]
"""What hears of progress."""


class BackupError(SepError, RuntimeError):
    """A backup was not made, or is not whole; the message names the cause or the files."""


def safe_name(name: str) -> bool:
    """Say whether a path of a manifest stays below the folder it is joined to, in one spelling."""
    path = PurePosixPath(name)
    plain = bool(path.parts) and str(path) == name and "\0" not in name
    return plain and not path.is_absolute() and ".." not in path.parts


def model_folder(name: str) -> bool:
    """Say whether a path is one at which a model may lie: at least two folders below `runs`."""
    parts = PurePosixPath(name).parts
    return safe_name(name) and len(parts) >= 3 and parts[0] == RUNS


def _file(name: str) -> str:
    if not safe_name(name):
        raise ValueError(f"names a file outside of itself, or not plainly: {name!r}")
    return name


def _folder(name: str) -> str:
    if not model_folder(name):
        raise ValueError(f"a model's folder lies at {RUNS}/<flow>/<run>, not at {name!r}")
    return name


def _model(name: str) -> str:
    if not name or "\0" in name:
        raise ValueError(f"{name!r} is no model")
    return name


def _moment(value: str) -> str:
    datetime.fromisoformat(value)
    return value


def _like(pattern: str, what: str) -> AfterValidator:
    """Return what refuses a text that does not match as a whole."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"{value[:200]!r} is no {what}")
        return value

    return AfterValidator(check)


_WORD = "[A-Z0-9]+(_[A-Z0-9]+)*"
_Count = Annotated[int, Field(ge=0)]
_Hash = Annotated[str, _like("[0-9a-f]{64}", "SHA-256 hash")]
_Model = Annotated[str, AfterValidator(_model)]
_Table = Annotated[str, _like("[a-z_][a-z0-9_]*", "name of a table")]
_Bars = Annotated[str, _like(f"{_WORD}/{_WORD}", "pair/timeframe")]
_Server = Annotated[str, _like(r"\d{1,4}([.a-z][.a-z0-9]*)?", "version of PostgreSQL")]


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

    __pydantic_config__ = _STRICT

    path: Annotated[str, AfterValidator(_file)]
    bytes: _Count
    sha256: _Hash
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

    __pydantic_config__ = _STRICT

    format: int
    taken_at: Annotated[str, AfterValidator(_moment)]
    seconds: float
    project: str
    revision: str
    postgres: _Server
    extensions: dict[str, str]
    tables: dict[_Table, _Count]
    store: dict[_Bars, _Hash]
    models: dict[_Model, Annotated[str, AfterValidator(_folder)]]
    missing: list[_Model]
    files: list[File]

    @property
    def bytes(self) -> int:
        """Size of all files, shared ones included."""
        return sum(file.bytes for file in self.files)

    @property
    def server(self) -> int:
        """Major version of the server."""
        return int(re.split("[.a-z]", self.postgres)[0])


@dataclass(frozen=True)
class _Heading:
    """What a manifest of any version has."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")

    format: int
    project: str


def _whole(manifest: Manifest) -> Manifest:
    """Refuse files that are named twice, belong to nothing, or lie below a file."""
    names = {file.path for file in manifest.files}
    places = {STORE, REMOVED, *manifest.models.values()}
    if len(names) < len(manifest.files):
        raise ValueError("it names a file twice")
    if ARCHIVE not in names:
        raise ValueError(f"it does not name {ARCHIVE}")
    for name in sorted(names - {ARCHIVE}):
        above = {str(folder) for folder in PurePosixPath(name).parents}
        if not above & places:
            raise ValueError(f"{name!r} is neither of the bulk store nor of a model")
        if nested := above & names:
            raise ValueError(f"{nested.pop()!r} is a file, and the folder of {name!r}")
    return manifest


_HEADING = TypeAdapter(_Heading)
_MANIFEST = TypeAdapter(Manifest)


def silent(_: str) -> None:
    """Hear of progress, say nothing."""


def read(path: Path) -> Manifest:
    """Return the manifest of a backup.

    Raises
    ------
    BackupError
        If it is missing, damaged, malformed or of another version.
    """
    try:
        content, expected = (_content(path, name) for name in (MANIFEST, GUARD))
    except OSError as error:
        raise BackupError(f"{path} is no whole backup: {error}") from error
    if expected != guard(content):
        raise BackupError(f"{path / MANIFEST} is damaged: it does not match {GUARD}")
    return _parse(path, content)


def _content(path: Path, name: str) -> bytes:
    if irregular := _irregular(path, name):
        raise BackupError(f"{path / name} {irregular}")
    return (path / name).read_bytes()


def _parse(path: Path, content: bytes) -> Manifest:
    try:
        heading = _HEADING.validate_json(content)
        if heading.format != FORMAT:
            raise BackupError(
                f"{path} has format {heading.format}, made by version {heading.project}: "
                "restore it with that version"
            )
        return _whole(_MANIFEST.validate_json(content))
    except ValueError as error:
        raise BackupError(f"{path / MANIFEST} is malformed: {_cause(error)}") from error


def _cause(error: ValueError) -> str:
    """Return the first fault of a manifest: where it is, and what."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where = " / ".join(str(part) if isinstance(part, int) else repr(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def verify(path: Path, *, tell: Tell = silent) -> list[str]:
    """Check every file of a backup against its manifest.

    Parameters
    ----------
    path : Path
        Folder of the backup.
    tell : callable
        Hears of progress.

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
        if problem := fault(path, file):
            faults.append(f"{path / file.path} {problem}")
    return faults


def write(draft: Path, manifest: Manifest) -> None:
    """Write the manifest and its guard durably; every folder of the backup is durable then.

    Parameters
    ----------
    draft : Path
        Folder of the backup, its other files already there.
    manifest : Manifest

    Raises
    ------
    BackupError
        If the manifest is one that `read` would refuse.
    """
    content = json.dumps(asdict(manifest), indent=1).encode()
    _parse(draft, content)
    for name, data in ((MANIFEST, content), (GUARD, guard(content))):
        with (draft / name).open("xb") as out:
            write_durably([data], out)
    for folder in {path.parent for path in draft.rglob("*")}:
        sync(folder)


def guard(content: bytes) -> bytes:
    """Return what `sha256sum` writes of the manifest."""
    return f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n".encode()


def fault(folder: Path, file: File) -> str | None:
    """Say what is wrong with a file of a backup, None if it is as the manifest says.

    Parameters
    ----------
    folder : Path
        Of the backup.
    file : File
        What the manifest says of it.

    Returns
    -------
    str or None
        To be put after the file's path: "is missing".
    """
    path = folder / file.path
    try:
        if irregular := _irregular(folder, file.path):
            return irregular
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


def _irregular(folder: Path, name: str) -> str | None:
    """Say what keeps a path from being a regular file, reached through no symbolic link."""
    if link := first_link(folder, name):
        same = link == folder / name
        return "is a symbolic link" if same else f"is reached through a symbolic link, {link}"
    return None if stat.S_ISREG((folder / name).lstat().st_mode) else "is no regular file"


def first_link(folder: Path, name: str) -> Path | None:
    """Return the first symbolic link on the way from a folder to a path below it.

    Parameters
    ----------
    folder : Path
        May be a link itself.
    name : str
        Path below the folder, with slashes.
    """
    path = PurePosixPath(name)
    steps = [folder / step for step in (*reversed(path.parents), path) if step.parts]
    return next((step for step in steps if step.is_symlink()), None)
