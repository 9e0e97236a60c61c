"""Whatever is sent, the venue answers as a venue does, and the account stays whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.infra.brokers.simulator.desk import FLAT, Desk, desk, minutes

ORDER = {"type": "MARKET", "instrument": "EUR_USD", "units": "1000"}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"{}", b'{"order": null}'),
        *(b'{"order": []}', b'{"order": 7}', b'{"order": {"units": NaN}}', b"[" * 50_000),
        b'{"order": {"units": ' + b"9" * 5000 + b"}}",
        json.dumps({"order": {**ORDER, "units": "1e999999"}}).encode(),
        json.dumps({"order": {**ORDER, "units": "-" * 5}}).encode(),
        json.dumps({"order": {**ORDER, "priceBound": {"a": 1}}}).encode(),
        json.dumps({"order": {**ORDER, "instrument": ["EUR_USD"]}}).encode(),
        json.dumps({"order": {**ORDER, "type": {}}}).encode(),
        json.dumps({"order": {**ORDER, "positionFill": []}}).encode(),
    ],
    ids=lambda content: content[:24].decode("latin-1"),
)
def test_what_is_no_order_is_refused_at_the_door(content: bytes) -> None:
    at = desk(minutes(FLAT))
    answer = at.http.post(f"{at.root}/orders", content=content)
    assert answer.status_code == 400
    assert answer.json()["errorMessage"]
    assert at.simulator.book.last == 2


def test_a_huge_body_is_not_read() -> None:
    at = desk(minutes(FLAT))
    assert at.http.post(f"{at.root}/orders", content=b"x" * 100_000).status_code == 413
    assert at.get("/summary")["lastTransactionID"] == "2"


def test_unknown_fields_do_nothing() -> None:
    at = desk(minutes(FLAT))
    assert "orderFillTransaction" in at.order(novel={"deep": [1]}, accountID="other")


@pytest.mark.parametrize("close", [{"units": "-5"}, {"units": "0"}, {"units": "0.5"}])
def test_closing_wants_units_above_zero(close: dict[str, str]) -> None:
    at = desk(minutes(FLAT))
    trade = at.buy()
    assert "errorCode" in at.send("PUT", f"/trades/{trade}/close", close, 400)
    assert len(at.simulator.book.trades) == 1


@pytest.mark.parametrize(
    "path", ["/trades/@/close", "/trades/%2e%2e/close", "/orders/@/cancel", "/trades/x y/orders"]
)
def test_odd_numbers_are_nobodys(path: str) -> None:
    at = desk(minutes(FLAT))
    at.buy()
    assert at.http.put(at.root + path, json={"stopLoss": {"price": "1.0"}}).status_code == 404
    at.simulator.book.check()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["1.1", "1000", "-1000", "ALL", "EUR_USD", "GTC", "FOK", "LIMIT"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["price", "distance", "id", "timeInForce", "units", "x"]), inner, max_size=3
    ),
    max_leaves=6,
)  # fmt: skip
FIELDS = st.sampled_from(
    ["type", "instrument", "units", "timeInForce", "positionFill", "priceBound", "price", "gtdTime",
     "clientExtensions", "stopLossOnFill", "takeProfitOnFill", "tradeClientExtensions"]
)  # fmt: skip
PATHS = st.sampled_from(
    [("POST", "/orders"), ("PUT", "/orders/{}"), ("PUT", "/orders/{}/cancel"),
     ("PUT", "/trades/{}/close"), ("PUT", "/trades/{}/orders"), ("PATCH", "/configuration"),
     ("PUT", "/positions/EUR_USD/close"), ("PUT", "/trades/{}/clientExtensions"),
     ("PUT", "/orders/{}/clientExtensions")]
)  # fmt: skip
KEYS = st.sampled_from(
    ["order", "units", "longUnits", "shortUnits", "stopLoss", "takeProfit", "clientExtensions"]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            PATHS, st.integers(1, 12), st.dictionaries(FIELDS, ANYTHING, max_size=4),
            st.dictionaries(KEYS, ANYTHING, max_size=2), st.booleans(),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_anything_is_answered_and_the_account_stays_whole(requests: list[Any]) -> None:
    at = desk(minutes(*[FLAT, (1.1, 1.11, 1.09, 1.1)] * 20))
    at.buy(stop="1.05")
    for (method, path), number, fields, others, order in requests:
        body = {"order": {**ORDER, **fields}} if order else others
        content = json.dumps(body)
        answer = at.http.request(method, at.root + path.format(number), content=content)
        assert answer.status_code in (200, 201, 400, 404), answer.text
        told = answer.json()
        if answer.status_code < 300:
            assert told["lastTransactionID"] == str(at.simulator.book.last)
            assert told["relatedTransactionIDs"]
        at.passes(seconds=20)
    every_question_is_answered(at)


QUESTIONS = (
    *("", "/summary", "/orders", "/trades", "/openTrades", "/positions"),
    *("/openPositions", "/pendingOrders", "/transactions"),
)


def every_question_is_answered(at: Desk) -> None:
    for path in QUESTIONS:
        assert at.get(path)["lastTransactionID"] == str(at.simulator.book.last)
    assert at.get("/orders", state="ALL", count=500)
    assert at.get("/trades", state="ALL", count=500)
    told = at.get("/changes", sinceTransactionID=1)["changes"]["transactions"]
    assert [line["id"] for line in told] == [str(n) for n in range(2, at.simulator.book.last + 1)]
