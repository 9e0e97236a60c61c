"""The table of instruments that comes with the program, `instruments.csv`."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any, Final, get_type_hints

from infra.market.instrument import Instrument

PATH: Final = Path(__file__).with_name("instruments.csv")


@cache
def shipped() -> dict[str, Instrument]:
    """Return the instruments of the table by name."""
    with PATH.open(newline="") as file:
        rows = [_instrument(row) for row in csv.DictReader(file)]
    return {row.name: row for row in rows}


def _instrument(row: dict[str, str]) -> Instrument:
    read = {**get_type_hints(Instrument), **dict.fromkeys(("estimate", "aliases"), _words)}
    fields: dict[str, Any] = {name: read[name](text) for name, text in row.items()}
    return Instrument(**fields)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())
