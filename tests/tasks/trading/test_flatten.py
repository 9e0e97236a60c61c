"""Everything closed: ours by number, others' if asked, with the journal or without."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import select

from deployments.sep import closing
from infra.brokers.broker import Entry
from infra.clock import VirtualClock
from infra.postgres.database import session
from infra.postgres.trading import Intent
from tasks.trading.execution import cycle
from tasks.trading.flatten import flatten, plan
from tasks.trading.lease import acquire
from tasks.trading.rounds import exits, leased
from tests.tasks.trading.desk import (
    HOUR,
    START,
    BookBroker,
    executor,
    model,
    positions,
    publish,
)

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
ACCOUNT = "book-1"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def broker(database: str, clock: VirtualClock) -> BookBroker:
    """One trade of ours in the journal."""
    with session() as opened:
        opened.add(model())
    broker = BookBroker.new(clock)
    with leased(ACCOUNT, "first") as lease:
        cycle(executor(clock, broker), lease)
    publish(0)
    clock.advance(HOUR)
    with leased(ACCOUNT, "second") as lease:
        assert len(cycle(executor(clock, broker), lease).entered) == 1
    return broker


def of_others(broker: BookBroker, name: str = "theirs") -> str:
    """Open a trade that the journal does not know."""
    entry = Entry(name, "EUR_USD", "long", Decimal(500), Decimal("1.2"), Decimal("1.0"))
    broker.enter(entry)
    return max(broker.book.trades, key=int)


def exit_intents() -> list[Intent]:
    with session() as opened:
        rows = list(opened.scalars(select(Intent).where(Intent.kind == "exit")))
        opened.expunge_all()
    return rows


def test_ours_are_closed_through_the_journal(broker: BookBroker, clock: VirtualClock) -> None:
    foreign = of_others(broker)
    told = plan(ACCOUNT, broker, everything=False)
    assert [trade.id for trade in told.leave] == [foreign]
    done = flatten(ACCOUNT, broker, clock, told.close)
    assert (done.open, done.direct) == ((), None)
    assert list(broker.book.trades) == [foreign]
    (held,) = positions()
    assert held.exit_reason == "flatten"
    (intent,) = exit_intents()
    assert (intent.state, intent.reason) == ("FILLED", "flatten")
    assert plan(ACCOUNT, broker, everything=False).close == ()


def test_others_are_closed_if_asked(broker: BookBroker, clock: VirtualClock) -> None:
    of_others(broker)
    told = plan(ACCOUNT, broker, everything=True)
    assert len(told.close) == 2
    assert flatten(ACCOUNT, broker, clock, told.close).open == ()
    assert broker.book.trades == {}


def test_an_answer_that_is_lost_is_looked_after(broker: BookBroker, clock: VirtualClock) -> None:
    for trouble in ("mute", "lose"):
        broker.wire = [trouble]
        done = flatten(ACCOUNT, broker, clock, plan(ACCOUNT, broker, everything=False).close)
        assert done.open == ()
        assert broker.book.trades == {}


def test_without_a_database_ours_are_told_by_their_names(
    broker: BookBroker, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = of_others(broker)
    with monkeypatch.context() as patch:
        patch.setenv("SEP_DATABASE_URL", NOWHERE)
        told = plan(ACCOUNT, broker, everything=False)
        assert told.journal is not None
        done = flatten(ACCOUNT, broker, clock, told.close)
        assert done.open == ()
        assert done.direct is not None
    assert list(broker.book.trades) == [foreign]
    clock.advance(HOUR)
    report = exits(executor(clock, broker), "a test")
    assert report.findings == []
    assert positions()[0].closed_at is not None


def test_a_lease_that_stays_taken_does_not_keep_it_from_closing(
    broker: BookBroker, clock: VirtualClock
) -> None:
    acquire(f"execute:{ACCOUNT}", "another")
    done = flatten(ACCOUNT, broker, clock, plan(ACCOUNT, broker, everything=False).close)
    assert done.open == ()
    assert "another" in str(done.direct)
    assert clock.elapsed >= 10


def test_what_stays_open_is_told(broker: BookBroker, clock: VirtualClock) -> None:
    broker.wire = ["lose"] * 3
    done = flatten(ACCOUNT, broker, clock, plan(ACCOUNT, broker, everything=False).close)
    assert [trade.id for trade in done.open] == list(broker.book.trades)
    assert len([name for name in broker.sent if isinstance(name, str)]) == 3


def test_a_market_that_is_closed_leaves_it_open(broker: BookBroker, clock: VirtualClock) -> None:
    broker.tradeable = False
    done = flatten(ACCOUNT, broker, clock, plan(ACCOUNT, broker, everything=False).close)
    assert len(done.open) == 1
    assert "waits for the market" in next(iter(done.said.values()))


def test_an_entry_that_was_under_way_is_closed_too(
    broker: BookBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    monkeypatch.setattr(closing, "broker_of", lambda *_: broker)
    close = broker.close

    def slow(*arguments: Any) -> Any:
        if len(broker.sent) == 1:  # the entry arrives while its elder is closed
            of_others(broker, "sep-under-way")
        return close(*arguments)

    monkeypatch.setattr(broker, "close", slow)
    console = Console(file=StringIO())
    assert closing.flatten(console, ACCOUNT, everything=False, why="fire", yes=True) == 0
    assert broker.book.trades == {}
