"""What earlier runs found out: a line an answer, so that a run goes on where another was killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from infra.errors import SepError
from infra.files import locked
from tasks.gate.checks import checks
from tasks.gate.rehearsal import Judge
from tasks.gate.selftest.jobs import Found, Job
from tasks.version import COMPUTES, code_digest

JUDGES: Final = (
    *COMPUTES,
    "tasks/audit/*.py",
    "tasks/gate/**/*.py",
    "tasks/reports/calibration.py",
)
"""What decides an answer."""


class NotOurs(SepError, ValueError):
    """A file has lines that no self-test wrote."""


def version_of(judge: Judge = checks) -> str:
    """Return what answers hang on: digits of the code, and the gate that judged.

    Parameters
    ----------
    judge : callable
        The gate.
    """
    return f"{code_digest(JUDGES)} {judge.__module__}.{judge.__qualname__}"


class Kept:
    """A file of answers; those of other code are left as they are, and not read.

    Parameters
    ----------
    path : Path
    judge : callable
        The gate.
    """

    def __init__(self, path: Path, judge: Judge = checks) -> None:
        self.path, self.version = path, version_of(judge)

    def read(self) -> dict[Job, Found]:
        """Return the answers of this code; a line that a killed run left torn is none.

        Raises
        ------
        NotOurs
            If the file is something else.
        """
        text = self.path.read_text(errors="replace") if self.path.exists() else ""
        found: dict[Job, Found] = {}
        for line in text.splitlines():
            row = _whole(line)
            if row is not None and row["version"] == self.version:
                found[Job(**row["job"])] = row["found"]
        if text.strip() and not any(map(_whole, text.splitlines()[:2])):
            raise NotOurs(f"{self.path} has no answers of a self-test: name another file")
        return found

    def clear(self) -> None:
        """Forget all answers.

        Raises
        ------
        NotOurs
            If the file is something else.
        """
        self.read()
        self.path.unlink(missing_ok=True)

    @contextmanager
    def adding(
        self, waiting: Callable[[], None] = lambda: None
    ) -> Iterator[Callable[[Job, Found], None]]:
        """Give a function that keeps an answer at once; another run must wait.

        Parameters
        ----------
        waiting : callable
            Called once if another run holds the file.
        """
        lock = self.path.with_name(f".{self.path.name}.lock")
        with locked(lock, waiting=waiting), self.path.open("a+b") as file:
            if _is_torn(file):
                file.write(b"\n")

            def add(job: Job, found: Found) -> None:
                row = {"version": self.version, "job": asdict(job), "found": found}
                file.write(json.dumps(row).encode() + b"\n")
                file.flush()

            yield add


def _is_torn(file: IO[bytes]) -> bool:
    """Say whether the last line has no end."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _whole(line: str) -> Found | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    whole = isinstance(row, dict) and row.keys() >= {"version", "job", "found"}
    return row if whole else None
