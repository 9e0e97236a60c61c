"""From a signal to a fill and out again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from infra.postgres.database import session
from infra.postgres.trading import Fill, IntentEvent
from tests.tasks.trading.conftest import Site, events, states
from tests.tasks.trading.desk import (
    HOUR,
    PAIR,
    START,
    intents,
    positions,
    publish,
)


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


def test_an_opposite_signal_is_used_up_only_when_the_position_is_closed(site: Site) -> None:
    publish(0)
    site.run(1)
    publish(1, "short")
    site.broker.wire = ["lose"]
    assert site.run(2).left == []
    assert [row["reason"] for row in site.later(30).left] == ["opposite"]
    assert states() == ["FILLED", "DROPPED", "FILLED", "DENIED"]


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
