"""What is on record, and what moved since."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.regression.cases import Figure, Figures

FILE: Final = Path(__file__).parent / "expected.json"
RELATIVE: Final = 1e-7
ABSOLUTE: Final = 1e-9
"""What a figure may move by from machine to machine. One thread or two, and linear algebra for
processors with and without AVX2, move figures by 3e-11 of themselves at most, the closest decision
by 8e-9. Kernels compiled without AVX2 and FMA move choices: no tolerance is for that."""
COUNTED: Final = 2e-3
SHARES: Final = ("gate: probability of backtest overfitting", "gate: superior predictive ability")
"""Shares of splits and of draws: among the sets that are ranked are equals, and one of the 12,870
splits falls here or there."""

Record = Mapping[str, Figures]


class Moved(NamedTuple):
    """A figure that is not what is on record."""

    case: str
    name: str
    stored: Figure
    now: Figure

    @property
    def difference(self) -> str:
        if _number(self.stored) and _number(self.now):
            return f"{float(self.now or 0) - float(self.stored or 0):+.3g}"
        return "other"


def read(path: Path = FILE) -> Record:
    """Return what is on record; nothing where there is no file."""
    found: dict[str, Figures] = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(record: Record, path: Path = FILE) -> None:
    """Put figures on record, to nine digits: more says nothing."""
    rounded = {case: {n: _rounded(v) for n, v in each.items()} for case, each in record.items()}
    path.write_text(json.dumps(rounded, indent=1, allow_nan=False) + "\n")


def moved(stored: Record, now: Record) -> list[Moved]:
    """Return all figures that moved, came or went."""
    return [
        Moved(case, name, before, after)
        for case in _names(stored, now)
        for name in _names(stored.get(case, {}), now.get(case, {}))
        if not _same(
            name,
            before := stored.get(case, {}).get(name, "(none)"),
            after := now.get(case, {}).get(name, "(none)"),
        )
    ]


def table(rows: list[Moved]) -> Iterator[str]:
    """Yield a line a figure that moved: name, stored, now, difference."""
    cells = [("figure", "stored", "now", "difference")]
    for each in rows:
        values = (_shown(each.stored), _shown(each.now))
        cells.append((f"{each.case}: {each.name}", *values, each.difference))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()


def _names(*of: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for each in of for name in each))


def _number(value: Figure) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(name: str, stored: Figure, now: Figure) -> bool:
    """Say whether a figure is as it was: exactly, or, of two fractions, about."""
    if isinstance(stored, float) and isinstance(now, float):
        off = COUNTED if name in SHARES else ABSOLUTE
        return math.isclose(stored, now, rel_tol=RELATIVE, abs_tol=off)
    return type(stored) is type(now) and stored == now


def _rounded(value: Figure) -> Figure:
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _shown(value: Figure) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    return value[:16] if isinstance(value, str) else str(value)
