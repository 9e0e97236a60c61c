"""Paths of the account: told whole or in short, what changed in it, its instruments, its name."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from infra.brokers.holdings import ZERO
from infra.brokers.simulator import positions, trades
from infra.brokers.simulator.ask import Ask
from infra.brokers.simulator.calls import Reply, decimal, invalid
from infra.brokers.simulator.offers import offer
from infra.brokers.simulator.orders import answer
from infra.brokers.simulator.transactions import number_after
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import ACCOUNT, USER, Body, number

_KINDS: Final = {
    "order": "ordersCreated", "ORDER_CANCEL": "ordersCancelled", "ORDER_FILL": "ordersFilled",
}  # fmt: skip


def several(ask: Ask) -> Reply:
    """Tell which accounts there are."""
    return 200, {"accounts": [{"id": ACCOUNT, "tags": []}]}


def state(venue: Venue) -> Body:
    """Return what changes with prices."""
    book = venue.book
    equity, used = book.equity, book.margin_used
    unrealised, left = number(equity - book.balance), number(max(equity - used, ZERO))
    worth = sum((_worth(venue, t.pair, t.units) for t in book.trades.values()), ZERO)
    return {
        "unrealizedPL": unrealised,
        "NAV": number(equity),
        "marginUsed": number(used),
        "marginAvailable": left,
        "positionValue": number(worth),
        "marginCloseoutUnrealizedPL": unrealised,
        "marginCloseoutNAV": number(equity),
        "marginCloseoutMarginUsed": number(used),
        "marginCloseoutPercent": f"{book.closeout:.5f}",
        "marginCloseoutPositionValue": number(worth),
        "withdrawalLimit": left,
        "marginCallMarginUsed": number(used),
        "marginCallPercent": f"{2 * book.closeout:.5f}",
    }


def _worth(venue: Venue, pair: str, units: Decimal) -> Decimal:
    mark = venue.book.marks[pair]
    rate = ((mark.gain or ZERO) + (mark.loss or ZERO)) / 2
    return round(abs(units) * (mark.bid + mark.ask) / 2 * rate, 4)


def short(venue: Venue) -> Body:
    """Return the account without its trades, positions and orders."""
    book, lines = venue.book, venue.records.lines
    waiting = sum(order.request is not None for order in book.orders.values())
    return {
        "id": ACCOUNT,
        "alias": venue.alias,
        "currency": book.currency,
        "balance": number(book.balance),
        "createdByUserID": USER,
        "createdTime": lines[0]["time"],
        "guaranteedStopLossOrderMode": "DISABLED",
        "pl": number(book.profit),
        "resettablePL": number(book.profit),
        "resettablePLTime": lines[0]["time"],
        "financing": number(book.financing),
        "commission": "0.0000",
        "guaranteedExecutionFees": "0.0000",
        "marginRate": "0.02",
        "openTradeCount": len(book.trades),
        "openPositionCount": len({trade.pair for trade in book.trades.values()}),
        "pendingOrderCount": waiting,
        "hedgingEnabled": False,
        "lastTransactionID": str(book.last),
        **state(venue),
    }


def summary(ask: Ask) -> Reply:
    """Tell of the account in short."""
    venue = ask.venue
    return 200, {"account": short(venue), "lastTransactionID": str(venue.book.last)}


def whole(ask: Ask) -> Reply:
    """Tell of the account with its trades, positions and orders."""
    venue = ask.venue
    told = venue.records
    account = {
        **short(venue),
        "trades": [trades.shown(venue, told.trades[t], briefly=True) for t in venue.book.trades],
        "positions": [positions.shown(venue, pair) for pair in told.profits],
        "orders": [told.orders[order] for order in venue.book.orders],
    }
    return 200, {"account": account, "lastTransactionID": str(venue.book.last)}


def instruments(ask: Ask) -> Reply:
    """Tell what may be traded."""
    venue, call = ask.venue, ask.call
    names = call.names("instruments") or [*venue.market.minutes]
    if unknown := set(names) - set(venue.market.minutes):
        invalid(f"Invalid Instrument {min(unknown)[:20]}")
    told = [offer(name, venue.changes.get(name)) for name in names]
    return 200, {"instruments": told, "lastTransactionID": str(venue.book.last)}


def configure(ask: Ask) -> Reply:
    """Change the account's name; its margin rate is told, and changes nothing here."""
    venue, call = ask.venue, ask.call
    told = call.body()
    known = {name: told[name] for name in ("alias", "marginRate") if name in told}
    if "marginRate" in known:
        decimal(known["marginRate"], "marginRate")
    venue.alias = str(known.get("alias", venue.alias))[:128]
    lines = venue.book.note(venue.market.now, "CLIENT_CONFIGURE")
    return 200, answer(venue, clientConfigureTransaction=venue.record(lines, known)[0])


def changes(ask: Ask) -> Reply:
    """Tell what happened since a transaction, and what changes with prices."""
    venue, call = ask.venue, ask.call
    since = number_after(venue, call, "sinceTransactionID")
    body = {
        "changes": _changes(venue, venue.records.lines[since:]),
        "state": {**state(venue), **_moving(venue)},
    }
    return 200, {**body, "lastTransactionID": str(venue.book.last)}


def _changes(venue: Venue, lines: list[Body]) -> Body:
    told: dict[str, list[Body]] = {
        **{name: [] for name in _KINDS.values()},
        **{name: [] for name in ("ordersTriggered", "tradesOpened", "tradesReduced")},
        **{name: [] for name in ("tradesClosed", "positions")},
    }
    pairs: dict[str, None] = {}
    for line in lines:
        known = venue.records.orders
        kind = "order" if line["id"] in known else line["type"]
        if name := _KINDS.get(kind):
            told[name].append(known[line["orderID"] if "orderID" in line else line["id"]])
        if line["type"] == "ORDER_FILL":
            pairs[line["instrument"]] = None
            for key, parts in _trades(line).items():
                every = venue.records.trades
                told[key] += [trades.shown(venue, every[part], briefly=True) for part in parts]
    told["positions"] = [positions.shown(venue, pair) for pair in pairs]
    return {**told, "transactions": lines}


def _trades(line: Body) -> dict[str, list[str]]:
    opened = [line["tradeOpened"]["tradeID"]] if "tradeOpened" in line else []
    reduced = [line["tradeReduced"]["tradeID"]] if "tradeReduced" in line else []
    closed = [part["tradeID"] for part in line.get("tradesClosed", [])]
    return {"tradesOpened": opened, "tradesReduced": reduced, "tradesClosed": closed}


def _moving(venue: Venue) -> Body:
    book = venue.book
    pairs = dict.fromkeys(trade.pair for trade in book.trades.values())
    told = {pair: positions.shown(venue, pair) for pair in pairs}
    return {
        "orders": [],
        "trades": [
            {
                "id": trade.id,
                "unrealizedPL": number(book.unrealised(trade)),
                "marginUsed": number(book.margin(trade.pair, trade.units)),
            }
            for trade in book.trades.values()
        ],
        "positions": [
            {
                "instrument": pair,
                "netUnrealizedPL": body["unrealizedPL"],
                "longUnrealizedPL": body["long"]["unrealizedPL"],
                "shortUnrealizedPL": body["short"]["unrealizedPL"],
                "marginUsed": body["marginUsed"],
            }
            for pair, body in told.items()
        ],
    }
