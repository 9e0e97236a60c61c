"""What the simulated venue tells of the account, and of its log."""

from __future__ import annotations

from typing import Any

import pytest

from infra.brokers.simulator.server import ACCOUNT
from tests.infra.brokers.simulator.desk import FLAT, Desk, desk, minutes, money

SUMMARY = (
    "id", "alias", "currency", "balance", "createdByUserID", "createdTime",
    "guaranteedStopLossOrderMode", "pl", "resettablePL", "resettablePLTime", "financing",
    "commission", "guaranteedExecutionFees", "marginRate", "openTradeCount", "openPositionCount",
    "pendingOrderCount", "hedgingEnabled", "unrealizedPL", "NAV", "marginUsed",
    "marginAvailable", "positionValue", "marginCloseoutUnrealizedPL", "marginCloseoutNAV",
    "marginCloseoutMarginUsed", "marginCloseoutPercent", "marginCloseoutPositionValue",
    "withdrawalLimit", "marginCallMarginUsed", "marginCallPercent", "lastTransactionID",
)  # fmt: skip


@pytest.fixture
def at() -> Desk:
    return desk(minutes(*[FLAT] * 60))


def test_the_summary_has_the_venues_fields(at: Desk) -> None:
    at.buy(stop="1.05")
    told = at.get("/summary")["account"]
    assert set(SUMMARY) <= set(told)
    assert money(told["NAV"]) == money(told["balance"]) + money(told["unrealizedPL"])
    assert money(told["marginAvailable"]) == money(told["NAV"]) - money(told["marginUsed"])
    assert (told["openTradeCount"], told["pendingOrderCount"]) == (1, 0)


def test_the_whole_account_has_trades_positions_and_orders(at: Desk) -> None:
    trade = at.buy(stop="1.05")
    at.order(type="LIMIT", price="1.01")
    told = at.get("")["account"]
    assert told["trades"][0]["id"] == trade
    assert told["trades"][0]["stopLossOrderID"] == told["orders"][0]["id"]
    assert [order["type"] for order in told["orders"]] == ["STOP_LOSS", "LIMIT"]
    assert told["positions"][0]["long"]["units"] == "1000"


def test_changes_are_those_since(at: Desk) -> None:
    first = at.buy(stop="1.05")
    since = at.simulator.book.last
    at.send("PUT", f"/trades/{first}/close", {"units": "400"})
    at.send("PUT", f"/trades/{first}/close", {"units": "ALL"})
    second = at.buy(stop="1.04")
    told = at.get("/changes", sinceTransactionID=since)
    found = {name: [each["id"] for each in part] for name, part in told["changes"].items()
             if name.startswith(("orders", "trades"))}  # fmt: skip
    assert found["tradesOpened"] == [second]
    assert found["tradesReduced"] == found["tradesClosed"] == [first]
    assert len(found["ordersCreated"]) == 4
    assert len(found["ordersFilled"]) == 3
    assert len(found["ordersCancelled"]) == 1
    assert told["changes"]["positions"][0]["instrument"] == "EUR_USD"
    assert told["state"]["trades"][0]["id"] == second
    assert len(told["changes"]["transactions"]) == at.simulator.book.last - since


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/transactions/sinceid", {"id": "3"}, 416),
        ("/transactions/sinceid", {"id": "x"}, 400),
        ("/transactions/sinceid", {}, 400),
        ("/transactions/sinceid", {"id": "-1"}, 400),
        ("/transactions/idrange", {"from": "1", "to": "9"}, 416),
        ("/transactions/idrange", {"from": "2", "to": "1"}, 400),
        ("/changes", {"sinceTransactionID": "99"}, 416),
        ("/transactions/77", {}, 404),
        ("/transactions/0", {}, 404),
        ("/transactions/x", {}, 400),
        ("/transactions", {"pageSize": "1001"}, 400),
        ("/transactions", {"pageSize": "0"}, 400),
        ("/transactions", {"from": "yesterday"}, 400),
        ("/pricing", {}, 400),
        ("/pricing", {"instruments": "EUR_USD,AAA_BBB"}, 400),
        ("/pricing", {"instruments": "EUR_USD", "since": "x"}, 400),
        ("/orders", {"state": "NOVEL"}, 400),
        ("/orders", {"count": "501"}, 400),
        ("/trades", {"state": "NOVEL"}, 400),
        ("/instruments", {"instruments": "AAA_BBB"}, 400),
        ("/novel", {}, 404),
    ],
)
def test_wrong_questions(at: Desk, path: str, query: dict[str, str], status: int) -> None:
    assert "errorMessage" in at.get(path, status, **query)


