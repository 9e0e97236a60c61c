"""Replies of OANDA, written by hand, and a broker that gets them without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
from pydantic import SecretStr

from infra.brokers.broker import Entry
from infra.brokers.oanda.broker import OandaBroker
from infra.clock import VirtualClock

ACCOUNT = "101-004-1234567-001"
TOKEN = "canary-5f3c9a17e2d84b60"
AT = "2026-07-01T12:00:03.512345678Z"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ENTRY = Entry(
    "sep-20260701T1200-EUR_USD-7f3a",
    "EUR_USD",
    "short",
    Decimal(1000),
    bound=Decimal("1.08480"),
    stop=Decimal("1.089"),
    target=Decimal("1.08100"),
)
TRADE = "6358"

Json = dict[str, Any]
Handler = Callable[[httpx.Request], httpx.Response]


def broker(handler: Handler, *, account: str | None = ACCOUNT, **options: Any) -> OandaBroker:
    """A broker whose requests are answered by a function, and by `INSTRUMENTS`."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/instruments") and not options.get("terms"):
            return httpx.Response(200, json=instruments())
        return handler(request)

    transport = httpx.MockTransport(answer)
    address = options.get("environment", "http://127.0.0.1:1")
    return OandaBroker(SecretStr(TOKEN), address, account, VirtualClock(NOW), transport)


