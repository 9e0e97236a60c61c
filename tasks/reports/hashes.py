"""What a result hangs on, as hashes: bars, code, model and environment."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from tasks.research.model import Frozen


def hashes(frozen: Frozen, model: Path) -> dict[str, str]:
    """Return the hash of each thing that decides a report.

    Parameters
    ----------
    frozen : Frozen
    model : Path
        The model's file.

    Returns
    -------
    dict
        ``data`` and that of each further series by name, ``code`` (release and 8 digits),
        ``model`` (of its file) and ``environment``.
    """
    groups = (frozen.lead_hashes, frozen.pool_hashes, frozen.stream_hashes)
    others = {f"data of {name}": digest for each in groups for name, digest in each.items()}
    told = hashlib.sha256(model.read_bytes()).hexdigest()
    return {
        "data": frozen.data_hash,
        **dict(sorted(others.items())),
        "code": frozen.code_version,
        "model": told,
        "environment": environment(),
    }


@cache
def environment() -> str:
    """Return a hash of the Python version and of every installed package with its version."""
    installed = {f"{each.metadata['Name']}=={each.version}".lower() for each in distributions()}
    lines = [f"python=={platform.python_version()}", *sorted(installed)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
