"""Orders, trades and positions at the simulated venue: shapes, refusals, and what surprises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.brokers.simulator.desk import FLAT, NOON, Desk, desk, minutes, money


@pytest.fixture
def at() -> Iterator[Desk]:
    made = desk(minutes(*[FLAT] * 60))
    yield made
    made.simulator.book.check()


def test_a_filled_order_tells_all_that_was_written(at: Desk) -> None:
    told = at.order(
        "-1000",
        clientExtensions={"id": "mine", "tag": "t"},
        priceBound="1.09980",
        stopLossOnFill={"price": "1.10900", "timeInForce": "GTC"},
        takeProfitOnFill={"price": "1.08100"},
    )
    create, fill = told["orderCreateTransaction"], told["orderFillTransaction"]
    assert told["relatedTransactionIDs"] == ["3", "4", "5", "6"]
    assert told["lastTransactionID"] == "6"
    assert (create["type"], create["reason"], create["units"]) == (
        "MARKET_ORDER", "CLIENT_ORDER", "-1000",
    )  # fmt: skip
    assert create["clientExtensions"] == {"id": "mine", "tag": "t"}
    assert (create["batchID"], fill["batchID"], fill["requestID"]) == (
        "3",
        "3",
        create["requestID"],
    )
    assert (fill["orderID"], fill["clientOrderID"], fill["price"]) == ("3", "mine", "1.09990")
    assert fill["tradeOpened"]["tradeID"] == fill["id"] == "4"
    assert money(fill["tradeOpened"]["initialMarginRequired"]) > 0
    assert money(fill["halfSpreadCost"]) == money("0.1")
    assert fill["fullPrice"]["bids"][0]["liquidity"] == 10_000_000
    assert fill["time"].endswith("000Z")
    assert at.log() == [
        ("MARKET_ORDER", "CLIENT_ORDER"), ("ORDER_FILL", "MARKET_ORDER"),
        ("TAKE_PROFIT_ORDER", "ON_FILL"), ("STOP_LOSS_ORDER", "ON_FILL"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"priceBound": "1.10000"}, "BOUNDS_VIOLATION"),
        ({"stopLossOnFill": {"price": "1.09990"}}, "STOP_LOSS_ON_FILL_LOSS"),
        ({"takeProfitOnFill": {"price": "1.09990"}}, "TAKE_PROFIT_ON_FILL_LOSS"),
        ({"units": "1000000"}, "INSUFFICIENT_MARGIN"),
        ({"units": "20000000"}, "INSUFFICIENT_LIQUIDITY"),
        ({"positionFill": "REDUCE_ONLY"}, "POSITION_CLOSEOUT_FAILED"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_201_is_no_fill(at: Desk, more: dict[str, Any], reason: str) -> None:
    told = at.order(more.pop("units", "1000"), **more)
    assert "orderFillTransaction" not in told
    assert told["orderCancelTransaction"]["reason"] == reason
    assert told["orderCancelTransaction"]["orderID"] == told["orderCreateTransaction"]["id"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"units": "0"}, "UNITS_INVALID"),
        ({"units": "1.5"}, "UNITS_PRECISION_EXCEEDED"),
        ({"units": "200000000"}, "UNITS_LIMIT_EXCEEDED"),
        ({"timeInForce": "GTC"}, "TIME_IN_FORCE_INVALID"),
        ({"priceBound": "1.123456"}, "PRICE_BOUND_PRECISION_EXCEEDED"),
        ({"priceBound": "-1"}, "PRICE_BOUND_INVALID"),
        ({"clientExtensions": {"id": "x" * 129}}, "CLIENT_ORDER_ID_INVALID"),
        ({"clientExtensions": {"tag": "x" * 129}}, "CLIENT_ORDER_TAG_INVALID"),
        (
            {"stopLossOnFill": {"price": "1.0999999"}},
            "STOP_LOSS_ON_FILL_PRICE_PRECISION_EXCEEDED",
        ),
        ({"stopLossOnFill": {}}, "STOP_LOSS_ON_FILL_PRICE_MISSING"),
        (
            {"stopLossOnFill": {"price": "1.0", "distance": "0.1"}},
            "STOP_LOSS_ON_FILL_PRICE_AND_DISTANCE_BOTH_SPECIFIED",
        ),
        ({"stopLossOnFill": {"price": "0"}}, "STOP_LOSS_ON_FILL_PRICE_INVALID"),
        (
            {"stopLossOnFill": {"price": "1.0", "timeInForce": "IOC"}},
            "STOP_LOSS_ON_FILL_TIME_IN_FORCE_INVALID",
        ),
        ({"type": "LIMIT"}, "PRICE_MISSING"),
        ({"type": "LIMIT", "price": "1.1", "timeInForce": "FOK"}, "TIME_IN_FORCE_INVALID"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_takes_a_number(at: Desk, more: dict[str, Any], reason: str) -> None:
    told = at.order(more.pop("units", "1000"), 400, **more)
    assert told["errorCode"] == told["orderRejectTransaction"]["rejectReason"] == reason
    assert told["orderRejectTransaction"]["type"].endswith("_ORDER_REJECT")
    assert told["lastTransactionID"] == "3"
    assert at.log() == [(told["orderRejectTransaction"]["type"], "CLIENT_ORDER")]


def test_the_minimum_is_the_instruments() -> None:
    at = desk(minutes(FLAT), changes={"EUR_USD": {"minimumTradeSize": "10"}})
    assert at.order("9", 400)["errorCode"] == "UNITS_MIMIMUM_NOT_MET"


@pytest.mark.parametrize(
    "more",
    [
        {"instrument": "XXX_YYY"},
        {"instrument": 5},
        {"units": "1e3"},
        {"units": "NaN"},
        {"units": 1.5},
        {"units": True},
        {"units": None},
        {"units": "1" * 50},
        {"units": "١٠"},
        {"type": "NOVEL"},
        {"positionFill": "NOVEL"},
        {"stopLossOnFill": "1.1"},
        {"clientExtensions": {"id": 7}},
        {"priceBound": []},
    ],
)
def test_what_is_refused_at_the_door_takes_none(at: Desk, more: dict[str, Any]) -> None:
    told = at.order(more.pop("units", "1000"), 400, **more)
    assert "errorMessage" in told
    assert "lastTransactionID" not in told
    assert at.simulator.book.last == 2


def test_an_unknown_instrument_is_told_by_the_venues_words(at: Desk) -> None:
    assert at.order(status=400, instrument="AAA_BBB") == {
        "errorCode": "oanda::rest::core::InvalidParameterException",
        "errorMessage": "Invalid value specified for 'order.instrument'",
    }


def test_a_clients_name_is_no_key(at: Desk) -> None:
    first, second = (at.order(clientExtensions={"id": "same"}) for _ in range(2))
    assert first["orderFillTransaction"]["id"] != second["orderFillTransaction"]["id"]
    assert len(at.get("/openTrades")["trades"]) == 2
    assert at.get("/orders/@same", 404)["errorCode"] == "NO_SUCH_ORDER"


def test_a_name_is_taken_while_its_order_waits(at: Desk) -> None:
    waiting: dict[str, Any] = {"type": "LIMIT", "price": "1.05", "clientExtensions": {"id": "same"}}
    number = at.order(**waiting)["orderCreateTransaction"]["id"]
    assert at.get("/orders/@same")["order"]["id"] == number
    assert at.order(status=400, **waiting)["errorCode"] == "CLIENT_ORDER_ID_ALREADY_EXISTS"
    at.send("PUT", "/orders/@same/cancel")
    assert at.get("/orders/@same", 404)["errorCode"] == "NO_SUCH_ORDER"
    assert at.order(**waiting)["orderCreateTransaction"]["id"] != number


def test_orders_are_listed_by_state_and_cancelled_once(at: Desk) -> None:
    number = at.order(type="STOP", price="1.2")["orderCreateTransaction"]["id"]
    filled = at.order()["orderCreateTransaction"]["id"]
    assert [order["id"] for order in at.get("/orders")["orders"]] == [number]
    assert [order["id"] for order in at.get("/pendingOrders")["orders"]] == [number]
    assert [order["id"] for order in at.get("/orders", state="ALL")["orders"]] == [filled, number]
    assert at.get("/orders", ids=f"{filled},99")["orders"][0]["state"] == "FILLED"
    told = at.send("PUT", f"/orders/{number}/cancel")
    assert told["orderCancelTransaction"]["reason"] == "CLIENT_REQUEST"
    again = at.send("PUT", f"/orders/{number}/cancel", status=404)
    assert again["orderCancelRejectTransaction"]["rejectReason"] == "ORDER_DOESNT_EXIST"
    assert again["lastTransactionID"] == str(at.simulator.book.last)


def test_an_order_is_replaced(at: Desk) -> None:
    number = at.order(type="LIMIT", price="1.05")["orderCreateTransaction"]["id"]
    order = {"type": "LIMIT", "instrument": "EUR_USD", "units": "5", "price": "1.06"}
    told = at.send("PUT", f"/orders/{number}", {"order": order}, 201)
    assert told["orderCancelTransaction"]["reason"] == "CLIENT_REQUEST_REPLACED"
    assert told["orderCreateTransaction"]["price"] == "1.06"
    assert at.send("PUT", f"/orders/{number}", {"order": order}, 404)["errorCode"]


def test_a_stop_is_replaced_by_its_number(at: Desk) -> None:
    trade = at.buy(stop="1.05")
    stop = at.get(f"/trades/{trade}")["trade"]["stopLossOrder"]["id"]
    order = {"type": "STOP_LOSS", "tradeID": trade, "price": "1.06"}
    told = at.send("PUT", f"/orders/{stop}", {"order": order}, 201)
    assert told["orderCreateTransaction"]["tradeID"] == trade
    assert at.get(f"/trades/{trade}")["trade"]["stopLossOrder"]["price"] == "1.06"


def test_few_units_fill_in_part_or_not_at_all() -> None:
    at = desk(minutes(FLAT), depth=((600, 0.0), (300, 1.0)))
    assert at.order("1000")["orderCancelTransaction"]["reason"] == "INSUFFICIENT_LIQUIDITY"
    fill = at.order("1000", timeInForce="IOC")["orderFillTransaction"]
    assert (fill["units"], fill["requestedUnits"]) == ("900", "1000")
    assert fill["price"] == "1.10013"
    bounded = at.order("700", timeInForce="IOC", priceBound="1.10010")["orderFillTransaction"]
    assert (bounded["units"], bounded["price"]) == ("600", "1.10010")
    refused = at.order("700", priceBound="1.10010")["orderCancelTransaction"]
    assert refused["reason"] == "BOUNDS_VIOLATION"


def test_a_trade_is_closed_by_number_in_parts_and_once(at: Desk) -> None:
    trade = at.buy(stop="1.05")
    part = at.send("PUT", f"/trades/{trade}/close", {"units": "400"})
    assert part["orderCreateTransaction"]["reason"] == "TRADE_CLOSE"
    assert part["orderCreateTransaction"]["tradeClose"] == {"tradeID": trade, "units": "400"}
    assert part["orderFillTransaction"]["tradeReduced"]["units"] == "-400"
    assert part["orderFillTransaction"]["reason"] == "MARKET_ORDER_TRADE_CLOSE"
    too_many = at.send("PUT", f"/trades/{trade}/close", {"units": "601"}, 400)
    assert too_many["errorCode"] == "CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE"
    rest = at.send("PUT", f"/trades/{trade}/close", {"units": "ALL"})
    assert rest["orderFillTransaction"]["tradesClosed"][0]["tradeID"] == trade
    assert len(rest["relatedTransactionIDs"]) == 3
    again = at.send("PUT", f"/trades/{trade}/close", {}, 404)
    assert again["errorCode"] == "TRADE_DOESNT_EXIST"
    assert again["orderRejectTransaction"]["id"] == str(at.simulator.book.last)
    closed = at.get(f"/trades/{trade}")["trade"]
    assert (closed["state"], closed["currentUnits"]) == ("CLOSED", "0")
    assert closed["averageClosePrice"] == "1.09990"
    assert at.get("/trades", state="CLOSED")["trades"] == [closed]
    assert at.get("/trades")["trades"] == []
    assert at.get("/trades/777", 404)["errorCode"] == "NO_SUCH_TRADE"


def test_protection_is_set_replaced_and_taken(at: Desk) -> None:
    trade = at.buy(stop="1.05")
    levels = {"stopLoss": {"price": "1.06", "timeInForce": "GTC"}, "takeProfit": {"price": "1.2"}}
    told = at.send("PUT", f"/trades/{trade}/orders", levels)
    assert told["stopLossOrderCancelTransaction"]["reason"] == "CLIENT_REQUEST_REPLACED"
    assert told["stopLossOrderTransaction"]["reason"] == "REPLACEMENT"
    assert told["takeProfitOrderTransaction"]["price"] == "1.2"
    shown = at.get(f"/trades/{trade}")["trade"]
    assert (shown["stopLossOrder"]["price"], shown["takeProfitOrder"]["price"]) == ("1.06", "1.2")
    gone = at.send("PUT", f"/trades/{trade}/orders", {"takeProfit": None})
    assert gone["takeProfitOrderCancelTransaction"]["reason"] == "CLIENT_REQUEST"
    fine = {"stopLoss": {"price": "1.0612345"}}
    refused = at.send("PUT", f"/trades/{trade}/orders", fine, 400)
    assert refused["errorCode"] == "PRICE_PRECISION_EXCEEDED"
    assert at.get(f"/trades/{trade}")["trade"]["stopLossOrder"]["price"] == "1.06"
    lost = at.send("PUT", "/trades/99/orders", levels, 404)
    assert lost["errorCode"] == "TRADE_DOESNT_EXIST"


def test_a_stop_beyond_the_price_fills_at_once(at: Desk) -> None:
    trade = at.buy()
    at.send("PUT", f"/trades/{trade}/orders", {"stopLoss": {"price": "1.2"}})
    assert at.get(f"/trades/{trade}")["trade"]["state"] == "CLOSED"
    assert at.log()[-1] == ("ORDER_FILL", "STOP_LOSS_ORDER")


def test_a_trade_has_a_name_only_if_it_was_given_one(at: Desk) -> None:
    plain = at.buy()
    at.order(tradeClientExtensions={"id": "own"})
    assert "clientExtensions" not in at.get(f"/trades/{plain}")["trade"]
    assert at.get("/trades/@own")["trade"]["clientExtensions"] == {"id": "own"}
    at.send("PUT", f"/trades/{plain}/clientExtensions", {"clientExtensions": {"id": "late"}})
    assert at.get("/trades/@late")["trade"]["id"] == plain


def test_all_of_both_sides_fails_where_one_is_there(at: Desk) -> None:
    both = {"longUnits": "ALL", "shortUnits": "ALL"}
    nothing = at.send("PUT", "/positions/EUR_USD/close", both, 404)
    assert nothing["errorCode"] == "CLOSEOUT_POSITION_DOESNT_EXIST"
    at.buy()
    refused = at.send("PUT", "/positions/EUR_USD/close", both, 400)
    assert refused["shortOrderRejectTransaction"]["rejectReason"] == (
        "CLOSEOUT_POSITION_DOESNT_EXIST"
    )
    assert len(at.get("/openTrades")["trades"]) == 1
    at.buy(stop="1.05")
    done = at.send("PUT", "/positions/EUR_USD/close", {"longUnits": "ALL", "shortUnits": "NONE"})
    assert done["longOrderCreateTransaction"]["reason"] == "POSITION_CLOSEOUT"
    assert done["longOrderFillTransaction"]["units"] == "-2000"
    assert len(done["longOrderFillTransaction"]["tradesClosed"]) == 2
    assert at.get("/openTrades")["trades"] == []


def test_positions_net_and_shorts_are_negative(at: Desk) -> None:
    assert at.get("/positions/EUR_USD", 404)["errorCode"] == "NO_SUCH_POSITION"
    at.order("-1000")
    told = at.get("/positions/EUR_USD")["position"]
    assert (told["short"]["units"], told["long"]["units"]) == ("-1000", "0")
    assert told["short"]["tradeIDs"] == ["4"]
    at.order("400")
    assert at.get("/openPositions")["positions"][0]["short"]["units"] == "-600"
    at.send("PUT", "/positions/EUR_USD/close", {"shortUnits": "100"})
    at.order("500")
    flat = at.get("/positions/EUR_USD")["position"]
    assert (flat["short"]["units"], flat["long"]["units"]) == ("0", "0")
    assert money(flat["pl"]) == money("-0.2")
    assert at.get("/openPositions")["positions"] == []
    assert at.get("/positions/AAA_BBB", 400)


@pytest.mark.parametrize("kind", ["LIMIT", "MARKET_IF_TOUCHED", "STOP"])
def test_an_order_that_waits_fills_when_the_price_comes(kind: str) -> None:
    bars = [FLAT, (1.1, 1.12, 1.08, 1.1), *[FLAT] * 3]
    at = desk(minutes(*bars))
    at.order(type=kind, price="1.11" if kind == "STOP" else "1.09", stopLossOnFill={"price": "1.0"})
    at.passes(minutes=3)
    assert ("ORDER_FILL", f"{kind}_ORDER") in at.log()
    assert len(at.get("/openTrades")["trades"]) == 1


def test_an_order_of_a_day_expires(at: Desk) -> None:
    until = "2026-03-04T12:05:00Z"
    at.order(type="LIMIT", price="1.05", timeInForce="GTD", gtdTime=until)
    at.passes(minutes=10)
    assert at.log()[-1] == ("ORDER_CANCEL", "TIME_IN_FORCE_EXPIRED")
    late = at.order(type="LIMIT", price="1.05", timeInForce="GTD", gtdTime=until, status=400)
    assert late["errorCode"] == "TIME_IN_FORCE_GTD_TIMESTAMP_IN_PAST"


def test_a_distance_is_a_price(at: Desk) -> None:
    at.order(stopLossOnFill={"distance": "0.0050"})
    stop = at.get("/openTrades")["trades"][0]["stopLossOrder"]
    assert money(stop["price"]) == money("1.0951")
    assert at.clock.now() == NOON


@pytest.mark.parametrize("reason", ["ACCOUNT_LOCKED", "ACCOUNT_NOT_ACTIVE"])
def test_an_account_may_be_locked(at: Desk, reason: str) -> None:
    at.simulator.venue.locked = reason
    assert at.order(status=400)["orderRejectTransaction"]["rejectReason"] == reason


def test_an_order_may_be_cancelled_for_any_reason(at: Desk) -> None:
    at.simulator.venue.cancels.append("NOVEL_REASON")
    assert at.order()["orderCancelTransaction"]["reason"] == "NOVEL_REASON"
    assert "orderFillTransaction" in at.order()


def test_only_so_many_orders_wait(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.brokers.simulator.demands.MOST_WAITING", 1)
    at.order(type="LIMIT", price="1.05")
    told = at.order(type="LIMIT", price="1.05", status=400)
    assert told["errorCode"] == "PENDING_ORDERS_ALLOWED_EXCEEDED"


def test_a_price_is_told_until_its_minute_is_over(at: Desk) -> None:
    at.passes(seconds=42)
    price = at.get("/pricing", instruments="EUR_USD")["prices"][0]
    assert price["time"] == "2026-03-04T12:00:42.000000000Z"
