"""The numba engine: one module a kernel.

numba looks at the file of a function alone to tell whether what it compiled is still right, though
other files may hold what it calls. So each state of these files has a cache of its own.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numba

from kernels.compiler import cache_folder


def cache_of(folder: Path) -> Path:
    """Return where code compiled from the sources of a folder is kept."""
    digest = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        digest.update(repr((source.name, source.read_bytes())).encode())
    return cache_folder().with_name("numba") / digest.hexdigest()[:16]


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(cache_of(Path(__file__).parent))  # type: ignore[attr-defined]