def always(status: int, body: Any) -> Handler:
    """The same answer to every request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: httpx.Response(status, content=content)


def head(number: int, type_: str, **told: Any) -> Json:
    return {
        "id": str(number),
        "time": AT,
        "userID": 1234567,
        "accountID": ACCOUNT,
        "batchID": "6357",
        "requestID": "78451",
        "type": type_,
        **told,
    }


def made(entry: Entry = ENTRY, number: int = 6357) -> Json:
    return head(
        number,
        "MARKET_ORDER",
        instrument=entry.pair,
        units=signed(entry),
        timeInForce="FOK",
        positionFill="OPEN_ONLY",
        reason="CLIENT_ORDER",
        clientExtensions={"id": entry.client_id},
    )


def signed(entry: Entry) -> str:
    return str(entry.units if entry.side == "long" else -entry.units)


def fill(entry: Entry = ENTRY, number: int = 6358) -> Json:
    opened = {"tradeID": str(number), "units": signed(entry), "price": "1.08515"}
    return head(
        number,
        "ORDER_FILL",
        orderID=str(number - 1),
        clientOrderID=entry.client_id,
        instrument=entry.pair,
        units=signed(entry),
        requestedUnits=signed(entry),
        price="1.08515",
        fullVWAP="1.08515",
        reason="MARKET_ORDER",
        pl="0.0000",
        financing="0.0000",
        commission="0.0000",
        guaranteedExecutionFee="0.0000",
        accountBalance="10000.0000",
        halfSpreadCost="0.0600",
        tradeOpened={**opened, "halfSpreadCost": "0.06", "initialMarginRequired": "21.70"},
    )


def cancel(entry: Entry = ENTRY, number: int = 6358, reason: str = "MARKET_HALTED") -> Json:
    named = {"orderID": str(number - 1), "clientOrderID": entry.client_id}
    return head(number, "ORDER_CANCEL", **named, reason=reason)


def reply(**parts: Any) -> Json:
    """A reply of transactions by their names without the ending."""
    told = {f"{name}Transaction": part for name, part in parts.items() if part is not None}
    ids = sorted(int(part["id"]) for part in told.values())
    last = str(ids[-1] + 2 if ids else 6360)
    return {**told, "relatedTransactionIDs": [str(n) for n in ids], "lastTransactionID": last}


def filled(entry: Entry = ENTRY) -> Json:
    return reply(orderCreate=made(entry), orderFill=fill(entry))


def cancelled(entry: Entry = ENTRY, reason: str = "MARKET_HALTED") -> Json:
    return reply(orderCreate=made(entry), orderCancel=cancel(entry, reason=reason))


def rejected(entry: Entry = ENTRY, reason: str = "PRICE_PRECISION_EXCEEDED") -> Json:
    line = {**made(entry), "type": "MARKET_ORDER_REJECT", "rejectReason": reason}
    return {**reply(orderReject=line), "errorCode": reason, "errorMessage": "It is not allowed"}


def closing(units: str = "1000", number: int = 6370, **told: Any) -> Json:
    named = {"tradeClose": {"tradeID": TRADE, "units": "ALL"}, "reason": "TRADE_CLOSE"}
    shown = {"instrument": "EUR_USD", "units": units, "timeInForce": "FOK"}
    return head(number, "MARKET_ORDER", **{**named, **shown, **told})


def taken(units: str = "1000", number: int = 6371, *, whole: bool = True) -> Json:
    part = {"tradeID": TRADE, "units": units, "price": "1.08400", "realizedPL": "1.15"}
    part |= {"financing": "-0.02", "halfSpreadCost": "0.05"}
    name, value = ("tradesClosed", [part]) if whole else ("tradeReduced", part)
    told = {
        **fill(number=number),
        "units": units,
        "reason": "MARKET_ORDER_TRADE_CLOSE",
        name: value,
    }
    return {key: told[key] for key in told if key not in ("tradeOpened", "clientOrderID")}


def closed(units: str = "1000", *, whole: bool = True) -> Json:
    return reply(orderCreate=closing(units), orderFill=taken(units, whole=whole))


def not_closed() -> Json:
    line = {**closing(), "type": "MARKET_ORDER_REJECT", "rejectReason": "TRADE_DOESNT_EXIST"}
    return {**reply(orderReject=line), "errorCode": "TRADE_DOESNT_EXIST", "errorMessage": "No"}


def guard(kind: str, price: str, number: int) -> Json:
    return head(
        number, f"{kind}_ORDER", tradeID=TRADE, price=price, timeInForce="GTC", reason="REPLACEMENT"
    )


def protected(stop: str = "1.08800", target: str | None = "1.08000") -> Json:
    old = head(6380, "ORDER_CANCEL", orderID="6360", reason="CLIENT_REQUEST_REPLACED")
    gain = None if target is None else guard("TAKE_PROFIT", target, 6382)
    return reply(
        stopLossOrderCancel=old,
        stopLossOrder=guard("STOP_LOSS", stop, 6381),
        takeProfitOrder=gain,
    )


def log(lines: list[Json], last: int | None = None) -> Json:
    end = last if last is not None else int(lines[-1]["id"])
    return {"transactions": lines, "lastTransactionID": str(end)}


def lines() -> list[Json]:
    """A log from 6357 on: an entry with stop and target, a night, a close and a transfer."""
    night = {"instrument": "EUR_USD", "financing": "-0.02"}
    night["openTradeFinancings"] = [{"tradeID": TRADE, "financing": "-0.02"}]  # type: ignore[assignment]
    return [
        made(),
        fill(),
        {**guard("TAKE_PROFIT", "1.08100", 6359), "reason": "ON_FILL"},
        {**guard("STOP_LOSS", "1.08900", 6360), "reason": "ON_FILL"},
        head(
            6361,
            "DAILY_FINANCING",
            financing="-0.02",
            accountBalance="9999.98",
            positionFinancings=[night],
        ),
        closing(number=6362),
        taken(number=6363),
        head(6364, "ORDER_CANCEL", orderID="6359", reason="LINKED_TRADE_CLOSED"),
        head(6365, "ORDER_CANCEL", orderID="6360", reason="LINKED_TRADE_CLOSED"),
        head(6366, "TRANSFER_FUNDS", amount="5.0", accountBalance="10006.11"),
        head(6367, "A_TYPE_OF_TOMORROW", reason="NEW"),
    ]


def account() -> Json:
    stop = {"id": "6360", "type": "STOP_LOSS", "state": "PENDING", "createTime": AT}
    target = {**stop, "id": "6359", "type": "TAKE_PROFIT", "tradeID": TRADE, "price": "1.08100"}
    foreign = {**stop, "id": "6000", "type": "LIMIT", "instrument": "USD_JPY", "units": "-5"}
    trade = {"id": TRADE, "instrument": "EUR_USD", "price": "1.08515", "openTime": AT}
    trade |= {"state": "OPEN", "initialUnits": "-1000", "currentUnits": "-1000"}
    trade |= {"realizedPL": "0", "unrealizedPL": "-0.35", "marginUsed": "21.70"}
    trade |= {"clientExtensions": {"id": ENTRY.client_id}}  # type: ignore[dict-item]
    details = {
        "id": ACCOUNT,
        "currency": "USD",
        "balance": "10000.0000",
        "NAV": "9999.6500",
        "marginUsed": "21.7000",
        "marginAvailable": "9977.95",
        "hedgingEnabled": False,
        "trades": [trade],
        "positions": [],
        "lastTransactionID": "6360",
        "orders": [{**stop, "tradeID": TRADE, "price": "1.08900"}, target, foreign],
    }
    return {"account": details, "lastTransactionID": "6360"}


def pricing() -> Json:
    price = {
        "type": "PRICE",
        "time": AT,
        "instrument": "EUR_USD",
        "status": "tradeable",
        "tradeable": True,
        "bids": [{"price": "1.08514", "liquidity": 5000000}, {"price": "1.08515", "liquidity": 9}],
        "asks": [{"price": "1.08527", "liquidity": 10000000}],
        "closeoutBid": "1.08511",
        "closeoutAsk": "1.08531",
        "quoteHomeConversionFactors": {"positiveUnits": "1.0", "negativeUnits": "1.0"},
    }
    home = {"currency": "USD", "accountGain": "0.99", "accountLoss": "1.01", "positionValue": "1"}
    return {"time": AT, "prices": [price], "homeConversions": [home]}


def candles() -> Json:
    quote = {"o": "1.08512", "h": "1.08530", "l": "1.08507", "c": "1.08521"}
    dearer = {name: str(Decimal(value) + Decimal("0.00010")) for name, value in quote.items()}
    rows = [
        {
            "complete": minute < 2,
            "volume": 57,
            "time": f"2026-07-01T12:0{minute}:00.000000000Z",
            "bid": quote,
            "ask": dearer,
        }
        for minute in range(3)
    ]
    return {"instrument": "EUR_USD", "granularity": "M1", "candles": rows}


def instruments() -> Json:
    euro = {
        "name": "EUR_USD",
        "type": "CURRENCY",
        "displayName": "EUR/USD",
        "pipLocation": -4,
        "displayPrecision": 5,
        "tradeUnitsPrecision": 0,
        "minimumTradeSize": "1",
        "maximumPositionSize": "0",
        "maximumOrderUnits": "100000000",
        "marginRate": "0.02",
    }
    yen = {**euro, "name": "USD_JPY", "pipLocation": -2, "displayPrecision": 3}
    return {"instruments": [euro, yen], "lastTransactionID": "6360"}
