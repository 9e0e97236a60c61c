"""An executor on a virtual clock that can be run at any hour, and killed at any step."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from infra.clock import VirtualClock
from infra.postgres.database import session
from infra.postgres.trading import IntentEvent
from tasks.trading.execution import Executor, cycle, exit_cycle
from tasks.trading.lease import acquire
from tasks.trading.report import Report
from tests.tasks.trading.desk import HOUR, START, BookBroker, executor, intents, model

NAME = "execute:book-1"


class Killed(BaseException):
    """The process dies here."""


@dataclass
class Site:
    """An executor that can be run at any hour, and killed at any step."""

    clock: VirtualClock
    broker: BookBroker
    changes: dict[str, Any] = field(default_factory=dict)
    die_at: str = ""

    def executor(self) -> Executor:
        return executor(self.clock, self.broker, reached=self._reached, **self.changes)

    def run(self, hour: float | None = None, *, entries: bool = True) -> Report:
        """Run a cycle, at an hour after `START`."""
        if hour is not None:
            self.clock.advance(START + hour * HOUR - self.clock.now())
        lease = acquire(NAME, "one", self.clock)
        executor = self.executor()
        return cycle(executor, lease) if entries else exit_cycle(executor, lease)

    def later(self, seconds: float) -> Report:
        """Run a cycle after some seconds."""
        self.clock.advance(timedelta(seconds=seconds))
        return self.run()

    def _reached(self, step: str) -> None:
        if step == self.die_at:
            self.die_at = ""
            raise Killed


@pytest.fixture
def site(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("SEP_DATABASE_URL", database)
    monkeypatch.setenv("SEP_HOME", str(tmp_path))  # halts are kept in a file, too
    with session() as opened:
        opened.add(model())
    clock = VirtualClock(START)
    site = Site(clock, BookBroker.new(clock))
    site.run()
    return site


def states() -> list[str]:
    return [intent.state for intent in intents()]


def events() -> list[str]:
    with session() as opened:
        return list(opened.scalars(select(IntentEvent.event).order_by(IntentEvent.id)))
