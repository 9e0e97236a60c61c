"""Writing that outlasts a power cut."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO


def write(pieces: Iterable[bytes], out: IO[bytes]) -> tuple[int, str]:
    """Write durably; return size and hash."""
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
