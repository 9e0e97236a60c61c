"""Files and folders of the home: whose they are."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

UMASK: Final = 0o077
"""Of all that we start: what it creates is its owner's alone."""

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


def _restrict(folder: Path, most: int) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & ~most:
        with suppress(PermissionError):  # another user's: not ours to close
            folder.chmod(mode & most)
