"""Reports on the command line: found by run, folder, file or model, and compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.errors import SepError
from infra.settings import settings
from tasks.folder import RunFolder
from tasks.reports.difference import Difference, Differs, difference
from tasks.research import registry

MOST: Final = 60
"""Figures that are listed; `--json` tells all."""


class NoReport(SepError, LookupError):
    """There is no report of what was named; the message says how one is made."""


@dataclass(frozen=True)
class Result:
    """A result: its summary, and its signals if they are still there."""

    summary: dict[str, Any]
    signals: pl.DataFrame | None


def report_of(what: str) -> Path:
    """Return where the report of a run or a model lies.

    Raises
    ------
    NoReport
        If there is none.
    """
    path = _folder_of(what).report
    if not path.is_file():
        raise NoReport(f"{path} is not there: its run failed, or its report was removed")
    return path.resolve()


def diff(console: Console, ours: str, theirs: str, *, as_json: bool = False) -> int:
    """Show what differs between two results; return 1 where anything does.

    Parameters
    ----------
    console : rich.console.Console
    ours, theirs : str
        A run, its folder, a summary.json or a model.
    as_json : bool
        Whether all is printed as JSON.

    Raises
    ------
    NoReport
        If one of them is not there, or no result.
    """
    one, other = _result_of(ours), _result_of(theirs)
    kept = None
    if one.signals is not None and other.signals is not None:
        kept = one.signals, other.signals
    found = difference(one.summary, other.summary, kept)
    if as_json:
        typer.echo(json.dumps(found.plain(), indent=1))
    else:
        _show(console, found)
    return int(not found.equal)


def _result_of(what: str) -> Result:
    path = Path(what)
    path = path if path.is_file() else _folder_of(what).summary
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise NoReport(f"{path} is no summary that can be read: {error}") from error
    if not isinstance(summary, dict):
        raise NoReport(f"{path} is no summary of a backtest")
    signals = RunFolder(path.parent).signals
    return Result(summary, pl.read_parquet(signals) if signals.is_file() else None)


def _folder_of(what: str) -> RunFolder:
    """Return the folder of what was named: a path, a run by its id, or a model."""
    path = Path(what)
    if path.is_dir():
        return RunFolder(path)
    if path.is_file():
        return RunFolder(path.parent)
    for run in sorted((settings().home / "runs").glob("*/*")):
        if run.name == what and run.is_dir():
            return RunFolder(run)
    if len(path.parts) != 1:
        raise NoReport(f"{what} is not there: give a run's folder, its id, or a model")
    chosen = registry.entry(what)
    return RunFolder(Path(registry.entry(chosen.metrics.get("of", chosen.model_id)).folder))


def _show(console: Console, found: Difference) -> None:
    if found.equal:
        console.print("nothing differs")
    for title, rows in (
        ("figures", found.figures),
        ("settings", found.settings),
        ("hashes", found.hashes),
    ):
        if rows:
            console.print(_table(title, rows[:MOST]))
        if len(rows) > MOST:
            console.print(f"and {len(rows) - MOST} more {title}: --json tells all")
    if found.signals is None:
        console.print("signals: not compared, as one of the results has no list of them")
    elif not found.signals.equal:
        told = found.signals
        console.print(
            f"signals: {told.ours:,} and {told.theirs:,}; {told.added:,} added, "
            f"{told.removed:,} removed, {told.changed:,} changed"
        )


def _table(title: str, rows: list[Differs]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column(title)
    for heading in ("A", "B", "difference"):
        table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        table.add_row(
            *(escape(_word(each)) for each in (row.name, row.ours, row.theirs)), _gap(row)
        )
    return table


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        numbers = all(isinstance(each, int | float) for each in value)
        return f"{len(value)} numbers" if numbers else "; ".join(map(str, value))
    return str(value)


def _gap(row: Differs) -> str:
    return "" if row.difference is None else f"{row.difference:+.3g}"
