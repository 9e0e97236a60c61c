"""Signals of a strategy on the screen."""

from __future__ import annotations

from typing import Final

import polars as pl
from rich.console import Console
from rich.table import Table

from tasks.strategy.language.program import Program

MOST: Final = 50
"""Rows of a table; more are for a file."""


def show(console: Console, program: Program, signals: pl.DataFrame) -> None:
    """Print the newest signals, and how many there are of each.

    Parameters
    ----------
    console : rich.console.Console
    program : Program
    signals : polars.DataFrame
    """
    table = Table("bar", "signal", "action", "stop", "target", "bars", "size", box=None)
    for row in signals.tail(MOST).iter_rows(named=True):
        numbers = (_number(row[name]) for name in ("stop", "target", "horizon", "size"))
        table.add_row(f"{row['timestamp']:%Y-%m-%d %H:%M}", row["signal"], row["action"], *numbers)
    if signals.height:
        console.print(table)
    if signals.height > MOST:
        console.print(f"the last {MOST} of {signals.height:,}: --csv writes all")
    console.print(f"{program.name}: {told(signals)}")


def told(signals: pl.DataFrame) -> str:
    """Return how many signals there are of each name."""
    counts = signals.group_by("signal", maintain_order=True).len()
    each = ", ".join(f"{count:,} {name}" for name, count in counts.iter_rows())
    return f"{signals.height:,} signals" + (f": {each}" if each else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