def test_the_log_is_told_by_number_range_and_since(at: Desk) -> None:
    at.buy(stop="1.05")
    every = at.get("/transactions/sinceid", id=0)["transactions"]
    assert [line["id"] for line in every] == ["1", "2", "3", "4", "5"]
    assert [line["type"] for line in every[:2]] == ["CREATE", "TRANSFER_FUNDS"]
    assert at.get("/transactions/4")["transaction"] == every[3]
    assert at.get("/transactions/idrange", **{"from": 2, "to": 4})["transactions"] == every[1:4]
    assert at.get("/transactions/sinceid", id=5)["transactions"] == []


def test_pages_are_addresses(at: Desk) -> None:
    at.buy(stop="1.05")
    told = at.get("/transactions", pageSize=2)
    assert told["count"] == 5
    assert [page.partition("?")[2] for page in told["pages"]] == [
        "from=1&to=2", "from=3&to=4", "from=5&to=5",
    ]  # fmt: skip


def test_the_account_may_be_renamed(at: Desk) -> None:
    told = at.send("PATCH", "/configuration", {"alias": "mine", "marginRate": "0.05"})
    assert told["clientConfigureTransaction"]["type"] == "CLIENT_CONFIGURE"
    assert at.get("/summary")["account"]["alias"] == "mine"


def test_instruments_are_told_one_by_one(at: Desk) -> None:
    told = at.get("/instruments", instruments="EUR_USD")["instruments"]
    assert [each["name"] for each in told] == ["EUR_USD"]
    assert {"displayPrecision", "marginRate", "maximumOrderUnits"} <= set(told[0])


def test_other_accounts_tokens_and_methods(at: Desk) -> None:
    other = at.http.get("/v3/accounts/001-001-1-001/summary")
    assert (other.status_code, other.json()["errorMessage"]) == (
        404, "Invalid value specified for 'accountID'",
    )  # fmt: skip
    wrong = at.http.get(f"{at.root}/summary", headers={"Authorization": "Bearer other"})
    assert wrong.status_code == 401
    assert at.http.delete(f"{at.root}/orders").status_code == 405
    assert at.http.get("/v3/accounts").json()["accounts"] == [{"id": ACCOUNT, "tags": []}]


def test_times_come_as_seconds_too(at: Desk) -> None:
    headers = {"Accept-Datetime-Format": "UNIX"}
    told: Any = at.http.get(f"{at.root}/transactions/1", headers=headers).json()
    assert told["transaction"]["time"] == "1772625600.000000000"


def test_every_answer_has_a_number(at: Desk) -> None:
    answer = at.http.post(
        f"{at.root}/orders",
        json={"order": {"type": "MARKET", "instrument": "EUR_USD", "units": "1"}},
    )
    told = answer.json()["orderCreateTransaction"]
    assert answer.headers["RequestID"] == told["requestID"]


def test_candles_of_the_account(at: Desk) -> None:
    at.passes(minutes=10)
    told = at.get("/instruments/EUR_USD/candles", granularity="M1", price="BA", count=3)
    assert [candle["complete"] for candle in told["candles"]] == [True, True, False]
    assert set(told["candles"][0]) == {"complete", "volume", "time", "bid", "ask"}
