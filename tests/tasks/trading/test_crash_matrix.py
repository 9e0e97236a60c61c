"""An executor killed at each step of an order, whatever the venue made of it, and started again.

A process of its own is killed by SIGKILL; requests go over a socket; what is committed is.
"""

from __future__ import annotations

import subprocess
from datetime import timedelta
from signal import SIGKILL

import pytest

from infra.brokers.simulator.faults import Fault
from infra.postgres.database import session
from tests.tasks.trading import invariants
from tests.tasks.trading.crash_case import BEFORE, ENTRY, EXIT, Case, opened, program, signal
from tests.tasks.trading.desk import model

__all__ = ["program"]

AFTERWARDS = (130, 180, 230, 280, 330, 380)
"""Seconds after the kill: the dead one's lease lasts two minutes."""

UNSENT = {"": None}
FLYING = {
    "it is done later": Fault("late", seconds=0.6),
    "it was done": Fault("late", seconds=0.6, applied=True),
}
ANSWERED = {
    "answered": None,
    "lost on its way": Fault("drop"),
    "done, answer lost": Fault("drop", applied=True),
    "done, an error told": Fault("html", 502, applied=True),
    "done after a reading": Fault("stray", scans=1),
    "done after five readings": Fault("stray", scans=5),
}
CELLS = [
    (kind, step, venue)
    for kind in ("entry", "exit")
    for step, venues in (
        ("claimed", UNSENT),
        ("checkpoint", UNSENT),
        ("sent", UNSENT),
        ("flying", FLYING),
        ("answered", ANSWERED),
        ("booked", ANSWERED),
    )
    for venue in venues
]
SHARE = [CELLS[place] for place in (1, 2, 4, 6, 11, 18, 20, 22)]
MEANT: dict[str, Fault | None] = {**UNSENT, **FLYING, **ANSWERED}


def crash(case: Case, kind: str, step: str, venue: str) -> str:
    """Kill an executor, start others, and return what became of the order."""
    when = ENTRY if kind == "entry" else EXIT
    assert case.at(BEFORE) == 0
    if kind == "exit":
        assert case.at(ENTRY) == 0
    fault = MEANT[venue]
    if fault is not None:
        on = "/orders" if kind == "entry" else "/close"
        case.simulator.faults.append(Fault(**{**vars(fault), "on": on}))
    assert case.at(when, die=step) == -SIGKILL
    for seconds in AFTERWARDS:
        assert case.at(when + timedelta(seconds=seconds)) == 0
        invariants.after_each_round(case)
    invariants.at_rest(case)
    return ", ".join(intent.state for intent in invariants.intents(case) if intent.kind == kind)


@pytest.mark.slow
def test_kills(program: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A share of them; `make chaos` goes through all."""
    shown = kill(program, SHARE)
    with capsys.disabled():
        print("\n" + "\n".join(shown))


def kill(program: subprocess.Popen[str], cells: list[tuple[str, str, str]]) -> list[str]:
    """Hold the invariants in each cell; return what became of its order, a row each."""
    with session() as prepared:
        prepared.merge(model())
    signal()
    shown = []
    for number, cell in enumerate(cells):
        print(f"cell {number}: {cell}")  # shown if it fails
        with opened(number, program) as case:
            shown.append(row(*cell, crash(case, *cell)))
            ends_as_it_must(case, *cell)
    return shown


def ends_as_it_must(case: Case, kind: str, step: str, venue: str) -> None:
    """A signal is entered once at most, a position is left once and for all."""
    fills = invariants.openings(case.book)
    assert len(fills) <= 1
    if kind == "exit":
        assert not case.book.trades, "its time was up, and it is open"
    elif step in ("claimed", "checkpoint") or "answered" in venue:
        assert len(case.book.trades) == 1, "nothing stood against it"
    elif "lost on its way" in venue or step == "sent":
        assert not fills, "it was never there"
    elif "five" in venue:
        assert not case.book.trades, "it came after it had been given up"


def row(kind: str, step: str, venue: str, ended: str) -> str:
    return f"{kind:<6}{step:<11}{venue or 'not there yet':<26}{ended}"
