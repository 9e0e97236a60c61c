"""The client reads every definition of the v20 interface, and every error that is documented."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from infra.brokers.broker import BrokerError, BrokerRefused, Refused, Unknown
from infra.brokers.oanda import reading, wire
from infra.brokers.oanda.scalars import moment
from tests.infra.brokers.oanda import replies
from tests.infra.brokers.oanda.definitions import (
    KNOWN,
    ORDERS,
    TRANSACTIONS,
    VARIANTS,
    sample,
    type_of,
)
from tests.infra.brokers.oanda.replies import ACCOUNT, ENTRY, always, broker

HEAD = frozenset({"id", "time", "type"})
FILL = HEAD | {"orderID", "instrument", "units", "price"}
NEEDED = {"OrderFillTransaction": FILL, "OrderCancelTransaction": HEAD | {"orderID"}}
NEEDED["DailyFinancingTransaction"] = HEAD | {"financing"}
TRADE = frozenset({"id", "instrument", "price", "openTime", "currentUnits"})
ACCOUNTS = frozenset({"id", "currency", "balance", "NAV", "marginUsed", "marginAvailable"})


def kind_of(name: str) -> str:
    """What kind of line a class is: the slow, obvious way."""
    if name in ("OrderFillTransaction", "OrderCancelTransaction", "DailyFinancingTransaction"):
        return {"OrderF": "fill", "OrderC": "cancel", "DailyF": "financing"}[name[:6]]
    if name.endswith("OrderTransaction"):
        return "order"
    return "reject" if name.endswith("OrderRejectTransaction") else "other"


def test_the_table_is_that_of_the_interface() -> None:
    assert len(KNOWN) == 104
    assert len(TRANSACTIONS) == 35 + 2
    assert sum(map(len, KNOWN.values())) > 1100
    assert type_of("OrderFillTransaction") == "ORDER_FILL"
    assert type_of("MarketIfTouchedOrder") == "MARKET_IF_TOUCHED"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", TRANSACTIONS)
def test_transactions(name: str, variant: str) -> None:
    line = reading.transaction(sample(name, variant, NEEDED.get(name, HEAD)), ACCOUNT)
    assert (line.kind, line.type, line.id) == (kind_of(name), type_of(name), 6357)
    assert line.at == moment(replies.AT)
    if line.kind == "fill":
        assert line.price == Decimal("1.23450")
        assert len(line.closed) == (0 if variant == "null" else 2)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ORDERS)
def test_accounts_with_orders(name: str, variant: str) -> None:
    details = sample("Account", variant, ACCOUNTS)
    order = sample(name, variant, frozenset({"id", "type", "state"}))
    trade = sample("TradeSummary", variant, TRADE)
    details |= {"id": ACCOUNT, "orders": [order], "trades": [trade]}
    body = {"account": details, "lastTransactionID": "6357", **sample("AccountChanges", variant)}
    told = reading.account(wire.Account.model_validate(body))
    assert (told.id, told.balance, len(told.trades)) == (ACCOUNT, Decimal("1.2345"), 1)
    assert len(told.pending) == ("tradeID" not in KNOWN[name] or variant == "null")


@pytest.mark.parametrize("variant", VARIANTS)
def test_prices(variant: str) -> None:
    needed = frozenset({"time", "instrument", "status", "closeoutBid", "closeoutAsk"})
    body = {"prices": [sample("ClientPrice", variant, needed)]}
    body["homeConversions"] = [sample("HomeConversions", variant)] if variant != "null" else []
    (price,) = reading.prices(wire.Pricing.model_validate(body)).values()
    assert (price.bid, price.tradeable) == (Decimal("1.2345"), True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_candles_and_instruments(variant: str) -> None:
    needed = frozenset({"time", "complete", "bid", "ask"})
    row = sample("Candlestick", variant, needed)
    quote = sample("CandlestickData", "full")
    row |= {"bid": quote, "ask": quote}
    told = wire.Candles.model_validate({"instrument": "EUR_USD", "candles": [row]})
    (candle,) = reading.candles(told, "EUR_USD", moment(replies.AT))
    assert candle.bid == (Decimal("1.2345"),) * 4
    needed = frozenset({"name", "displayPrecision", "minimumTradeSize", "maximumOrderUnits"})
    row = sample("Instrument", variant, needed | {"marginRate"}) | {"tradeUnitsPrecision": 0}
    terms = reading.terms(wire.Instruments.model_validate({"instruments": [row, {}, row]}))
    assert terms["EUR_USD"].precision == 7


@pytest.mark.parametrize("variant", VARIANTS)
def test_whatever_stands_beside_an_answer_is_passed_over(variant: str) -> None:
    for name in KNOWN:
        body = {**replies.filled(), "novelty": sample(name, variant)}
        reply = broker(always(201, body)).enter(ENTRY)
        assert not isinstance(reply, Refused | Unknown), name
        body = {**replies.account(), "novelty": sample(name, variant)}
        assert broker(always(200, body)).account().id == ACCOUNT


ERRORS: list[tuple[int, Any, bool]] = [
    (400, {"errorMessage": "Maximum value for 'count' exceeded"}, False),
    (400, {"errorMessage": "Invalid value specified for 'instrument'"}, False),
    (
        400,
        {
            "errorCode": "oanda::rest::core::InvalidParameterException",
            "errorMessage": "Invalid value specified for 'order.instrument'",
        },
        False,
    ),
    (401, {"errorMessage": "Insufficient authorization to perform request."}, True),
    (403, {"errorMessage": "The operation is forbidden"}, True),
    (404, {"errorMessage": "Invalid value specified for 'accountID'"}, True),
    (404, {"errorCode": "NO_SUCH_ORDER", "errorMessage": "The Order does not exist"}, False),
    (404, {"errorCode": "NO_SUCH_TRADE", "errorMessage": "The Trade does not exist"}, False),
    (404, {"errorCode": "NO_SUCH_POSITION", "errorMessage": "No such position"}, False),
    (405, {"errorMessage": "Method not allowed"}, False),
    (416, {"errorMessage": "Invalid transaction range"}, False),
    (429, {"errorMessage": "Too many requests"}, False),
    (500, {"errorMessage": "Internal server error"}, False),
    (502, b"<html><body>Bad Gateway</body></html>", False),
    (503, b"", False),
]


@pytest.mark.parametrize(("status", "body", "refused"), ERRORS)
def test_errors_of_questions(status: int, body: Any, refused: bool) -> None:
    with pytest.raises(BrokerError) as failed:
        broker(always(status, body)).account()
    assert isinstance(failed.value, BrokerRefused) == refused


@pytest.mark.parametrize(("status", "body", "_refused"), ERRORS)
def test_errors_of_changes(status: int, body: Any, _refused: bool) -> None:
    reply = broker(always(status, body)).enter(ENTRY)
    turned_away = status in (400, 401, 403, 404, 405, 429)
    assert isinstance(reply, Refused if turned_away else Unknown)
