"""The self-test on the command line: its progress, its table, its picture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from infra.files import make_private
from infra.settings import settings
from tasks.gate.checks import checks
from tasks.gate.rehearsal import Judge
from tasks.gate.selftest.jobs import Found, Job, plan
from tasks.gate.selftest.kept import Kept
from tasks.gate.selftest.running import answers
from tasks.gate.selftest.verdict import FALSE, POWER, Verdict, verdict

INTERRUPTED: Final = 130


@dataclass(frozen=True)
class Asked:
    """The command's options."""

    quick: bool = False
    processes: int | None = None
    results: Path | None = None
    fresh: bool = False
    as_json: bool = False
    png: Path | None = None


def selftest(asked: Asked, judge: Judge = checks) -> int:
    """Run what is not known yet, show all, and return the exit status.

    Parameters
    ----------
    asked : Asked
    judge : callable
        The gate, a function of a module.
    """
    kept, beside = Kept(asked.results or _place(), judge), Console(stderr=True, highlight=False)
    if asked.fresh:
        kept.clear()
    try:
        known = _known(kept, plan(quick=asked.quick), asked, judge, beside)
    except KeyboardInterrupt:
        beside.print(f"Answers so far are in {kept.path}: the same command goes on from there.")
        return INTERRUPTED
    found = verdict(known)
    if asked.png is not None:
        asked.png.write_bytes(picture(found))
    if asked.as_json:
        print(json.dumps({"version": kept.version, **found.to_dict()}, indent=1))  # noqa: T201
    else:
        show(Console(highlight=False), found)
    return int(not found.passed)


def _place() -> Path:
    home = settings().home
    make_private(home)
    folder = home / "selftest"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "answers.jsonl"


def _known(
    kept: Kept, jobs: list[Job], asked: Asked, judge: Judge, console: Console
) -> Mapping[Job, Found]:
    """Return the answers of all jobs in their order: those that are kept, and the rest."""
    processes = asked.processes or len(os.sched_getaffinity(0))
    other = "another self-test writes the same answers: this one waits for it"
    with kept.adding(lambda: console.print(other)) as add:
        known = kept.read()
        missing = [job for job in jobs if job not in known]
        with _progress(console) as progress:
            task = progress.add_task("self-test", total=sum(job.seconds for job in jobs))
            progress.advance(task, sum(job.seconds for job in jobs if job in known))
            for job, found in answers(missing, processes, judge=judge):
                add(job, found)
                known[job] = found
                progress.advance(task, job.seconds)
    return {job: known[job] for job in jobs}


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True)


def show(console: Console, found: Verdict) -> None:
    """Show what was demanded, the power curve and each criterion of the gate.

    Parameters
    ----------
    console : rich.console.Console
    found : Verdict
    """
    for table in (_demands(found), _powers(found), _criteria(found)):
        console.print(table, "")


def _demands(found: Verdict) -> Table:
    table = _table("", "what", "measured", "demanded")
    for each in found.demands:
        verdict = "PASS" if each.met else "FAIL"
        table.add_row(verdict, each.what, escape(each.measured), each.demanded)
    return table


def _powers(found: Verdict) -> Table:
    table = _table("edge", "passed", "skill of the truth", "share of its gain")
    for each in found.power:
        taken = "-" if each.taken is None else f"{each.taken:.2f}"
        table.add_row(f"{each.size:g}", str(each.passed), f"{each.true_skill:.4f}", taken)
    return table


def _criteria(found: Verdict) -> Table:
    table = _table("criterion alone is met", *found.criteria)
    for name in next(iter(found.criteria.values())):
        shares = [group[name].share for group in found.criteria.values()]
        table.add_row(name, *(f"{100 * share:.3g} %" for share in shares))
    return table


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, padding=(0, 1), header_style="bold")


def picture(found: Verdict) -> bytes:
    """Return the power curve as PNG.

    Parameters
    ----------
    found : Verdict
    """
    from tasks.reports.power_picture import Point, draw_power

    points = [Point(each.size, each.passed.share, *each.passed.bounds) for each in found.power]
    return draw_power(points, false=FALSE, power=POWER)
