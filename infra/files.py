"""Files and folders of the home: whose they are, and writing that outlasts a power cut."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_native_id
from typing import IO, Final

from filelock import FileLock, Timeout

from infra.errors import SepError


class NoSpace(SepError, OSError):
    """A disk is full; the message names a folder on it."""


UMASK: Final = 0o077
"""Of all that we start: what it creates is its owner's alone."""

_NOTHING: Final = 1 << 16
"""Bytes; a disk that has fewer is full."""

_OWNER: Final = 0o700
_PASS: Final = 0o011
_POSTGRES: Final = "postgres"


def make_private(home: Path) -> None:
    """Create the home, and close it and its folders to other users of the machine.

    Where root runs PostgreSQL, that server's own user must pass through the home to its data; it
    sees nothing else there. The folder of the data belongs to that user and stays as it is.

    Parameters
    ----------
    home : Path
        `SEP_HOME`; one that an earlier version left open is closed.
    """
    home.mkdir(mode=_OWNER, parents=True, exist_ok=True)
    _restrict(home, _OWNER | (_PASS if os.geteuid() == 0 else 0))
    for path in home.iterdir():
        if path.name != _POSTGRES and path.is_dir() and not path.is_symlink():
            _restrict(path, _OWNER)


@contextmanager
def replaced(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a draft to be written, which takes the place of a file at the end: whole or not at all.

    Parameters
    ----------
    path : Path
        The file; readers see the old one or the new one.
    durable : bool
        Whether it must outlast a power cut from then on.

    Yields
    ------
    Path
        The draft beside it, its owner's alone; gone if the block raises.

    Raises
    ------
    NoSpace
        If the disk is full.
    """
    _clear_drafts(path)
    draft = path.with_name(f".{path.name}.{get_native_id()}.new")
    draft.touch(mode=0o600)
    try:
        yield draft
        if durable:
            sync(draft)
        draft.replace(path)
    except Exception as error:
        _tell_full(path.parent, error)
        raise
    finally:
        draft.unlink(missing_ok=True)
    if durable:
        sync(path.parent)


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock; the system frees that of a process that dies.

    Parameters
    ----------
    path : Path
        The lock's file; its folder is made.
    waiting : callable
        Called once if another holds the lock.
    """
    path.parent.mkdir(mode=_OWNER, parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_durably(pieces: Iterable[bytes], out: IO[bytes]) -> tuple[int, str]:
    """Write durably; return size and hash.

    Parameters
    ----------
    pieces : iterable of bytes
    out : binary file
        Open for writing; stays open.

    Returns
    -------
    int
        Bytes written.
    str
        SHA-256 of them, hexadecimal.
    """
    size, digest = 0, hashlib.sha256()
    for piece in pieces:
        out.write(piece)
        digest.update(piece)
        size += len(piece)
    out.flush()
    os.fsync(out.fileno())
    return size, digest.hexdigest()


def sync(path: Path) -> None:
    """Make durable what is in a file, or what was created, renamed or removed in a folder."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def free_bytes(folder: Path) -> int:
    """Return how much can be written where a folder is, or will be."""
    present = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(present).free


def is_full(folder: Path) -> bool:
    """Say whether next to nothing can be written where a folder is, or will be."""
    return free_bytes(folder) < _NOTHING


def _tell_full(folder: Path, error: Exception) -> None:
    """Say that a disk is full: of that writers of Parquet tell as of a damaged file.

    Raises
    ------
    NoSpace
        If it is.
    """
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or is_full(folder):
        raise NoSpace(f"no space left on {folder}: free some, then retry") from error


def _clear_drafts(path: Path) -> None:
    """Remove what writers left that died: a draft bears the number of its thread."""
    for draft in path.parent.glob(f".{path.name}.*.new"):
        if not Path("/proc", draft.suffixes[-2][1:]).exists():
            draft.unlink(missing_ok=True)


def _restrict(folder: Path, most: int) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & ~most:
        with suppress(PermissionError):  # another user's: not ours to close
            folder.chmod(mode & most)
