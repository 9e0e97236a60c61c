"""Paths of orders: placed, told, replaced, cancelled."""

from __future__ import annotations

from typing import Any, Final

from infra.brokers.holdings import Order
from infra.brokers.simulator.ask import Ask
from infra.brokers.simulator.calls import Reply, decimal, invalid, missing, section
from infra.brokers.simulator.demands import Demand, demand, refuse
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import Body

MOST: Final = 500


def answer(venue: Venue, **told: Body | None) -> Body:
    """Return transactions by their keys, with all their numbers.

    Parameters
    ----------
    venue : Venue
    told : dict or None
        Transactions; those that are not there are left out.
    """
    there = {name: body for name, body in told.items() if body is not None}
    return {
        **there,
        "relatedTransactionIDs": [body["id"] for body in there.values()],
        "lastTransactionID": str(venue.book.last),
    }


def executed(venue: Venue, lines: list[Body], prefix: str = "order") -> Body:
    """Return the answer to an order: its line, and its fill or cancel.

    Parameters
    ----------
    venue : Venue
    lines : list of dict
        All that was written.
    prefix : str
        Of the keys: ``order``, or ``longOrder`` and ``shortOrder`` of a position.
    """
    create, end = lines[:2]
    kind = "Fill" if end["type"] == "ORDER_FILL" else "Cancel"
    told = {f"{prefix}CreateTransaction": create, f"{prefix}{kind}Transaction": end}
    ids = [line["id"] for line in lines]
    return {**told, "relatedTransactionIDs": ids, "lastTransactionID": str(venue.book.last)}


def place(ask: Ask) -> Reply:
    """Take an order."""
    venue, call = ask.venue, ask.call
    told = section(call.body(), "order")
    if told is None:
        invalid("Invalid value specified for 'order'")
    return 201, _taken(venue, demand(venue, told))


def _taken(venue: Venue, wanted: Demand) -> Body:
    if wanted.kind == "MARKET":
        all_ = wanted.time_in_force == "FOK"
        return executed(venue, venue.enter(wanted.request, wanted.extra, all_=all_))
    assert wanted.price is not None
    lines = venue.book.wait(wanted.kind, wanted.request, wanted.price, venue.market.now)
    create = venue.record(lines, wanted.extra)[0]
    if wanted.expires is not None:
        venue.expiries[create["id"]] = wanted.expires
    return answer(venue, orderCreateTransaction=create)


def several(ask: Ask) -> Reply:
    """Tell of orders, newest first."""
    venue, call = ask.venue, ask.call
    state, pair, ids = call.query.get("state", "PENDING"), call.query.get("instrument"), None
    if (names := call.names("ids")) is not None:
        ids, state = set(names), call.query.get("state", "ALL")
    if state not in ("PENDING", "FILLED", "TRIGGERED", "CANCELLED", "ALL"):
        invalid("Invalid value specified for 'state'")
    count, before = call.integer("count", 50, MOST), call.integer("beforeID", 10**17, 10**18)
    found = [
        order
        for order in reversed(venue.records.orders.values())
        if state in ("ALL", order["state"])
        and (pair is None or order.get("instrument") == pair)
        and (ids is None or order["id"] in ids)
        and int(order["id"]) < before
    ]
    return 200, {"orders": found[:count], "lastTransactionID": str(venue.book.last)}


def pending(ask: Ask) -> Reply:
    """Tell of the orders that wait."""
    venue = ask.venue
    told = [venue.records.orders[each] for each in venue.book.orders]
    return 200, {"orders": told, "lastTransactionID": str(venue.book.last)}


def one(ask: Ask) -> Reply:
    """Tell of an order; by the client's own name only if it waits.

    Raises
    ------
    Refusal
    """
    venue, spec = ask.venue, ask.name
    number = spec
    if spec.startswith("@"):
        number = waiting.id if (waiting := find(venue, spec)) else ""
    if number not in venue.records.orders:
        missing("NO_SUCH_ORDER", "The order specified does not exist")
    told = venue.records.orders[number]
    return 200, {"order": told, "lastTransactionID": str(venue.book.last)}


def find(venue: Venue, spec: str) -> Order | None:
    """Return the order that waits under a number or a client's name.

    Parameters
    ----------
    venue : Venue
    spec : str
    """
    if not spec.startswith("@"):
        return venue.book.orders.get(spec)
    return next((o for o in venue.book.orders.values() if o.client_id == spec[1:]), None)


def cancel(ask: Ask) -> Reply:
    """Cancel an order that waits.

    Raises
    ------
    Refusal
    """
    venue, spec = ask.venue, ask.name
    order = _waiting(venue, spec)
    told = venue.record(venue.book.cancel(order.id, venue.market.now))[0]
    return 200, answer(venue, orderCancelTransaction=told)


def _waiting(venue: Venue, spec: str) -> Order:
    if (order := find(venue, spec)) is None:
        extra = {"clientOrderID": spec[1:]} if spec.startswith("@") else {"orderID": spec[:20]}
        extra["reason"] = "CLIENT_REQUEST"
        key, type_ = "orderCancelRejectTransaction", "ORDER_CANCEL_REJECT"
        refuse(venue, type_, "ORDER_DOESNT_EXIST", key, None, extra, 404)
    return order


def replace(ask: Ask) -> Reply:
    """Put another order in the place of one that waits.

    Raises
    ------
    Refusal
    """
    venue, call, spec = ask.venue, ask.call, ask.name
    told = section(call.body(), "order")
    if told is None:
        invalid("Invalid value specified for 'order'")
    order, now, why = _waiting(venue, spec), venue.market.now, "CLIENT_REQUEST_REPLACED"
    if order.trade is not None:
        price = decimal(told.get("price"), "order.price")
        kind = "stop" if order.type == "STOP_LOSS" else "target"
        lines = venue.book.protect(order.trade, {kind: price}, now)  # type: ignore[dict-item]
        cancelled, create = venue.record(lines)
        venue.touch(venue.book.trades[order.trade])
        both = {"orderCancelTransaction": cancelled, "orderCreateTransaction": create}
        return 201, answer(venue, **both)
    wanted = demand(venue, {"type": order.type, **told})
    gone = venue.record(venue.book.cancel(order.id, now, why))[0]
    made: dict[str, Any] = _taken(venue, wanted)
    ids = [gone["id"], *made["relatedTransactionIDs"]]
    return 201, {"orderCancelTransaction": gone, **made, "relatedTransactionIDs": ids}


def label(ask: Ask) -> Reply:
    """Change the client's own words of an order that waits.

    Raises
    ------
    Refusal
    """
    venue, call, spec = ask.venue, ask.call, ask.name
    words = section(call.body(), "clientExtensions") or {}
    if (order := find(venue, spec)) is None:
        missing("NO_SUCH_ORDER", "The order specified does not exist")
    venue.records.orders[order.id]["clientExtensions"] = words
    lines = venue.book.note(venue.market.now, "ORDER_CLIENT_EXTENSIONS_MODIFY")
    extra = {"orderID": order.id, "clientExtensionsModify": words}
    told = venue.record(lines, extra)[0]
    return 200, answer(venue, orderClientExtensionsModifyTransaction=told)
