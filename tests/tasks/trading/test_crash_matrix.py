"""An executor killed at each step of an order, whatever the venue made of it, and started again.

A process of its own is killed by SIGKILL; requests go over a socket; what is committed is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from signal import SIGKILL

import pytest

from infra.brokers.book import Book
from infra.brokers.broker import Price
from infra.brokers.simulator.faults import Fault
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Simulator
from infra.clock import VirtualClock
from infra.postgres.database import session
from infra.settings import PROJECT
from tests.tasks.trading import invariants
from tests.tasks.trading.desk import model, publish

BAR = datetime(2026, 1, 13, 9, tzinfo=UTC)
ENTRY = BAR + timedelta(hours=1, seconds=30)
EXIT = BAR + timedelta(hours=2, seconds=30)
AFTERWARDS = (130, 180, 230, 280, 330, 380)
"""Seconds after the kill: the dead one's lease lasts two minutes."""

BEFORE = {"": Fault("drop", on="none such")}
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
        ("claimed", BEFORE),
        ("checkpoint", BEFORE),
        ("sent", BEFORE),
        ("flying", FLYING),
        ("answered", ANSWERED),
        ("booked", ANSWERED),
    )
    for venue in venues
]
MEANT = {**BEFORE, **FLYING, **ANSWERED}


@dataclass
class Case:
    """One account at a simulator on a socket."""

    number: int
    simulator: Simulator
    program: subprocess.Popen[str]
    counts: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    @property
    def account(self) -> str:
        return f"crash-{self.number}"

    @property
    def venue(self) -> Case:
        return self

    @property
    def clock(self) -> VirtualClock:
        return VirtualClock(self.simulator.market.now)

    @property
    def book(self) -> Book:
        return self.simulator.look().book

    def price(self, pair: str) -> Price:
        price = self.simulator.look().price(pair)
        assert price is not None
        return price

    def rounds(self, *times: datetime, die: str = "") -> int:
        """Let a process make rounds; return its exit code."""
        assert self.program.stdin
        assert self.program.stdout
        order = {
            "account": self.account,
            "token": self.simulator.token,
            "url": self.simulator.url,
            "die": die,
            "times": [time.isoformat() for time in times],
        }
        self.program.stdin.write(json.dumps(order) + "\n")
        self.program.stdin.flush()
        return int(self.program.stdout.readline())

    def at(self, time: datetime, die: str = "") -> int:
        """Let a process make a round at a time of its own and of the venue."""
        self.simulator.market.now = time
        return self.rounds(time, die=die)


@pytest.fixture
def program(database: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.tasks.trading.crash"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env=os.environ,
    )
    yield started
    started.communicate()


def market() -> Market:
    minutes = random_minutes(BAR - timedelta(hours=2), 600, seed=3, missing=0.0)
    return Market({"EUR_USD": minutes})


def crash(case: Case, kind: str, step: str, venue: str) -> str:
    """Kill an executor, start others, and return what became of the order."""
    when = ENTRY if kind == "entry" else EXIT
    assert case.at(ENTRY - timedelta(minutes=5)) == 0
    if kind == "exit":
        assert case.at(ENTRY) == 0
    fault = MEANT[venue]
    if fault is not None and fault.on != "none such":
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
    """Print what became of each order; the invariants hold in every cell."""
    with session() as opened:
        opened.add(model())
    publish(0, bar_ts=BAR, valid_until=BAR + timedelta(hours=2), horizon=1, stop_distance=0.02)
    shown = []
    with ExitStack() as served:
        for number, cell in enumerate(CELLS):
            simulator = Simulator(market(), balance=Decimal(100_000))
            simulator.market.now = ENTRY - timedelta(minutes=5)
            case = Case(number, served.enter_context(simulator.serve()), program)
            print(f"cell {number}: {cell}")  # shown if it fails
            shown.append((*cell, crash(case, *cell)))
            ends_as_it_must(case, *cell)
    with capsys.disabled():
        print("\n" + "\n".join(row(*each) for each in shown))


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
