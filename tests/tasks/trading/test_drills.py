"""Drills: servers that go away and come back, executors that compete, clocks that are set."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from infra.brokers.simulator.faults import Fault
from infra.errors import SepError
from infra.postgres.database import session
from infra.postgres.models import Signal
from infra.servers import postgres
from tests.servers import FAST
from tests.tasks.trading import invariants
from tests.tasks.trading.crash_case import (
    BEFORE,
    ENTRY,
    EXIT,
    Case,
    opened,
    programs,
    signal,
)
from tests.tasks.trading.desk import model


@pytest.fixture
def case(database: str) -> Iterator[Case]:
    with session() as prepared:
        prepared.add(model())
    signal()
    with opened(0) as made:
        made.cycle(BEFORE)
        yield made


def go_on(case: Case, since: datetime) -> None:
    """Make rounds until all has come to its end."""
    for seconds in (130, 180, 230, 280, 330):
        case.cycle(since + timedelta(seconds=seconds))
        invariants.after_each_round(case)
    invariants.at_rest(case)


@pytest.mark.parametrize("step", ["claimed", "checkpoint", "sent", "answered"])
@pytest.mark.parametrize("kind", ["entry", "exit"])
def test_postgresql_starts_again_in_the_middle(
    case: Case, home: Path, step: str, kind: str
) -> None:
    def restart(reached: str) -> None:
        if reached == step:
            postgres.stop(home)
            postgres.start(home, options=FAST)

    if kind == "exit":
        case.cycle(ENTRY)
    when = ENTRY if kind == "entry" else EXIT
    with suppress(SepError, SQLAlchemyError):
        case.cycle(when, restart)
    go_on(case, when)
    assert len(invariants.openings(case.book)) == 1
    assert len(case.book.trades) == (kind == "entry")


@pytest.mark.parametrize("step", ["checkpoint", "sent", "answered"])
def test_postgresql_is_gone_for_a_while(case: Case, home: Path, step: str) -> None:
    def stop(reached: str) -> None:
        if reached == step:
            postgres.stop(home)

    with pytest.raises((SepError, SQLAlchemyError)):
        case.cycle(ENTRY, stop)
    postgres.start(home, options=FAST)
    go_on(case, ENTRY)
    sent = {"checkpoint": 1, "sent": 0, "answered": 1}[step]
    assert len(invariants.openings(case.book)) == sent


def test_without_cache_and_prefect(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_VALKEY_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SEP_PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert len(case.cycle(ENTRY).entered) == 1
    assert len(case.cycle(EXIT).left) == 1
    go_on(case, EXIT)


@pytest.mark.slow
def test_two_processes_at_once(case: Case) -> None:
    with programs(2) as started, ThreadPoolExecutor(2) as threads:
        both = [Case(0, case.simulator, program) for program in started]
        case.simulator.market.now = ENTRY
        times = [ENTRY + timedelta(milliseconds=n) for n in range(5)]
        codes = [threads.submit(each.rounds, *times) for each in both]
        assert {code.result() for code in codes} <= {0, 1}  # 1: its lease was lost
    assert len(invariants.openings(case.book)) == 1
    go_on(case, ENTRY)


@pytest.mark.parametrize("hours", [-1, 1, 26])
def test_the_clock_is_set_between_rounds(case: Case, hours: int) -> None:
    case.cycle(ENTRY)
    venue = case.simulator.market
    case.cycle(ENTRY + timedelta(hours=hours))
    venue.now = ENTRY + timedelta(minutes=1)
    case.cycle(ENTRY + timedelta(minutes=2))
    assert len(invariants.openings(case.book)) == 1
    case.cycle(EXIT)
    go_on(case, EXIT)
    assert not case.book.trades


def test_a_signal_that_is_delivered_three_times(case: Case) -> None:
    with session() as delivering:
        known = delivering.query(Signal).one()
        values = {
            column.name: getattr(known, column.name)
            for column in Signal.__table__.columns
            if column.name != "id"
        }
        for _ in range(3):
            delivering.execute(insert(Signal).values(**values).on_conflict_do_nothing())
    for seconds in range(3):
        case.cycle(ENTRY + timedelta(seconds=seconds))
    assert len(invariants.intents(case)) == 1
    assert len(invariants.openings(case.book)) == 1


def test_a_token_that_is_refused_in_the_middle(case: Case) -> None:
    """It stops and says why; nothing is sent, nothing crashes, and all goes on afterwards."""
    case.cycle(ENTRY)
    changes = len(case.simulator.mutations)
    case.simulator.faults.extend([Fault("status", 401)] * 40)
    for seconds in range(3):
        report = case.cycle(EXIT + timedelta(seconds=seconds))
        assert any("refuses the token" in said for said in report.findings), report.findings
        assert report.left == []
    assert len(case.simulator.mutations) == changes
    case.simulator.faults.clear()
    assert len(case.cycle(EXIT + timedelta(seconds=10)).left) == 1
    go_on(case, EXIT)


def test_an_entry_whose_token_is_refused(case: Case) -> None:
    case.simulator.faults.append(Fault("status", 401, on="POST"))
    report = case.cycle(ENTRY)
    assert "REJECTED" in report.refused[0]["reason"]
    assert not invariants.openings(case.book)
    go_on(case, ENTRY)
