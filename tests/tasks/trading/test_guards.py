"""What keeps an executor from acting: switches, leases, a journal that disagrees."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from infra.brokers.holdings import Request
from infra.postgres.database import engine, session
from infra.postgres.trading import Venue
from tasks.trading import control
from tasks.trading.accept import CannotAccept, accept
from tasks.trading.execution import cycle
from tasks.trading.journal import Journal
from tasks.trading.lease import LENGTH, LeaseHeld, LeaseLost, acquire
from tasks.trading.orders import Desk
from tests.tasks.trading.conftest import NAME, Site, states
from tests.tasks.trading.desk import (
    HOUR,
    PAIR,
    START,
    BookBroker,
    executor,
    positions,
    publish,
)


def test_a_foreign_trade_is_left_alone(site: Site) -> None:
    site.broker.book.enter(Request(PAIR, Decimal(5), "somebody"), site.clock.now())
    site.later(60)
    site.run(9)
    assert len(site.broker.account().trades) == 1
    assert positions() == []


def test_a_trade_of_ours_that_the_journal_does_not_know_halts(site: Site) -> None:
    site.broker.book.enter(Request(PAIR, Decimal(5), "sep-1"), site.clock.now())
    report = site.later(60)
    assert any("disagree" in sentence for sentence in report.findings)
    publish(0)
    site.run(1)
    assert len(positions()) == 0
    assert site.broker.sent == []


def test_an_order_of_ours_that_the_journal_lost_halts(site: Site) -> None:
    """The journal was restored from a backup; the trade has come and gone since."""
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


def test_a_person_may_accept_what_the_broker_says(site: Site) -> None:
    publish(0)
    site.run(1)
    site.broker.book.trades.clear()
    assert any("not at the broker" in sentence for sentence in site.later(60).findings)
    assert accept(_desk(site), "me", "they said so") == ["trade 4 (EUR_USD) ended unexplained"]
    publish(2)
    report = site.run(3)
    assert [row["pair"] for row in report.entered] == [PAIR]
    assert report.findings == []


def test_a_log_that_begins_anew_cannot_be_accepted(site: Site) -> None:
    publish(0)
    site.run(1)
    site.broker.book = BookBroker.new(site.clock).book
    with pytest.raises(CannotAccept, match="began anew"):
        accept(_desk(site), "me", "the account was reset")


def _desk(site: Site) -> Desk:
    lease = acquire(NAME, "one", site.clock)
    return Desk(Journal("book-1", lease, site.clock), site.broker)


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


def test_a_clock_that_is_set_takes_no_lease(site: Site) -> None:
    """Leases go by the database's clock, not by that of a machine."""
    acquire(NAME, "one", site.clock)
    site.clock.step(2 * LENGTH)
    with pytest.raises(LeaseHeld, match="one holds the lease"):
        acquire(NAME, "other", site.clock)
    site.clock.advance(LENGTH)
    assert acquire(NAME, "other", site.clock).remaining() > 0


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
