"""Trouble that must stay where it is: one pair's, one file's, one dead moment's."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.brokers.broker import BrokerError
from infra.brokers.holdings import Request
from infra.postgres.database import session
from infra.postgres.trading import Control, Position
from tasks.trading import control
from tasks.trading.journal import Journal
from tasks.trading.lease import acquire
from tasks.trading.risk.limits import Limits
from tests.tasks.trading.conftest import NAME, Site, states
from tests.tasks.trading.desk import HOUR, PAIR, START, intents, positions, publish


def test_a_run_that_dies_while_it_denies_stops_nobody(site: Site) -> None:
    """An intent without units is left behind: it is no order, and others go on."""
    publish(0, confidence=float("nan"))
    site.clock.advance(timedelta(hours=1))
    journal = Journal("book-1", acquire(NAME, "one", site.clock), site.clock)
    from infra.postgres.models import Signal

    with session() as opened:
        signal = opened.query(Signal).one()
        opened.expunge_all()
    journal.claim(signal, {})
    publish(0, strategy="other")
    site.run()
    assert states() == ["DENIED", "FILLED"]


@pytest.mark.parametrize(
    "absurd", [{"stop_distance": 1e300}, {"target_distance": 1e30}, {"timeframe": "D1"}]
)
def test_an_absurd_signal_stops_no_other(site: Site, absurd: dict[str, Any]) -> None:
    publish(0, **absurd)
    publish(0, strategy="other")
    site.run(1)
    site.later(60)
    assert len(positions()) >= 1
    assert [p.strategy for p in positions()][-1] == "other"


def test_a_late_fill_does_not_lift_what_was_halted_by_hand(site: Site) -> None:
    site.broker.wire = ["delay"]
    publish(0)
    site.run(1)
    for _ in range(4):
        site.later(50)
    assert intents()[0].state == "DROPPED"
    with session() as opened:  # from another machine: its file is not here
        opened.add(
            Control(name="halt", account="book-1", scope=PAIR, on=True, who="me", why="news",
                    at=site.clock.now())
        )  # fmt: skip
    site.broker.arrive()
    for _ in range(3):
        site.later(50)
    assert positions()[0].closed_at is not None
    assert "news" in control.present("book-1", site.clock.now()).halted_pairs[PAIR]


def test_what_was_known_is_asked_anew_after_seconds(site: Site, monkeypatch: Any) -> None:
    """A long queue: the price that was good for the first signal is not that of the last."""
    publish(0, strategy="a", stop_distance=1e300)
    publish(0, strategy="b")
    site.clock.advance(timedelta(hours=1))
    asked, told = site.broker.prices, []

    def slow(pairs: Any) -> Any:
        told.append(asked(pairs))
        site.clock.advance(timedelta(seconds=5))
        site.broker.bid += Decimal("0.00100")
        return told[-1]

    monkeypatch.setattr(site.broker, "prices", slow)
    site.run()
    assert intents()[-1].quoted == told[-1][PAIR].ask


def test_exits_have_their_turn_in_a_long_queue(site: Site, monkeypatch: Any) -> None:
    publish(0)
    site.run(1)
    for n in range(6):
        publish(3, strategy=f"s{n}", stop_distance=1e300, valid_until=START + 9 * HOUR)
    site.clock.advance(timedelta(hours=3, minutes=59, seconds=30))
    asked, left = site.broker.prices, []

    def slow(pairs: Any) -> Any:
        site.clock.advance(timedelta(seconds=20))
        left.append(len([sent for sent in site.broker.sent if isinstance(sent, str)]))
        return asked(pairs)

    monkeypatch.setattr(site.broker, "prices", slow)
    site.run()
    assert left[-1] == 1


def test_a_log_that_makes_no_sense_keeps_no_trade_open(site: Site, monkeypatch: Any) -> None:
    publish(0)
    site.run(1)

    def senseless(transaction: int) -> Any:
        raise BrokerError("transaction 5 is missing in the log")

    monkeypatch.setattr(site.broker, "since", senseless)
    publish(4, strategy="other")
    report = site.run(6)
    assert report.entered == []
    assert any("is missing" in sentence for sentence in report.findings)
    assert [row["reason"] for row in report.left] == ["time"]
    assert positions()[0].closed_at is not None


def test_a_trade_that_an_older_version_left_pauses_nobody(site: Site) -> None:
    """A migration closed it without a fill: it has neither price nor profit."""
    publish(0)
    site.run(1)
    (held,) = positions()
    old = {column.name: getattr(held, column.name) for column in Position.__table__.columns}
    with session() as opened:
        opened.add(Position(**{**old, "id": None, "trade": "old-1", "closed_at": site.clock.now()}))
    site.changes["limits"] = Limits(cool_down_after=2)
    publish(1, strategy="other")
    assert len(site.run(2).entered) == 1


def test_an_order_that_nobody_wrote_down_halts_though_the_broker_falls_silent(site: Site) -> None:
    book, since = site.broker.book, site.broker.since
    book.enter(Request(PAIR, Decimal(5), "by hand"), site.clock.now())
    book.close(next(iter(book.trades)), None, None, site.clock.now())

    def silent(transaction: int) -> Any:
        (*_, fill) = book.enter(Request(PAIR, Decimal(5), "sep-1"), site.clock.now())
        book.close(next(iter(book.trades)), None, None, fill.at)
        told = since(transaction)
        site.broker.deaf = True
        return told

    site.broker.since = silent  # type: ignore[method-assign]
    site.later(60)
    site.broker.deaf, site.broker.since = False, since  # type: ignore[method-assign]
    publish(0, strategy="other")
    assert site.run(1).entered == []
    assert "sep-1" in str(control.present("book-1", site.clock.now()).halted)
