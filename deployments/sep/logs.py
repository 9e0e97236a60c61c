"""The logs of what runs in the background."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

_PAUSE = 0.3  # seconds between two looks at files that are followed


def log_files(home: Path, part: str | None = None) -> list[Path]:
    """Return the log files whose name holds `part`, all without it.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    part : str, optional
        Such as "worker".

    Raises
    ------
    FileNotFoundError
        If there is none; the message names those that there are.
    """
    every = sorted((home / "logs").glob("*.log"))
    chosen = [path for path in every if part is None or part in path.stem]
    if not chosen:
        names = ", ".join(path.stem for path in every) or "none yet: `sep up` makes them"
        wanted = "no log" if part is None else f"no log of {part!r}"
        raise FileNotFoundError(f"{wanted} under {home / 'logs'}; there are: {names}")
    return chosen


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a file, reading only its end.

    Parameters
    ----------
    path : Path
    lines : int
        How many, at most.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 400 * max(lines, 1)))
        return file.read().decode(errors="replace").splitlines()[-lines:] if lines else []


def follow(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each file with the lines written to it from now on, for ever."""
    places = {path: path.stat().st_size for path in paths}
    while True:
        for path, place in places.items():
            with path.open("rb") as file:
                file.seek(place if place <= path.stat().st_size else 0)
                for line in file:
                    yield path, line.decode(errors="replace").rstrip("\n")
                places[path] = file.tell()
        time.sleep(_PAUSE)
