"""An order in doubt is settled by the log, and never sent again."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select

from infra.postgres.database import session
from infra.postgres.trading import Control
from tasks.trading import control
from tests.tasks.trading.conftest import Killed, Site, events, states
from tests.tasks.trading.desk import (
    PAIR,
    positions,
    publish,
)


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


def give_up(site: Site) -> None:
    """An order is on its way for so long that it counts as dropped."""
    site.broker.wire = ["delay"]
    publish(0)
    site.run(1)
    for _ in range(4):
        site.later(50)


def test_a_fill_after_the_order_was_given_up_is_closed_and_halts_the_pair(site: Site) -> None:
    give_up(site)
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
    give_up(site)
    site.broker.arrive()
    site.broker.wire = ["lose"]
    site.later(50)
    publish(0, strategy="other")
    assert "filled after all" in control.present("book-1", site.clock.now()).halted_pairs[PAIR]
    report = site.later(50)  # closed now
    assert [row["reason"] for row in report.left] == ["late"]
    report = site.later(50)
    assert [row["pair"] for row in report.entered] == [PAIR]


def test_a_late_fill_that_cannot_be_closed_has_its_stop(site: Site) -> None:
    give_up(site)
    site.broker.arrive()
    (held,) = site.broker.book.trades.values()
    assert held.stop is not None
    stop = held.stop.price
    site.broker.book.cancel(held.stop.id, site.clock.now())
    site.broker.wire = ["lose"]
    report = site.later(50)
    assert any("had no stop; it has now" in sentence for sentence in report.findings)
    (trade,) = site.broker.account().trades
    assert trade.stop == stop
    assert [row["reason"] for row in site.later(50).left] == ["late"]


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
