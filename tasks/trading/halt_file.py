"""The halt file: halting that needs nothing but a disk, and counts where it cannot be read.

`SEP_HOME/halt` holds a list of halts as JSON. Anything else in it, nothing at all included, halts
every account: `touch halt` in the home is enough.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from infra.files import locked, replaced

ALL: Final = "*"
"""Of an account or a pair: every one."""


@dataclass(frozen=True)
class Halt:
    """No new entries: of an account (or all), in a pair (or all), until a time (or for good)."""

    account: str
    pair: str
    who: str
    why: str
    until: datetime | None
    at: datetime | None

    def __str__(self) -> str:
        ends = f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        return f"{self.why} ({self.who}{ends})"

    def counts(self, now: datetime) -> bool:
        """Say whether it has not run out."""
        return self.until is None or self.until > now


def path_of(home: Path) -> Path:
    """Return where the halt file of a home is."""
    return home / "halt"


def read(home: Path) -> list[Halt]:
    """Return the halts on file; a file that says nothing of use is one for all."""
    path = path_of(home)
    try:
        return [_halt(row) for row in json.loads(path.read_bytes())] or [_unread(path, "is empty")]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return [_unread(path, f"cannot be read ({type(error).__name__})")]


def add(home: Path, halt: Halt) -> None:
    """Put a halt on file in place of that of the same account and pair; on a full disk, one of all.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    halt : Halt

    Raises
    ------
    OSError
        If not even an empty file can be made.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with locked(home / "run" / "halt.lock"):
            others = [each for each in read(home) if _key(each) != _key(halt)]
            _write(path_of(home), [*others, halt])
    except OSError:
        path_of(home).write_bytes(b"")  # takes no room, and halts all


def lift(home: Path, pair: str | None) -> list[Halt]:
    """Take halts off file, and return them.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    pair : str or None
        That of this pair alone; None: all.
    """
    with locked(home / "run" / "halt.lock"):
        present = read(home)
        gone = [each for each in present if pair is None or each.pair == pair]
        kept = [each for each in present if each not in gone]
        if kept and gone:
            _write(path_of(home), kept)
        elif gone:
            path_of(home).unlink(missing_ok=True)
    return gone


def _write(path: Path, halts: list[Halt]) -> None:
    rows = [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row}
        for row in (asdict(halt).items() for halt in halts)
    ]
    with replaced(path, durable=True) as draft:
        draft.write_text(json.dumps(rows, indent=1))


def _halt(row: dict[str, Any]) -> Halt:
    until, at = (None if row[name] is None else _time(row[name]) for name in ("until", "at"))
    return Halt(str(row["account"]), str(row["pair"]), str(row["who"]), str(row["why"]), until, at)


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment


def _unread(path: Path, why: str) -> Halt:
    return Halt(ALL, ALL, "nobody knows", f"the halt file {path} {why}", None, None)


def _key(halt: Halt) -> tuple[str, str]:
    return halt.account, halt.pair
