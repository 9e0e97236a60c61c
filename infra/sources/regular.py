"""The file that a user names: an ordinary one, or a sentence that says what it is instead."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from infra.sources.columns import SourceError

_KINDS: Final = {
    stat.S_IFDIR: "a folder: name a file in it",
    stat.S_IFIFO: "a pipe, which may never end: write what comes out of it to a file",
    stat.S_IFCHR: "a device, which may never end: write what comes out of it to a file",
    stat.S_IFBLK: "a disk: name a file on it",
    stat.S_IFSOCK: "a socket: name a file",
}


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
        raise SourceError(f"{str(path)!r} cannot be read: {reason}") from error
    if kind != stat.S_IFREG:
        raise SourceError(f"{path} is {_KINDS.get(kind, 'no file: name one')}")
    return resolved
