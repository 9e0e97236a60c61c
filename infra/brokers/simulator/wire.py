"""The venue's spelling: decimals as strings, times with nine digits, transactions as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from infra.brokers.broker import Closed, Price, Transaction

ACCOUNT: Final = "101-004-1234567-001"
USER: Final = 1234567

Body = dict[str, Any]


def number(value: Decimal) -> str:
    """Return a decimal as the venue writes it: never with an exponent."""
    return f"{value:f}"


def moment(at: datetime, style: str = "RFC3339") -> str:
    """Return a time as the venue writes it.

    Parameters
    ----------
    at : datetime
    style : str
        ``RFC3339`` or ``UNIX``.
    """
    if style == "UNIX":
        return f"{int(at.timestamp())}.{at.microsecond:06d}000"
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}000Z"


def price(told: Price, liquidity: tuple[tuple[int, Decimal], ...], now: datetime) -> Body:
    """Return a price as pricing and its stream tell it.

    Parameters
    ----------
    told : Price
    liquidity : tuple of (int, Decimal)
        Units, and how much worse their price is.
    now : datetime
        Not told: the price's own time is.
    """
    return {
        "type": "PRICE",
        "time": moment(min(told.at, now)),
        "instrument": told.pair,
        "status": "tradeable" if told.tradeable else "non-tradeable",
        "tradeable": told.tradeable,
        **buckets(told, liquidity),
        "quoteHomeConversionFactors": {
            "positiveUnits": number(told.gain or Decimal(1)),
            "negativeUnits": number(told.loss or Decimal(1)),
        },
    }


def buckets(told: Price, liquidity: tuple[tuple[int, Decimal], ...]) -> Body:
    """Return the ladder of a price.

    Parameters
    ----------
    told : Price
    liquidity : tuple of (int, Decimal)
    """
    return {
        "bids": [{"price": number(told.bid - w), "liquidity": n} for n, w in liquidity],
        "asks": [{"price": number(told.ask + w), "liquidity": n} for n, w in liquidity],
        "closeoutBid": number(told.bid),
        "closeoutAsk": number(told.ask),
    }


def transaction(line: Transaction, batch: int, request: str, extra: Mapping[str, Any]) -> Body:
    """Return a line of the log as the venue tells it.

    Parameters
    ----------
    line : Transaction
    batch : int
        First line of what was done at once.
    request : str
        Number of the request that caused it.
    extra : mapping
        What the line itself does not know.
    """
    body: Body = {
        "id": str(line.id),
        "time": moment(line.at),
        "userID": USER,
        "accountID": ACCOUNT,
        "batchID": str(batch),
        "requestID": request,
        "type": line.type,
    }
    match line.kind:
        case "order":
            body |= _order(line)
        case "fill":
            body |= _fill(line)
        case "cancel":
            body |= {"orderID": line.order, "reason": line.reason}
            body |= {"clientOrderID": line.client_id} if line.client_id else {}
        case "reject":
            body |= {"rejectReason": line.reason, **_asked(line)}
        case "financing":
            body |= _financing(line)
        case _:
            body |= {"reason": line.reason} if line.reason else {}
    return {**body, **extra}


def _asked(line: Transaction) -> Body:
    body: Body = {}
    if line.pair:
        body |= {"instrument": line.pair, "units": number(line.units)}
    if line.client_id:
        body["clientExtensions"] = {"id": line.client_id}
    return body


def _order(line: Transaction) -> Body:
    body: Body = {"reason": line.reason}
    if line.type in ("STOP_LOSS_ORDER", "TAKE_PROFIT_ORDER"):
        body |= {"tradeID": line.trade, "timeInForce": "GTC", "triggerCondition": "DEFAULT"}
    else:
        body |= {"timeInForce": "FOK", "positionFill": "DEFAULT", **_asked(line)}
    if line.price is not None:
        body["price"] = number(line.price)
    return body


def _fill(line: Transaction) -> Body:
    body: Body = {
        "orderID": line.order,
        "instrument": line.pair,
        "units": number(line.units),
        "requestedUnits": number(line.units),
        "reason": line.reason,
        "pl": number(line.profit),
        "financing": "0.0000",
        "commission": number(line.commission),
        "guaranteedExecutionFee": "0.0000",
    }
    if line.client_id:
        body["clientOrderID"] = line.client_id
    if line.price is not None:
        body |= {"price": number(line.price), "fullVWAP": number(line.price)}
    if line.balance is not None:
        body["accountBalance"] = number(line.balance)
    costs = [part.cost for part in line.closed]
    if opened := line.opened:
        costs.append(opened.cost)
        body["tradeOpened"] = {
            "tradeID": opened.trade,
            "units": number(opened.units),
            "price": number(opened.price),
            "guaranteedExecutionFee": "0.0000",
            "halfSpreadCost": number(opened.cost),
        }
    whole = [_closed(part) for part in line.closed if part.whole]
    parts = [_closed(part) for part in line.closed if not part.whole]
    body |= {"tradesClosed": whole} if whole else {}
    body |= {"tradeReduced": parts[0]} if parts else {}
    return {**body, "halfSpreadCost": number(sum(costs, Decimal(0)))}


def _closed(part: Closed) -> Body:
    return {
        "tradeID": part.trade,
        "units": number(part.units),
        "price": number(part.price),
        "realizedPL": number(part.profit),
        "financing": number(part.financing),
        "halfSpreadCost": number(part.cost),
        "guaranteedExecutionFee": "0.0000",
    }


def _financing(line: Transaction) -> Body:
    return {
        "financing": number(line.financing),
        "accountBalance": number(line.balance or Decimal(0)),
    }
