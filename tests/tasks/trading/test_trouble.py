"""Trouble that must stay where it is: one pair's, one file's, one dead moment's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from infra.postgres.database import session
from infra.postgres.trading import Control
from tasks.trading import control
from tasks.trading.journal import Journal
from tasks.trading.lease import acquire
from tests.tasks.trading.conftest import NAME, Site, states
from tests.tasks.trading.desk import PAIR, intents, positions, publish


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
