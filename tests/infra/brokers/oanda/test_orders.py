"""What is sent, how often, and what answers to it prove."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from infra.brokers.broker import Done, Entry, Refused, Reply, Unknown
from infra.brokers.oanda.broker import OandaBroker
from tests.infra.brokers.oanda import replies
from tests.infra.brokers.oanda.replies import ENTRY, TRADE, always, broker

PATH = f"/v3/accounts/{replies.ACCOUNT}"
CHANGES: list[Callable[[OandaBroker], Reply]] = [
    lambda venue: venue.enter(ENTRY),
    lambda venue: venue.close(TRADE, "exit"),
    lambda venue: venue.protect(TRADE, Decimal(1), None),
]
OTHER = replace(ENTRY, client_id="another")


def entered(status: int, body: Any, entry: Entry = ENTRY) -> Reply:
    return broker(always(status, body)).enter(entry)


def kinds(reply: Reply) -> list[str]:
    assert isinstance(reply, Done), reply
    return [line.kind for line in reply.transactions]


def test_an_entry_carries_bound_stop_target_and_names() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(201, json=replies.filled())

    assert isinstance(broker(answer).enter(ENTRY), Done)
    (request,) = sent
    assert (request.method, request.url.path) == ("POST", f"{PATH}/orders")
    assert json.loads(request.content) == {
        "order": {
            "type": "MARKET",
            "instrument": "EUR_USD",
            "units": "-1000",
            "timeInForce": "FOK",
            "positionFill": "OPEN_ONLY",
            "priceBound": "1.08480",
            "stopLossOnFill": {"price": "1.08900", "timeInForce": "GTC"},
            "takeProfitOnFill": {"price": "1.08100", "timeInForce": "GTC"},
            "clientExtensions": {"id": ENTRY.client_id},
            "tradeClientExtensions": {"id": ENTRY.client_id},
        }
    }


def test_numbers_are_never_sent_with_an_exponent() -> None:
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(500)

    far = replace(ENTRY, units=Decimal("1E+3"), bound=Decimal("1E-4"), stop=Decimal("2E+2"))
    broker(answer).enter(replace(far, target=None))
    assert b'"units":"-1000","' in sent[0]
    assert b'"priceBound":"0.00010"' in sent[0]
    assert b'"price":"200.00000"' in sent[0]


def test_a_fill_is_done_and_tells_its_trade() -> None:
    reply = entered(201, replies.filled())
    assert kinds(reply) == ["order", "fill"]
    assert isinstance(reply, Done)
    fill = reply.transactions[1]
    assert fill.opened is not None
    assert (fill.client_id, fill.opened.trade, fill.units) == (
        ENTRY.client_id,
        TRADE,
        Decimal(-1000),
    )
    assert (fill.price, fill.opened.cost) == (Decimal("1.08515"), Decimal("0.06"))


def test_201_without_a_fill_is_no_success() -> None:
    reply = entered(201, replies.cancelled(reason="A_REASON_OF_TOMORROW"))
    assert kinds(reply) == ["order", "cancel"]


@pytest.mark.parametrize("status", [400, 404])
def test_a_reject_tells_its_transaction(status: int) -> None:
    reply = entered(status, replies.rejected())
    assert kinds(reply) == ["reject"]
    assert isinstance(reply, Done)
    assert reply.transactions[0].reason == "PRICE_PRECISION_EXCEEDED"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429])
def test_a_refusal_without_a_transaction_was_not_done(status: int) -> None:
    body = {"errorMessage": "Invalid value specified for 'order.instrument'"}
    assert entered(status, body) == Refused(f"refused: {body['errorMessage']}")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 409, 418, 301, 307, 202, 204])
@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", replies.filled(), b""])
def test_other_statuses_prove_nothing(status: int, body: Any) -> None:
    assert isinstance(entered(status, body), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"<html></html>", b"\xff\xfe{\x00}\x00", {}),
        json.dumps(replies.filled()).encode()[:-40],
        json.dumps(replies.filled()).replace('"units"', '"units":"-1000","units"').encode(),
        replies.reply(orderCreate=replies.made()),
        replies.reply(orderFill=replies.fill()),
        replies.filled(OTHER),
        replies.filled(replace(ENTRY, side="long")),
        replies.filled(replace(ENTRY, pair="USD_JPY")),
        replies.filled(replace(ENTRY, units=Decimal(999))),
        replies.reply(orderCreate=replies.made(), orderFill=replies.fill(OTHER)),
        replies.reply(orderCreate=replies.made(number=6356), orderFill=replies.fill()),
        replies.reply(orderCreate=replies.made(), orderFill=replies.cancel()),
        replies.reply(orderCreate=replies.made(), orderFill={**replies.fill(), "id": "6350"}),
        replies.reply(orderCreate=replies.made(), orderFill={**replies.fill(), "type": "FILLED"}),
        replies.reply(orderCreate=replies.made(), orderFill={**replies.fill(), "price": "1e999"}),
        replies.reply(
            orderCreate=replies.made(), orderFill={**replies.fill(), "tradeOpened": None}
        ),
        replies.reply(
            orderCreate=replies.made(), orderFill={**replies.fill(), "accountID": "101-001-1-001"}
        ),
        replies.reply(
            orderCreate=replies.made(),
            orderFill=replies.fill(),
            orderCancel={**replies.cancel(), "id": "6359"},
        ),
        replies.reply(
            orderCreate=replies.made(),
            orderCancel=replies.cancel(),
            orderReissue=replies.made(number=6359),
        ),
        replies.rejected(),
    ],
)
def test_a_good_status_with_half_a_story_proves_nothing(body: Any) -> None:
    assert isinstance(entered(201, body), Unknown)


PART = {"tradeID": "6358", "units": "-999", "price": "1.08515"}


@pytest.mark.parametrize(
    "change",
    [
        *({"instrument": "USD_JPY"}, {"units": "-999"}, {"units": "1000"}, {"units": None}),
        *({"tradeOpened": PART}, {"tradesClosed": [PART]}, {"tradeReduced": PART}),
        *({"orderID": "6356"}, {"orderID": None}, {"id": "6357"}, {"time": "then"}),
    ],
)
def test_a_fill_that_differs_in_one_thing_proves_nothing(change: dict[str, Any]) -> None:
    body = replies.reply(orderCreate=replies.made(), orderFill=replies.fill() | change)
    assert isinstance(entered(201, body), Unknown)


@pytest.mark.parametrize("body", [replies.filled(), replies.rejected(OTHER), b"<html>", b"{"])
def test_a_bad_status_with_a_strange_story_proves_nothing(body: Any) -> None:
    assert isinstance(entered(400, body), Unknown)


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_before_the_first_byte_nothing_was_sent(error: type[httpx.TransportError]) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error("no way")

    reply = broker(answer).enter(ENTRY)
    assert isinstance(reply, Refused)
    assert reply.reason.startswith("not sent: ")


@pytest.mark.parametrize(
    "error",
    [
        *(httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError),
        *(httpx.RemoteProtocolError, httpx.ProxyError, httpx.DecodingError, RuntimeError, OSError),
    ],
)
def test_behind_the_first_byte_nobody_knows_and_it_is_sent_once(error: type[Exception]) -> None:
    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        raise error("cut")

    venue = broker(answer)
    for number, change in enumerate(CHANGES, 1):
        assert isinstance(change(venue), Unknown)
        assert len(sent) == number


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"bound": Decimal("1.084801")},
            {"stop": Decimal("NaN")},
            {"target": Decimal("Infinity")},
        ),
        *({"units": Decimal("0.5")}, {"units": Decimal(0)}, {"units": Decimal("NaN")}),
        *({"units": Decimal(10**9)}, {"units": Decimal(-5)}, {"client_id": ""}),
        *({"client_id": "x" * 129}, {"pair": "EUR_XXX"}, {"pair": "../x"}),
        *({"stop": Decimal("1.08")}, {"bound": Decimal("1E-9")}, {"units": Decimal("1E+999")}),
    ],
)
def test_what_the_venue_would_reject_is_not_sent(change: dict[str, Any]) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise AssertionError("sent")

    reply = broker(answer).enter(replace(ENTRY, **change))
    assert isinstance(reply, Refused)
    assert reply.reason.startswith("not sent: ")


def test_a_close_goes_by_the_trade() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=replies.closed())

    reply = broker(answer).close(TRADE, "exit")
    assert kinds(reply) == ["order", "fill"]
    assert isinstance(reply, Done)
    (part,) = reply.transactions[1].closed
    assert (part.trade, part.units, part.whole) == (TRADE, Decimal(1000), True)
    assert (part.profit, part.financing) == (Decimal("1.15"), Decimal("-0.02"))
    assert sent[0].method == "PUT"
    assert sent[0].url.path == f"{PATH}/trades/{TRADE}/close"
    assert json.loads(sent[0].content) == {"units": "ALL"}


def test_part_of_a_trade_is_closed() -> None:
    body = replies.closed("400", whole=False)
    assert kinds(broker(always(200, body)).close(TRADE, "exit", Decimal(400))) == ["order", "fill"]


def test_a_second_close_is_a_reject() -> None:
    reply = broker(always(404, replies.not_closed())).close(TRADE, "exit")
    assert kinds(reply) == ["reject"]


ANOTHERS = replies.closing(tradeClose={"tradeID": "6000", "units": "ALL"})
BOTH = replies.taken()
BOTH["tradesClosed"] = [*BOTH["tradesClosed"], {**PART, "tradeID": "6000"}]


@pytest.mark.parametrize(
    ("trade", "units", "body"),
    [
        ("6359", None, replies.closed()),
        (TRADE, Decimal(400), replies.closed()),
        (TRADE, None, replies.closed(whole=False)),
        (TRADE, None, replies.reply(orderCreate=replies.closing())),
        (TRADE, None, replies.reply(orderCreate=replies.closing(), orderFill=replies.fill())),
        (TRADE, None, replies.filled()),
        (TRADE, None, replies.reply(orderCreate=ANOTHERS, orderFill=replies.taken())),
        (TRADE, None, replies.reply(orderCreate=replies.closing(), orderFill=BOTH)),
    ],
)
def test_another_close_proves_nothing(trade: str, units: Decimal | None, body: Any) -> None:
    assert isinstance(broker(always(200, body)).close(trade, "exit", units), Unknown)


@pytest.mark.parametrize("trade", ["", "6358/close", "../6358", "@name", "ALL", "1" * 19])
def test_only_a_number_gets_into_an_address(trade: str) -> None:
    venue = broker(always(200, replies.closed()))
    assert isinstance(venue.close(trade, "x"), Refused)
    assert isinstance(venue.protect(trade, Decimal(1), None), Refused)


@pytest.mark.parametrize("target", [Decimal("1.08"), None])
def test_a_trade_gets_its_stop_and_target(target: Decimal | None) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        body = replies.protected(target=None if target is None else "1.08000")
        return httpx.Response(200, json=body)

    reply = broker(answer).protect(TRADE, Decimal("1.088"), target)
    assert kinds(reply) == ["cancel", "order"] + ["order"] * (target is not None)
    told = json.loads(sent[0].content)
    assert told["stopLoss"] == {"price": "1.088", "timeInForce": "GTC"}
    assert (told["takeProfit"] is None) == (target is None)


FOREIGN_TARGET = replies.guard("TAKE_PROFIT", "1.08", 6389) | {"tradeID": "1"}
FOREIGN = replies.guard("STOP_LOSS", "1.088", 6389) | {"tradeID": "1"}


@pytest.mark.parametrize(
    "body",
    [
        replies.protected(stop="1.08700"),
        replies.protected(target=None),
        replies.reply(),
        replies.reply(
            stopLossOrder=replies.guard("STOP_LOSS", "1.088", 6381),
            takeProfitOrder=replies.guard("TAKE_PROFIT", "1.08", 6381),
        ),
        replies.protected() | {"stopLossOrderTransaction": FOREIGN},
        replies.protected()
        | {"takeProfitOrderTransaction": FOREIGN | {"type": "TAKE_PROFIT_ORDER"}},
    ],
)
def test_another_protection_proves_nothing(body: Any) -> None:
    reply = broker(always(200, body)).protect(TRADE, Decimal("1.088"), Decimal("1.08"))
    assert isinstance(reply, Unknown)


def test_a_reject_of_another_trade_proves_nothing() -> None:
    reject = {**ANOTHERS, "type": "MARKET_ORDER_REJECT", "rejectReason": "TRADE_DOESNT_EXIST"}
    body = replies.reply(orderReject=reject)
    assert isinstance(broker(always(404, body)).close(TRADE, "exit"), Unknown)
    guard = {**FOREIGN, "type": "STOP_LOSS_ORDER_REJECT", "rejectReason": "PRICE_INVALID"}
    venue = broker(always(400, replies.reply(stopLossOrderReject=guard)))
    assert isinstance(venue.protect(TRADE, Decimal("1.088"), None), Unknown)
    ours = replies.reply(stopLossOrderReject={**guard, "tradeID": TRADE})
    assert kinds(broker(always(400, ours)).protect(TRADE, Decimal("1.088"), None)) == ["reject"]
