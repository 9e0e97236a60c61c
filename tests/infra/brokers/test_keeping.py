"""How the paper broker's book is kept: the same in memory and database, whole whatever happens."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from sqlalchemy import text

from infra.brokers import keeping
from infra.brokers.broker import BrokerError, Entry, Unknown
from infra.brokers.keeping import Database, Memory
from infra.brokers.paper import PaperBroker
from infra.brokers.prices import DatabasePrices
from infra.clock import VirtualClock
from infra.postgres.database import copy_frame, engine
from infra.postgres.models import Bar
from infra.postgres.roles import ensure_roles
from tests.infra.brokers.room import COSTS, START, UNITS, Room, bars, fill
from tests.infra.databases import drop_roles


def test_both_keepings_keep_the_same(database: str) -> None:
    """A walk of stops, targets, nights and refusals: memory and database tell the same log."""
    closes = [1.0 + 0.01 * ((7 * n) % 11 - 5) for n in range(120)]
    logs = []
    for kept in (Memory(), Database("paper")):
        room = Room(kept, *closes, pair="EUR_USD")
        for hour in range(1, 118, 3):
            room.buy(hour, stop=Decimal("0.94"), target=Decimal("1.03"))
        logs.append(room.at(119).since(0))
        room.broker.account()
    assert logs[0] == logs[1]
    assert {line.reason for line in logs[0]} >= {"STOP_LOSS_ORDER", "TAKE_PROFIT_ORDER"}
    assert database


def _sending(url: str, count: int, ready: Callable[[], Any]) -> None:
    """Another process: buys again and again."""
    os.environ["SEP_DATABASE_URL"] = url
    room = Room(Database("paper"), 1.0, 1.1)
    room.buy(0)
    ready()
    for _ in range(count - 1):
        room.buy(0)
    os._exit(0)


def _processes(database: str, number: int, count: int) -> list[Any]:
    """Processes that send at once, from the moment that this returns."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(number + 1)
    given = (database, count, ready.wait)
    processes = [context.Process(target=_sending, args=given) for _ in range(number)]
    for process in processes:
        process.start()
    ready.wait(60)
    return processes


def test_two_processes_write_one_book(database: str) -> None:
    others = _processes(database, 2, 100)
    for process in others:
        process.join(60)
    assert [process.exitcode for process in others] == [0, 0]
    lines = Room(Database("paper"), 1.0).broker.since(0)
    assert [line.id for line in lines] == [*range(1, len(lines) + 1)]
    assert sum(line.kind == "fill" for line in lines) == 200


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_process_leaves_a_whole_book(database: str, seed: int) -> None:
    (process,) = _processes(database, 1, 10_000)
    process.join(0.1 + 0.07 * seed)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    room = Room(Database("paper"), 1.0)
    with room.broker.keeping.desk(room.broker._new) as desk:
        desk.book.log.extend(room.broker.keeping.since(0))
        assert desk.book.log
        desk.book.check()
        desk.book.log.clear()
    fill(room.buy(0))


def test_a_lost_database_leaves_it_unknown_and_reads_raise(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(Database("paper"), 1.0)
    monkeypatch.setenv("SEP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert isinstance(room.buy(0), Unknown)
    with pytest.raises(BrokerError, match="book cannot be read"):
        room.broker.account()
    assert database


def test_who_hangs_with_the_book_does_not_hang_the_others(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, kept = Room(Database("paper"), 1.0), Database("paper")
    fill(room.buy(0))
    monkeypatch.setattr(keeping, "_PATIENCE", text("SET LOCAL lock_timeout = '50ms'"))
    with kept.desk(room.broker._new):
        assert isinstance(room.buy(0), Unknown)
        with pytest.raises(BrokerError, match="lock timeout"):
            room.broker.account()
    fill(room.buy(0))
    assert database


def test_the_executors_role_has_all_that_it_needs(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_frame(bars(1.0, 1.1).with_columns(pair=pl.lit("PLANTED"), timeframe=pl.lit("H1")), Bar)
    assert ensure_roles() is None
    monkeypatch.setenv("SEP_DATABASE_ROLE", "executor")
    source = DatabasePrices(costs=lambda _: COSTS)
    broker = PaperBroker(source, Database("paper"), VirtualClock(START))
    stop = Decimal("0.5")
    entry = Entry("e", "PLANTED", "long", UNITS, Decimal(2), stop, timeframe="H1")
    try:
        fill(broker.enter(entry))
        assert len(broker.since(0)) == 5
    finally:
        monkeypatch.setenv("SEP_DATABASE_ROLE", "owner")
        drop_roles()
    assert database


def test_a_log_with_a_hole_is_no_log(database: str) -> None:
    room = Room(Database("paper"), 1.0)
    fill(room.buy(0))
    with engine().begin() as connection:
        connection.execute(text("DELETE FROM paper_transaction WHERE id = 3"))
    with pytest.raises(BrokerError, match="hole after 1"):
        room.broker.since(1)
    assert database
