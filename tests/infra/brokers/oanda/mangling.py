"""Answers of OANDA with parts that are others, gone, doubled or come from nowhere."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx

from infra.brokers.broker import Reply
from infra.brokers.oanda.broker import OandaBroker
from tests.infra.brokers.oanda import replies
from tests.infra.brokers.oanda.replies import ENTRY, NOW, TRADE

STOP, TARGET = Decimal("1.08800"), Decimal("1.08000")
CHANGES: dict[str, Callable[[OandaBroker], Reply]] = {
    "enter": lambda venue: venue.enter(ENTRY),
    "close": lambda venue: venue.close(TRADE, "exit"),
    "part": lambda venue: venue.close(TRADE, "exit", Decimal(400)),
    "protect": lambda venue: venue.protect(TRADE, STOP, TARGET),
}
GOOD: dict[str, list[tuple[int, Any]]] = {
    "enter": [(201, replies.filled()), (201, replies.cancelled()), (400, replies.rejected())],
    "close": [(200, replies.closed()), (404, replies.not_closed())],
    "part": [(200, replies.closed("400", whole=False)), (404, replies.not_closed())],
    "protect": [(200, replies.protected())],
}
QUESTIONS: dict[str, tuple[Callable[[OandaBroker], Any], Any]] = {
    "since": (lambda venue: venue.since(6356), replies.log(replies.lines())),
    "last": (OandaBroker.last, {"account": {}, "lastTransactionID": "6360"}),
    "account": (OandaBroker.account, replies.account()),
    "prices": (lambda venue: venue.prices(["EUR_USD"]), replies.pricing()),
    "candles": (lambda venue: venue.candles("EUR_USD", "M1", NOW), replies.candles()),
    "terms": (lambda venue: venue.terms("EUR_USD"), replies.instruments()),
}
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 7, 1.5, 10**40, "", "NaN", "Infinity", "1e999", "-1000", "1000"),
    *("1.08515", "6357", "6358", "6359", "0", "999999999999999999999", "\ud800", "\x00", "ALL"),
    *([], {}, [[]], [{}], {"id": "6357"}, "another", "USD_JPY", "EUR_USD", "101-001-1-001"),
    *("ORDER_FILL", "ORDER_CANCEL", "MARKET_ORDER", "A_TYPE_OF_TOMORROW", "٣", "x" * 5000),
    *("2026-07-01T12:00:00Z", "9999-99-99", "1782907203.5", ENTRY.client_id, ENTRY.client_id + " "),
]
STATUSES = [200, 201, 202, 204, 302, 400, 401, 403, 404, 405, 408, 409, 429, 500, 502, 503]
ERRORS = [httpx.ReadTimeout, httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError]


def places(value: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """All members of JSON: what holds them, and their name or number."""
    found = [] if found is None else found
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in list(members):
        found.append((value, key))
        if isinstance(member, dict | list):
            places(member, found)
    return found


def bent(body: Any, chance: random.Random) -> Any:
    """JSON with a few members that are others."""
    body = json.loads(json.dumps(body))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        if not (there := places(body)):
            break
        holder, key = chance.choice(there)
        other, from_ = chance.choice(there)
        match chance.randrange(5):
            case 0:
                del holder[key]
            case 1:
                holder[key] = chance.choice(VALUES)
            case 2:
                holder[key] = json.loads(json.dumps(other[from_]))
            case 3 if isinstance(holder, dict):
                holder[chance.choice([*holder, "orderReissueTransaction", "novelty"])] = holder[key]
            case 4 if isinstance(holder, list):
                holder.insert(chance.randrange(len(holder) + 1), holder[key])
    return body


def broken(content: bytes, chance: random.Random) -> bytes:
    """Bytes that are cut, doubled, in another encoding, or no JSON at all; mostly as they were."""
    place = chance.randrange(len(content) + 1)
    match chance.randrange(24):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
        case 2:
            return content + content
        case 3:
            return content.decode().encode(chance.choice(("utf-16", "utf-32", "utf-8-sig")))
        case 4:
            return chance.choice((b"", b"<html></html>", b"[" * 100_000, b"null", b"{}", b"\xff"))
        case 5:
            return doubled(content, chance)
        case 6:
            return content[:place] + chance.choice((b"NaN", b"1e999", b"-", b",")) + content[place:]
    return content


def doubled(content: bytes, chance: random.Random) -> bytes:
    """JSON that tells a name twice, with two values."""
    names = [b'"units":', b'"orderID":', b'"orderFillTransaction":', b'"id":', b'"type":']
    name = chance.choice(names)
    return content.replace(name, name + b' "7", ' + name, 1)


def answered(status: int, content: bytes, chance: random.Random) -> httpx.Response:
    """An answer, now and then of another status, or said to be what it is not."""
    if chance.random() < 0.02:
        raise chance.choice(ERRORS)("cut")
    if chance.random() < 0.1:
        status = chance.choice(STATUSES)
    headers = {}
    if chance.random() < 0.02:
        headers["Content-Encoding"] = chance.choice(("gzip", "deflate", "br"))
    if chance.random() < 0.02:
        headers["Content-Type"] = "application/json; charset=utf-16"
    return httpx.Response(status, content=content, headers=headers)
