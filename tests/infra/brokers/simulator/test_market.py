"""The simulated market: its week, its prices, and what they do to trades, in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.sessions import rollovers, trades_at
from infra.brokers.simulator.ticks import widened
from tests.infra.brokers.simulator.desk import FLAT, NOON, desk, minutes, money

MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "opened"),
    [
        ("2026-03-06 21:57", True),  # Friday, New York is 5 hours behind
        ("2026-03-06 21:58", False),
        ("2026-03-07 12:00", False),
        ("2026-03-08 21:02", False),  # its clocks went forward: 4 hours behind
        ("2026-03-08 21:03", True),
        ("2026-03-09 20:58", False),
        ("2026-03-09 21:03", True),
        ("2026-10-30 20:57", True),
        ("2026-10-30 20:58", False),
        ("2026-11-01 21:03", False),  # and back
        ("2026-11-01 22:03", True),
        ("2026-11-02 21:59", False),
        ("2025-12-25 12:00", False),
        ("2025-12-25 22:04", True),
    ],
)
def test_the_week_is_new_yorks(at: str, opened: bool) -> None:
    assert trades_at("EUR_USD", utc(at)) is opened
    assert trades_at("BTC_USD", utc(at))
    assert trades_at("PLANTED", utc(at))


def test_days_are_charged_at_five_in_new_york() -> None:
    found = [*rollovers(utc("2026-03-04 22:00"), utc("2026-03-12 22:00"))]
    assert [(f"{at:%a %H}", days) for at, days in found] == [
        ("Thu 22", 1), ("Fri 22", 1), ("Mon 21", 1), ("Tue 21", 1), ("Wed 21", 3), ("Thu 21", 1),
    ]  # fmt: skip


def test_no_order_is_filled_while_the_market_is_closed() -> None:
    friday = utc("2026-03-06 21:50")
    at = desk(minutes(*[FLAT] * 10, start=friday), friday)
    trade = at.buy(stop="1.05")
    at.passes(minutes=9)
    assert at.order()["orderCancelTransaction"]["reason"] == "MARKET_HALTED"
    told = at.send("PUT", f"/trades/{trade}/close", {"units": "ALL"})
    assert told["orderCancelTransaction"]["reason"] == "MARKET_HALTED"
    price = at.get("/pricing", instruments="EUR_USD")["prices"][0]
    assert (price["status"], price["tradeable"]) == ("non-tradeable", False)


def test_a_weekends_gap_goes_through_the_stop() -> None:
    friday, sunday = utc("2026-03-06 21:55"), utc("2026-03-08 21:03")
    gap = (1.04, 1.045, 1.03, 1.04)
    frame = pl.concat([minutes(FLAT, start=friday), minutes(gap, start=sunday)])
    at = desk(frame, friday)
    trade = at.buy(stop="1.09")
    at.passes(days=3)
    closed = at.get(f"/trades/{trade}")["trade"]
    assert money(closed["averageClosePrice"]) == money("1.0399")
    assert closed["closeTime"].startswith("2026-03-08T21:03:00")


def test_prices_while_it_is_closed_do_nothing() -> None:
    saturday = utc("2026-03-07 12:00")
    frame = minutes(*[(1.0, 1.0, 0.9, 1.0)] * 5, start=saturday)
    friday = utc("2026-03-06 21:55")
    at = desk(pl.concat([minutes(FLAT, start=friday), frame]), friday)
    trade = at.buy(stop="1.09")
    at.passes(hours=20)
    assert at.get(f"/trades/{trade}")["trade"]["state"] == "OPEN"


@pytest.mark.parametrize(
    ("units", "stop", "target", "bar", "price", "reason"),
    [
        ("1000", "1.09000", "1.11000", (1.1, 1.12, 1.08, 1.1), "1.09000", "STOP_LOSS_ORDER"),
        ("-1000", "1.11000", "1.09000", (1.1, 1.12, 1.08, 1.1), "1.11000", "STOP_LOSS_ORDER"),
        ("1000", "1.09000", "1.11000", (1.1, 1.12, 1.095, 1.1), "1.11000", "TAKE_PROFIT_ORDER"),
        ("-1000", "1.11000", "1.09000", (1.1, 1.105, 1.08, 1.1), "1.09000", "TAKE_PROFIT_ORDER"),
        ("1000", "1.09000", None, (1.08, 1.085, 1.07, 1.08), "1.07990", "STOP_LOSS_ORDER"),
        ("-1000", "1.11000", None, (1.12, 1.13, 1.12, 1.12), "1.12010", "STOP_LOSS_ORDER"),
    ],
    ids=["stop first", "short, too", "target", "short target", "gap", "short gap"],
)
def test_stops_and_targets_in_a_bar(
    units: str, stop: str, target: str | None, bar: tuple[float, ...], price: str, reason: str
) -> None:
    at = desk(minutes(FLAT, bar, FLAT))  # type: ignore[arg-type]
    levels: dict[str, Any] = {"stopLossOnFill": {"price": stop}}
    if target:
        levels["takeProfitOnFill"] = {"price": target}
    at.order(units, **levels)
    at.passes(minutes=2)
    told = at.get("/transactions/sinceid", id=2)["transactions"]
    fill = next(line for line in told if line["type"] == "ORDER_FILL" and line["id"] != "4")
    assert (fill["price"], fill["reason"]) == (price, reason)
    assert at.log()[-1][0] == ("ORDER_CANCEL" if target else "ORDER_FILL")


def test_what_was_before_the_entry_does_not_count() -> None:
    at = desk(minutes((1.1, 1.1, 1.0, 1.1), *[FLAT] * 3), NOON + timedelta(seconds=50))
    trade = at.buy(stop="1.09")
    at.passes(minutes=3)
    assert at.get(f"/trades/{trade}")["trade"]["state"] == "OPEN"


def test_a_step_of_time_or_many_are_the_same() -> None:
    frame = random_minutes(NOON, 600, seed=3)
    logs = []
    for step in (MINUTE / 7, 600 * MINUTE):
        at = desk(frame)
        price = money(at.get("/pricing", instruments="EUR_USD")["prices"][0]["closeoutBid"])
        at.buy(stop=f"{price - money('0.003')}", target=f"{price + money('0.001')}")
        at.order("-500", type="LIMIT", price=f"{price + money('0.0005')}")
        while at.clock.now() < NOON + 600 * MINUTE:
            at.clock.advance(step)
            at.simulator.look()
        told = at.get("/transactions/sinceid", id=2)["transactions"]
        logs.append([{k: v for k, v in line.items() if k != "requestID"} for line in told])
    assert logs[0] == logs[1]
    assert len(logs[0]) > 5


def test_margin_runs_out() -> None:
    at = desk(minutes(FLAT, (1.08, 1.08, 1.08, 1.08), FLAT))
    for _ in range(2):
        at.buy("220000", stop="1.00000")
    at.passes(minutes=1)
    log = at.log()
    assert log.count(("MARKET_ORDER", "MARGIN_CLOSEOUT")) == 2
    assert ("ORDER_FILL", "MARKET_ORDER_MARGIN_CLOSEOUT") in log
    assert at.get("/openTrades")["trades"] == []
    assert at.get("/summary")["account"]["marginCloseoutPercent"] == "0.00000"


@pytest.mark.parametrize(("price", "left"), [(1.0890, 1), (1.0880, 0)])
def test_margin_runs_out_at_half(price: float, left: int) -> None:
    bar = (price, price, price, price)
    at = desk(minutes(FLAT, bar, FLAT), changes={"EUR_USD": {"marginRate": "0.02"}})
    at.buy("440000", stop="1.00000")
    at.passes(minutes=1)
    assert len(at.simulator.book.trades) == left


def test_wednesdays_financing_is_three_days() -> None:
    changes = {"EUR_USD": {"financing": {"longRate": "-0.03", "shortRate": "0.01"}}}
    at = desk(minutes(*[FLAT] * 2), changes=changes)
    trade = at.buy("10000", stop="1.0")
    at.passes(hours=11)
    line = at.get("/transactions/sinceid", id=5)["transactions"][0]
    assert (line["type"], line["time"]) == ("DAILY_FINANCING", "2026-03-04T22:00:00.000000000Z")
    assert money(line["financing"]) == money("-2.7123")
    assert line["positionFinancings"][0]["openTradeFinancings"] == [
        {"tradeID": trade, "financing": "-2.7123"}
    ]
    assert at.get(f"/trades/{trade}")["trade"]["financing"] == "-2.7123"
    assert at.get("/summary")["account"]["financing"] == "-2.7123"
    at.passes(days=1)
    later = at.get("/transactions/sinceid", id=6)["transactions"][0]
    assert money(later["financing"]) == money("-0.9041")


def test_profit_in_yen_is_told_in_dollars() -> None:
    yen = random_minutes(NOON, 60, level=150, pip=0.01, missing=0)
    at = desk(minutes(FLAT), others={"USD_JPY": yen})
    at.order(instrument="USD_JPY", stopLossOnFill={"price": "140.000"})
    at.passes(minutes=30)
    told = at.get("/accounts".removeprefix("/accounts") + "/openTrades")["trades"][0]
    price = at.get("/pricing", instruments="USD_JPY", includeHomeConversions="true")
    bid = money(price["prices"][0]["closeoutBid"])
    yen_made = (bid - money(told["price"])) * 1000
    conversion = price["homeConversions"][0]
    assert conversion["currency"] == "JPY"
    rate = money(conversion["accountGain" if yen_made > 0 else "accountLoss"])
    assert money(told["unrealizedPL"]) == round(yen_made * rate, 4)
    assert 149 < 1 / rate < 151
    assert -bid.as_tuple().exponent == 3  # type: ignore[operator]


@pytest.mark.parametrize(
    ("pair", "currency"), [("EUR_GBP", "USD"), ("EUR_USD", "EUR"), ("EUR_USD", "CHF")]
)
def test_currencies_without_a_pair_have_a_worth(pair: str, currency: str) -> None:
    at = desk(minutes(FLAT), others={pair: minutes(FLAT)}, currency=currency)
    gain, loss = at.simulator.venue.worth(pair[-3:])
    assert Decimal("0.5") < gain <= loss < 2


def test_spreads_widen_by_the_hour() -> None:
    frame = minutes(*[FLAT] * 3, start=utc("2026-03-04 21:59"))
    wide = widened(frame, {17: 5.0})
    spreads = (wide["ask_o"] - wide["bid_o"]).round(5).to_list()
    assert spreads == [0.0002, 0.001, 0.001]


def test_minutes_without_a_tick_leave_the_price() -> None:
    at = desk(minutes(FLAT, None, None, (1.2, 1.2, 1.2, 1.2)))
    at.passes(minutes=2)
    price = at.get("/pricing", instruments="EUR_USD")["prices"][0]
    assert (price["closeoutBid"], price["time"][:19]) == ("1.09990", "2026-03-04T12:00:59")


def test_there_may_be_no_price_yet() -> None:
    at = desk(minutes(FLAT, start=NOON + MINUTE))
    assert at.get("/pricing", instruments="EUR_USD")["prices"] == []
    assert at.order()["orderCancelTransaction"]["reason"] == "MARKET_HALTED"


def test_a_clock_set_back_changes_nothing() -> None:
    at = desk(minutes(*[FLAT] * 30))
    at.buy(stop="1.05")
    at.passes(minutes=5)
    at.clock.step(-timedelta(hours=1))
    at.buy(stop="1.05")
    times = [line["time"] for line in at.get("/transactions/sinceid", id=2)["transactions"]]
    assert times == sorted(times)


def test_markets_share_their_minutes() -> None:
    first = Market({"EUR_USD": minutes(FLAT)}, NOON)
    assert first.columns("EUR_USD") is first.columns("EUR_USD")
