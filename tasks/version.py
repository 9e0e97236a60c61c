"""The version of the code that computed something."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
COMPUTES = (
    "infra/bars.py",
    "infra/market/*.py",
    "infra/market/instruments.csv",
    "kernels/**/*.py",
    "kernels/**/*.cu",
    "tasks/live/cycle.py",
    "tasks/live/newest.py",
    "tasks/live/streams.py",
    "tasks/research/**/*.py",
    "tasks/rules/**/*.py",
    "tasks/strategy/**/*.py",
)
"""What decides a number; how steps are run, stored and shown does not."""


@cache
def code_version() -> str:
    """Return the release and 8 digits of the code that decides numbers: 0.1.0+1a2b3c4d."""
    return f"{version('sep-trader')}+{code_digest(COMPUTES)}"


@cache
def code_digest(patterns: tuple[str, ...]) -> str:
    """Return 8 digits of the files that these patterns name, from the project's folder."""
    digest = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(PROJECT.glob(pattern)):
            digest.update(path.relative_to(PROJECT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
