"""The files that a user names: ordinary ones, or a sentence that says what else it is."""

from __future__ import annotations

import glob
import stat
from pathlib import Path
from typing import Final

from infra.sources.archive import members
from infra.sources.columns import SourceError

_KINDS: Final = {
    stat.S_IFDIR: "a folder: name a file in it",
    stat.S_IFIFO: "a pipe, which may never end: write what comes out of it to a file",
    stat.S_IFCHR: "a device, which may never end: write what comes out of it to a file",
    stat.S_IFBLK: "a disk: name a file on it",
    stat.S_IFSOCK: "a socket: name a file",
}

_TEXTS: Final = (".csv", ".txt", ".tsv", ".prn", ".xlsx")
_PACKED: Final = (".zip", ".gz", ".bz2", ".xz", ".zst")
_COLUMNAR: Final = (".parquet", ".pq", ".feather", ".arrow", ".ipc", ".npy")
_SUFFIXES: Final = frozenset((*_TEXTS, *_PACKED, *_COLUMNAR))
MOST_FILES: Final = 10_000


def files(path: Path) -> list[Path]:
    """Return the files that a path means: itself, all in a folder, all that a pattern matches.

    Texts of a zip count one by one, as `bars.zip/name.csv`.

    Raises
    ------
    SourceError
        If there is none, there are more than 10,000, or one is no ordinary file.
    """
    try:
        there = path.expanduser().exists()
        folder = there and path.expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):
        there = folder = False
    if folder:
        return _of_many(sorted(path.expanduser().rglob("*")), path)
    if not there and glob.has_magic(str(path)):
        return _of_many(sorted(map(Path, glob.iglob(str(path.expanduser()), recursive=True))), path)
    return members(regular(path))


def _of_many(found: list[Path], path: Path) -> list[Path]:
    """Return the files of bars among those of a folder or pattern, in the order of their names."""
    visible = [file for file in found if not file.name.startswith(".") and file.is_file()]
    kept = [file for file in visible if file.suffix.lower() in _SUFFIXES]
    if not kept or len(kept) > MOST_FILES:
        kinds = ", ".join(sorted(_SUFFIXES))
        raise SourceError(f"{path} holds {len(kept):,} files of bars ({kinds}): name others")
    return [part for file in kept for part in members(regular(file))]


def regular(path: Path) -> Path:
    """Return where a file really lies; `~` and links are followed, nothing is opened.

    Raises
    ------
    SourceError
        If it is missing or out of reach, or anything but an ordinary file.
    """
    try:
        resolved = path.expanduser().resolve(strict=True)
        kind = stat.S_IFMT(resolved.stat().st_mode)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        where = "" if path.is_absolute() else " (name the whole path: who reads it works elsewhere)"
        raise SourceError(f"{str(path)!r} cannot be read: {reason}{where}") from error
    if kind != stat.S_IFREG:
        raise SourceError(f"{path} is {_KINDS.get(kind, 'no file: name one')}")
    return resolved
