"""Paths of trades: told, closed, protected."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NoReturn

from infra.brokers.holdings import LINKED, Holding, Place, Request
from infra.brokers.simulator.ask import Ask
from infra.brokers.simulator.calls import Reply, decimal, invalid, missing, places, section
from infra.brokers.simulator.demands import refuse
from infra.brokers.simulator.orders import MOST, answer, executed
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import Body, number

_BODY: Final[dict[Place, str]] = {"target": "takeProfit", "stop": "stopLoss"}


def shown(venue: Venue, told: Body, *, briefly: bool = False) -> Body:
    """Return a trade as the venue tells it, with what changes with prices.

    Parameters
    ----------
    venue : Venue
    told : dict
        Of the records.
    briefly : bool
        The numbers of its orders instead of them.
    """
    trade = venue.book.trades.get(told["id"])
    if trade is None:
        return {**told, "currentUnits": "0"}
    body = {
        **told,
        "unrealizedPL": number(venue.book.unrealised(trade)),
        "marginUsed": number(venue.book.margin(trade.pair, trade.units)),
    }
    for place in LINKED:
        if (order := getattr(trade, place)) is not None:
            name = f"{_BODY[place]}Order"
            body |= {f"{name}ID": order.id} if briefly else {name: venue.records.orders[order.id]}
    return body


def several(ask: Ask) -> Reply:
    """Tell of trades, newest first."""
    venue, call = ask.venue, ask.call
    state, pair, ids = call.query.get("state", "OPEN"), call.query.get("instrument"), None
    if (names := call.names("ids")) is not None:
        ids, state = set(names), call.query.get("state", "ALL")
    if state not in ("OPEN", "CLOSED", "CLOSE_WHEN_TRADEABLE", "ALL"):
        invalid("Invalid value specified for 'state'")
    count, before = call.integer("count", 50, MOST), call.integer("beforeID", 10**17, 10**18)
    found = [
        trade
        for trade in reversed(venue.records.trades.values())
        if state in ("ALL", trade["state"])
        and (pair is None or trade["instrument"] == pair)
        and (ids is None or trade["id"] in ids)
        and int(trade["id"]) < before
    ]
    told = [shown(venue, trade) for trade in found[:count]]
    return 200, {"trades": told, "lastTransactionID": str(venue.book.last)}


def opened(ask: Ask) -> Reply:
    """Tell of all open trades, newest first."""
    venue = ask.venue
    told = [shown(venue, venue.records.trades[each]) for each in reversed(venue.book.trades)]
    return 200, {"trades": told, "lastTransactionID": str(venue.book.last)}


def one(ask: Ask) -> Reply:
    """Tell of a trade, open or closed.

    Raises
    ------
    Refusal
    """
    venue, spec = ask.venue, ask.name
    told = venue.records.trades.get(_id(venue, spec))
    if told is None:
        missing("NO_SUCH_TRADE", "The trade specified does not exist")
    return 200, {"trade": shown(venue, told), "lastTransactionID": str(venue.book.last)}


def _id(venue: Venue, spec: str) -> str:
    if not spec.startswith("@"):
        return spec
    for number_ in reversed(venue.book.trades):
        if venue.records.trades[number_].get("clientExtensions", {}).get("id") == spec[1:]:
            return number_
    return ""


def close(ask: Ask) -> Reply:
    """Close a trade, or part of it.

    Raises
    ------
    Refusal
    """
    venue, call, spec = ask.venue, ask.call, ask.name
    told = call.body() if call.content else {}
    units = None if told.get("units", "ALL") == "ALL" else decimal(told["units"], "units")
    trade = venue.book.trades.get(_id(venue, spec))
    detail: Body = {"tradeID": spec[:20], "units": "ALL" if units is None else number(units)}
    extra = {"timeInForce": "FOK", "positionFill": "REDUCE_ONLY", "tradeClose": detail}
    if trade is None:
        _refuse(venue, "TRADE_DOESNT_EXIST", extra, 404)
    detail["tradeID"] = trade.id
    if units is not None and (wrong := _wrong(venue, trade, units)):
        _refuse(venue, wrong, extra, 400)
    return 200, executed(venue, venue.close(trade, units, extra))


def _wrong(venue: Venue, trade: Holding, units: Decimal) -> str | None:
    if units <= 0:
        return "UNITS_INVALID"
    if places(units) > venue.terms(trade.pair)["tradeUnitsPrecision"]:
        return "UNITS_PRECISION_EXCEEDED"
    return "CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE" if units > abs(trade.units) else None


def _refuse(venue: Venue, reason: str, extra: Body, status: int) -> NoReturn:
    extra = {**extra, "reason": "TRADE_CLOSE"}
    key, type_ = "orderRejectTransaction", "MARKET_ORDER_REJECT"
    refuse(venue, type_, reason, key, None, extra, status)


def protect(ask: Ask) -> Reply:
    """Give a trade its stop and target; what is null is taken away, what is not there stays.

    Raises
    ------
    Refusal
    """
    venue, call, spec = ask.venue, ask.call, ask.name
    told, trade = call.body(), venue.book.trades.get(_id(venue, spec))
    wanted: dict[Place, Decimal | None] = {}
    for place, name in _BODY.items():
        if name in told:
            level = section(told, name)
            price = None if level is None else decimal(level.get("price"), f"{name}.price")
            _judge(venue, trade, name, price, spec)
            wanted[place] = price
    if trade is None:
        missing("NO_SUCH_TRADE", "The trade specified does not exist")
    if not wanted:
        invalid("Invalid value specified for 'stopLoss'")
    lines = venue.book.protect(trade.id, wanted, venue.market.now)
    body = _told(venue, venue.record(lines))
    ids = [*body["relatedTransactionIDs"], *(line["id"] for line in venue.touch(trade))]
    last = str(venue.book.last)
    return 200, {**body, "relatedTransactionIDs": ids, "lastTransactionID": last}


def _judge(
    venue: Venue, trade: Holding | None, name: str, price: Decimal | None, spec: str
) -> None:
    reason, status = "", 400
    if trade is None:
        reason, status = "TRADE_DOESNT_EXIST", 404
    elif price is not None and price <= 0:
        reason = "PRICE_INVALID"
    elif price is not None and places(price) > venue.terms(trade.pair)["displayPrecision"]:
        reason = "PRICE_PRECISION_EXCEEDED"
    if reason:
        kind = "TAKE_PROFIT" if name == "takeProfit" else "STOP_LOSS"
        extra = {"tradeID": spec[:20], "reason": "CLIENT_ORDER"}
        key, type_ = f"{name}OrderRejectTransaction", f"{kind}_ORDER_REJECT"
        refuse(venue, type_, reason, key, None, extra, status)


def _told(venue: Venue, lines: list[Body]) -> Body:
    told: dict[str, Body] = {}
    for line in lines:
        cancels = line["type"] == "ORDER_CANCEL"
        order = venue.records.orders[line["orderID"] if cancels else line["id"]]
        name = "takeProfit" if order["type"] == "TAKE_PROFIT" else "stopLoss"
        told[f"{name}Order{'Cancel' * cancels}Transaction"] = line
    return answer(venue, **told)


def label(ask: Ask) -> Reply:
    """Change the client's own words of a trade.

    Raises
    ------
    Refusal
    """
    venue, call, spec = ask.venue, ask.call, ask.name
    words = section(call.body(), "clientExtensions") or {}
    trade = venue.book.trades.get(_id(venue, spec))
    if trade is None:
        missing("NO_SUCH_TRADE", "The trade specified does not exist")
    venue.records.trades[trade.id]["clientExtensions"] = words
    lines = venue.book.note(venue.market.now, "TRADE_CLIENT_EXTENSIONS_MODIFY")
    extra = {"tradeID": trade.id, "tradeClientExtensionsModify": words}
    told = venue.record(lines, extra)[0]
    return 200, answer(venue, tradeClientExtensionsModifyTransaction=told)


def requested(trades: list[Holding], units: Decimal | None) -> Request:
    """Return what closes so many units of trades of one side.

    Parameters
    ----------
    trades : list of Holding
    units : Decimal or None
        None: all.
    """
    held = sum((trade.units for trade in trades), Decimal(0))
    taken = -held if units is None else units.copy_sign(-held)
    return Request(trades[0].pair, taken, netting="REDUCE_ONLY")
