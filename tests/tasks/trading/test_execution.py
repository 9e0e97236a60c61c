"""Execution: an order is sent at most once, and never when in doubt."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from infra.clock import VirtualClock
from infra.postgres.database import engine, session
from infra.postgres.trading import Control, Fill, IntentEvent, Venue
from tasks.trading import control
from tasks.trading.execution import Executor, cycle, exit_cycle
from tasks.trading.lease import LENGTH, LeaseHeld, LeaseLost, acquire
from tasks.trading.report import Report
from tests.tasks.trading.desk import (
    HOUR,
    PAIR,
    START,
    BookBroker,
    executor,
    intents,
    model,
    positions,
    publish,
)

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


def test_a_signal_is_entered_once_and_left_at_its_time(site: Site) -> None:
    publish(0)
    report = site.run(1)
    assert [row["pair"] for row in report.entered] == [PAIR]
    assert site.run(1.01).entered == []
    (position,) = positions()
    assert (position.units, position.stop_price) == (Decimal(1000), Decimal("1.09510"))
    assert site.run(4.9).left == []
    report = site.run(5)
    assert [row["reason"] for row in report.left] == ["time"]
    (position,) = positions()
    assert position.closed_at == START + 5 * HOUR
    assert position.profit == Decimal("-0.1")
    assert states() == ["FILLED", "FILLED"]
    assert events() == ["PREPARED", "SENT", "FILLED"] * 2
    assert len(site.broker.sent) == 2


def test_the_order_carries_bound_stop_and_target(site: Site) -> None:
    publish(0, target_distance=0.003)
    site.run(1)
    (entry,) = site.broker.sent
    assert entry.bound == Decimal("1.10060")
    assert (entry.stop, entry.target) == (Decimal("1.09510"), Decimal("1.10310"))
    (trade,) = site.broker.account().trades
    assert (trade.stop, trade.target) == (entry.stop, entry.target)


def test_a_stop_that_the_broker_filled_is_told_by_its_log(site: Site) -> None:
    publish(0)
    site.run(1)
    site.broker.move("1.09400")
    site.later(60)
    (position,) = positions()
    assert position.exit_reason == "stop"
    assert position.exit_price == Decimal("1.09510")
    with session() as opened:
        fills = [(f.kind, f.intent_id) for f in opened.scalars(select(Fill).order_by(Fill.id))]
    assert fills == [("entry", 1), ("exit", None)]


@pytest.mark.parametrize("side", ["long", "short"])
def test_an_opposite_signal_closes_and_enters_nothing(site: Site, side: str) -> None:
    publish(0, side)
    site.run(1)
    publish(1, "short" if side == "long" else "long")
    report = site.run(2)
    assert [row["reason"] for row in report.left] == ["opposite"]
    assert site.run(2.1).entered == []
    assert site.broker.account().trades == ()
    assert states() == ["FILLED", "FILLED", "DENIED"]


def test_a_signal_of_the_open_side_is_ignored(site: Site) -> None:
    publish(0)
    site.run(1)
    publish(1)
    report = site.run(2)
    assert "position is open" in report.refused[0]["reason"]
    assert len(site.broker.sent) == 1


@pytest.mark.parametrize(
    "changes",
    [{"mode": "shadow"}, {"bar_ts": START + HOUR / 2}, {"valid_until": START + HOUR}],
    ids=["shadow", "not closed yet", "dead"],
)
def test_what_is_not_to_be_traded_is_not(site: Site, changes: dict[str, Any]) -> None:
    publish(0, **changes)
    site.run(1)
    assert intents() == []


@pytest.mark.parametrize("missing", ["confidence", "lower", "break_even"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_signal_without_numbers_is_denied(site: Site, missing: str, value: float | None) -> None:
    changes: dict[str, Any] = {missing: value}
    publish(0, **changes)
    site.run(1)
    assert states() == ["DENIED"]
    assert site.broker.sent == []


@pytest.mark.parametrize("distance", [float("nan"), 0.0, -1.0])
def test_an_absurd_stop_is_denied(site: Site, distance: float) -> None:
    publish(0, stop_distance=distance)
    site.run(1)
    assert states() == ["DENIED"]


def test_a_strategy_without_a_stop_gets_one_for_disasters(site: Site) -> None:
    publish(0, stop_distance=None)
    site.run(1)
    (trade,) = site.broker.account().trades
    assert trade.stop == Decimal("1.07810")


@pytest.mark.parametrize(
    ("fault", "first", "last"),
    [
        ("refuse", "REJECTED", "REJECTED"),
        ("mute", "FILLED", "FILLED"),
        ("lose", "UNKNOWN", "DROPPED"),
    ],
)
def test_an_answer_in_doubt_is_settled_by_the_log(
    site: Site, fault: str, first: str, last: str
) -> None:
    site.broker.wire = [fault]
    publish(0)
    site.run(1)
    assert states()[0] == first
    for _ in range(4):
        site.later(50)
    assert states()[0] == last
    entries = [sent for sent in site.broker.sent if not isinstance(sent, str)]
    assert len(entries) == 1
    assert len(site.broker.account().trades) == (last == "FILLED")


def test_nothing_is_entered_in_a_pair_in_doubt(site: Site) -> None:
    site.broker.wire = ["lose"]
    publish(0)
    site.run(1)
    publish(0, strategy="other")
    report = site.later(30)
    assert any("nobody knows" in sentence for sentence in report.findings)
    assert len(site.broker.sent) == 1
    for _ in range(4):
        report = site.later(50)
    assert len(positions()) == 1
    assert len(site.broker.sent) == 2


def test_a_fill_after_the_order_was_given_up_is_closed_and_halts_the_pair(site: Site) -> None:
    site.broker.wire = ["delay"]
    publish(0)
    site.run(1)
    for _ in range(4):
        site.later(50)
    assert states() == ["DROPPED"]
    site.broker.arrive()
    report = site.later(50)
    assert [row["reason"] for row in report.left] == ["late"]
    assert site.broker.account().trades == ()
    assert states() == ["DROPPED", "FILLED"]
    assert "late fill" in events()
    with session() as opened:
        halts = [(c.scope, c.on) for c in opened.scalars(select(Control).order_by(Control.id))]
    assert halts == [(PAIR, True), (PAIR, False)]


def test_a_late_fill_that_cannot_be_closed_keeps_the_pair_halted(site: Site) -> None:
    site.broker.wire = ["delay"]
    publish(0)
    site.run(1)
    for _ in range(4):
        site.later(50)
    site.broker.arrive()
    site.broker.wire = ["lose"]
    site.later(50)
    publish(0, strategy="other")
    assert "filled after all" in control.present("book-1", site.clock.now()).halted_pairs[PAIR]
    report = site.later(50)  # closed now
    assert [row["reason"] for row in report.left] == ["late"]
    report = site.later(50)
    assert [row["pair"] for row in report.entered] == [PAIR]


@pytest.mark.parametrize("step", ["claimed", "checkpoint", "sent", "answered", "booked"])
@pytest.mark.parametrize("kind", ["entry", "exit"])
def test_a_run_that_dies_at_any_step_repeats_nothing(site: Site, step: str, kind: str) -> None:
    publish(0)
    if kind == "exit":
        site.run(1)
    site.die_at = step
    with pytest.raises(Killed):
        site.run(1.01 if kind == "entry" else 5)
    for _ in range(5):
        site.later(50)
    entries = [sent for sent in site.broker.sent if not isinstance(sent, str)]
    assert len(entries) <= 1
    if kind == "exit":
        assert site.broker.account().trades == ()
        assert positions()[0].closed_at is not None
    elif step in ("claimed", "checkpoint"):
        assert states() == ["FILLED"]
    elif step == "sent":
        assert states() == ["DROPPED"]
    else:
        assert states() == ["FILLED"]
        assert len(site.broker.account().trades) == 1


def test_a_position_without_a_stop_gets_it_in_the_same_cycle(site: Site) -> None:
    site.broker.wire = ["naked"]
    publish(0)
    report = site.run(1)
    assert any("had no stop; it has now" in sentence for sentence in report.findings)
    (trade,) = site.broker.account().trades
    assert trade.stop == Decimal("1.09510")


@pytest.mark.parametrize("fault", ["refuse", "lose"])
def test_a_position_that_cannot_have_its_stop_is_closed(site: Site, fault: str) -> None:
    site.broker.wire = ["naked", fault]
    publish(0)
    report = site.run(1)
    assert [row["reason"] for row in report.left] == ["no stop"]
    assert site.broker.account().trades == ()


def test_a_foreign_trade_is_left_alone(site: Site) -> None:
    from infra.brokers.holdings import Request

    site.broker.book.enter(Request(PAIR, Decimal(5), "somebody"), site.clock.now())
    site.later(60)
    site.run(9)
    assert len(site.broker.account().trades) == 1
    assert positions() == []


def test_a_trade_of_ours_that_the_journal_does_not_know_halts(site: Site) -> None:
    from infra.brokers.holdings import Request

    site.broker.book.enter(Request(PAIR, Decimal(5), "sep-1"), site.clock.now())
    report = site.later(60)
    assert any("disagree" in sentence for sentence in report.findings)
    publish(0)
    site.run(1)
    assert len(positions()) == 0
    assert site.broker.sent == []


def test_an_order_of_ours_that_the_journal_lost_halts(site: Site) -> None:
    """The journal was restored from a backup; the trade has come and gone since."""
    from infra.brokers.holdings import Request

    book = site.broker.book
    (*_, fill) = book.enter(Request(PAIR, Decimal(5), "sep-1"), site.clock.now())
    book.close(next(iter(book.trades)), None, None, fill.at)
    publish(0)
    report = site.run(1)
    assert any("sep-1 is not in the journal" in sentence for sentence in report.findings)
    assert site.broker.sent == []
    assert site.later(60).entered == []


def test_an_account_that_was_reset_halts(site: Site) -> None:
    publish(0)
    site.run(1)
    site.broker.book = BookBroker.new(site.clock).book
    report = site.later(60)
    assert any("was the account reset" in sentence for sentence in report.findings)


def test_another_account_under_the_same_name_halts(site: Site) -> None:
    site.broker.name = "another"
    report = site.later(60)
    assert any("is that of book" in sentence for sentence in report.findings)
    with session() as opened:
        assert opened.get_one(Venue, "book-1").mismatch is not None


def test_a_broker_that_does_not_answer_is_no_reason_to_act(site: Site) -> None:
    publish(0)
    site.run(1)
    publish(1, "short")
    site.broker.deaf = True
    report = site.run(5)
    assert report.left == report.entered == []
    assert "nobody answers" in report.findings[0]
    site.broker.deaf = False
    assert len(site.run(5.1).left) == 1


def test_an_exit_waits_for_the_market_to_open(site: Site) -> None:
    publish(0)
    site.run(1)
    site.broker.tradeable = False
    for _ in range(3):
        report = site.run(5)
        assert "waits for the market" in report.findings[0]
    assert len(intents()) == 1
    site.broker.tradeable = True
    site.run(6)
    with session() as opened:
        leaving = opened.scalars(select(IntentEvent).where(IntentEvent.intent_id == 2)).first()
        assert leaving is not None
        assert leaving.detail["late"] == 3600


def test_exits_go_on_while_halted_and_entries_do_not(site: Site) -> None:
    publish(0)
    site.run(1)
    control.halt("me", "test", site.clock.now())
    publish(4)
    report = site.run(5)
    assert len(report.left) == 1
    assert report.entered == []
    assert any("test" in sentence for sentence in report.findings)


def test_the_timer_enters_nothing(site: Site) -> None:
    publish(0)
    assert site.run(1, entries=False).entered == []
    assert site.run(1).entered != []


def test_a_switch_is_read_again_right_before_the_bytes_leave(site: Site) -> None:
    publish(0)

    def switch(step: str) -> None:
        if step == "sent":
            control.halt("me", "stop", site.clock.now())

    site.clock.advance(HOUR)
    cycle(executor(site.clock, site.broker, reached=switch), acquire(NAME, "one", site.clock))
    assert states() == ["REJECTED"]
    assert site.broker.sent == []


def test_an_order_that_expires_on_its_way_is_not_sent(site: Site) -> None:
    publish(0, valid_until=START + HOUR + timedelta(seconds=10))

    def wait(step: str) -> None:
        if step == "sent":
            site.clock.advance(timedelta(seconds=20))

    site.clock.advance(HOUR)
    cycle(executor(site.clock, site.broker, reached=wait), acquire(NAME, "one", site.clock))
    assert states() == ["REJECTED"]
    assert site.broker.sent == []


def test_two_executors_at_once(site: Site) -> None:
    publish(0)
    site.clock.advance(HOUR)
    acquire(NAME, "other", site.clock)
    with pytest.raises(LeaseHeld, match="other holds the lease"):
        site.run()
    assert site.broker.sent == []


def test_an_executor_whose_lease_passed_on_writes_and_sends_nothing(site: Site) -> None:
    publish(0)
    site.clock.advance(HOUR)

    def sleep(step: str) -> None:
        if step == "checkpoint":
            site.clock.advance(LENGTH)
            acquire(NAME, "other", site.clock)

    with pytest.raises(LeaseLost):
        cycle(executor(site.clock, site.broker, reached=sleep), acquire(NAME, "one", site.clock))
    assert site.broker.sent == []


def test_an_executor_that_sleeps_before_it_sends_does_not_send(site: Site) -> None:
    publish(0)
    site.clock.advance(HOUR)

    def sleep(step: str) -> None:
        if step == "sent":
            site.clock.advance(LENGTH - timedelta(seconds=10))

    cycle(executor(site.clock, site.broker, reached=sleep), acquire(NAME, "one", site.clock))
    assert states() == ["REJECTED"]
    assert site.broker.sent == []


def test_each_taking_of_a_lease_has_its_own_token(site: Site) -> None:
    first = acquire("x", "same", site.clock)
    second = acquire("x", "same", site.clock)
    assert second.token > first.token
    with session() as opened, pytest.raises(LeaseLost):
        first.fence(opened)


def test_the_database_refuses_to_go_back(site: Site) -> None:
    publish(0)
    site.run(1)
    with pytest.raises(DBAPIError, match="cannot go from FILLED to SENT"), engine().begin() as c:
        c.execute(text("UPDATE intent SET state = 'SENT'"))
    with pytest.raises(DBAPIError, match="never changed"), engine().begin() as c:
        c.execute(text("DELETE FROM intent_event"))
