"""How the paper broker's book is kept: the same in memory and database, whole whatever happens."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from infra.brokers.broker import BrokerError, Unknown
from infra.brokers.keeping import Database, Memory
from infra.postgres.database import engine
from tests.infra.brokers.room import Room, fill


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
    ready()
    for _ in range(count):
        room.buy(0)
    os._exit(0)


def _process(database: str, count: int) -> Any:
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_sending, args=(database, count, begun.set))
    process.start()
    assert begun.wait(60)
    return process


def test_two_processes_write_one_book(database: str) -> None:
    others = [_process(database, 20) for _ in range(2)]
    for process in others:
        process.join(60)
    assert [process.exitcode for process in others] == [0, 0]
    lines = Room(Database("paper"), 1.0).broker.since(0)
    assert [line.id for line in lines] == [*range(1, len(lines) + 1)]
    assert sum(line.kind == "fill" for line in lines) == 40


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_process_leaves_a_whole_book(database: str, seed: int) -> None:
    process = _process(database, 10_000)
    process.join(0.15 + 0.1 * seed)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    room = Room(Database("paper"), 1.0)
    with room.broker.keeping.desk(room.broker._new) as desk:
        desk.book.log.extend(room.broker.keeping.since(0))
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


def test_a_log_with_a_hole_is_no_log(database: str) -> None:
    room = Room(Database("paper"), 1.0)
    fill(room.buy(0))
    with engine().begin() as connection:
        connection.execute(text("DELETE FROM paper_transaction WHERE id = 3"))
    with pytest.raises(BrokerError, match="hole after 1"):
        room.broker.since(1)
    assert database
