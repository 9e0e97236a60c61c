"""An account at a simulator on a socket, and processes that make rounds for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr

from infra.brokers.book import Book
from infra.brokers.broker import Price
from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import ACCOUNT, Simulator
from infra.clock import VirtualClock
from infra.settings import PROJECT
from tasks.trading.execution import Executor, cycle
from tasks.trading.lease import acquire
from tasks.trading.report import Report
from tests.tasks.trading.desk import publish
from tests.tasks.trading.world import WIDE

BAR = datetime(2026, 1, 13, 9, tzinfo=UTC)
BEFORE = BAR + timedelta(minutes=55)
ENTRY = BAR + timedelta(hours=1, seconds=30)
EXIT = BAR + timedelta(hours=2, seconds=30)


@dataclass
class Case:
    """One account at a simulator on a socket."""

    number: int
    simulator: Simulator
    program: subprocess.Popen[str] | None = None
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
        assert self.program is not None
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

    def cycle(self, time: datetime, reached: Callable[[str], None] = print) -> Report:
        """Make a round here and now, as a process of its own would."""
        self.simulator.market.now = time
        clock = VirtualClock(time)
        token = SecretStr(self.simulator.token)
        broker = OandaBroker(token, self.simulator.url, ACCOUNT, clock, pause=0.0)
        executor = Executor(self.account, broker, clock, WIDE, WIDE.sizing, reached=reached)
        lease = acquire(f"execute:{self.account}", str(time), clock)
        with closing(broker.client):
            report = cycle(executor, lease)
        lease.release()
        return report


@contextmanager
def opened(number: int, program: subprocess.Popen[str] | None = None) -> Iterator[Case]:
    """A new account on a socket, before anything happened."""
    minutes = random_minutes(BAR - timedelta(hours=2), 600, seed=3, missing=0.0)
    simulator = Simulator(Market({"EUR_USD": minutes}), balance=Decimal(100_000))
    simulator.market.now = BEFORE
    with simulator.serve():
        yield Case(number, simulator, program)


def signal() -> None:
    """Publish the signal that all this is about: it dies after an hour, a trade lasts one."""
    publish(0, bar_ts=BAR, valid_until=BAR + timedelta(hours=2), horizon=1, stop_distance=0.02)


@contextmanager
def programs(number: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Programs whose children make rounds."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.tasks.trading.crash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env=os.environ,
        )
        for _ in range(number)
    ]
    yield started
    for program in started:
        program.communicate()


@pytest.fixture
def program(database: str) -> Iterator[subprocess.Popen[str]]:
    with programs(1) as (started,):
        yield started
