"""Paths of positions: told and closed, one side or both."""

from __future__ import annotations

from decimal import Decimal

from infra.brokers.holdings import ZERO, Holding
from infra.brokers.simulator.ask import Ask
from infra.brokers.simulator.calls import Reply, decimal, invalid, missing
from infra.brokers.simulator.demands import refuse
from infra.brokers.simulator.orders import executed
from infra.brokers.simulator.trades import requested
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import Body, number

SIDES = ("long", "short")


def held(venue: Venue, pair: str, side: str) -> list[Holding]:
    """Return the open trades of a side.

    Parameters
    ----------
    venue : Venue
    pair : str
    side : {"long", "short"}
    """
    trades = venue.book.trades.values()
    return [t for t in trades if t.pair == pair and (t.units > 0) == (side == "long")]


def shown(venue: Venue, pair: str) -> Body:
    """Return a position as the venue tells it.

    Parameters
    ----------
    venue : Venue
    pair : str
    """
    sides = venue.records.sides(pair)
    open_ = {side: held(venue, pair, side) for side in SIDES}
    for side, trades in open_.items():
        sides[side] |= _side(venue, trades)
    both = [trade for trades in open_.values() for trade in trades]
    sums = {
        name: number(sum((Decimal(side[name]) for side in sides.values()), ZERO))
        for name in ("pl", "resettablePL", "financing", "unrealizedPL")
    }
    margin = sum((venue.book.margin(pair, trade.units) for trade in both), ZERO)
    fees = {"commission": "0.0000", "guaranteedExecutionFees": "0.0000"}
    return {"instrument": pair, **sums, **fees, "marginUsed": number(margin), **sides}


def _side(venue: Venue, trades: list[Holding]) -> Body:
    units = sum((trade.units for trade in trades), ZERO)
    unrealised = sum((venue.book.unrealised(trade) for trade in trades), ZERO)
    body: Body = {"units": number(units), "unrealizedPL": number(unrealised)}
    if trades:
        worth = sum((trade.units * trade.price for trade in trades), ZERO)
        body["averagePrice"] = number(round(worth / units, 5))
        body["tradeIDs"] = [trade.id for trade in trades]
    return body


def several(ask: Ask) -> Reply:
    """Tell of every instrument that was ever traded."""
    venue = ask.venue
    told = [shown(venue, pair) for pair in venue.records.profits]
    return 200, {"positions": told, "lastTransactionID": str(venue.book.last)}


def opened(ask: Ask) -> Reply:
    """Tell of the instruments that something is held of."""
    venue = ask.venue
    pairs = dict.fromkeys(trade.pair for trade in venue.book.trades.values())
    told = [shown(venue, pair) for pair in pairs]
    return 200, {"positions": told, "lastTransactionID": str(venue.book.last)}


def one(ask: Ask) -> Reply:
    """Tell of an instrument that was ever traded.

    Raises
    ------
    Refusal
    """
    venue, pair = ask.venue, ask.name
    _known(venue, pair)
    if pair not in venue.records.profits:
        missing("NO_SUCH_POSITION", "The Position requested does not exist")
    return 200, {"position": shown(venue, pair), "lastTransactionID": str(venue.book.last)}


def _known(venue: Venue, pair: str) -> None:
    if pair not in venue.market.minutes:
        invalid("Invalid value specified for 'instrument'")


def close(ask: Ask) -> Reply:
    """Close what is held of an instrument; a side that is asked for must be there.

    Raises
    ------
    Refusal
    """
    venue, call, pair = ask.venue, ask.call, ask.name
    _known(venue, pair)
    told = call.body()
    wanted = {side: told[f"{side}Units"] for side in SIDES if told.get(f"{side}Units") is not None}
    wanted = {side: units for side, units in wanted.items() if units != "NONE"}
    if not wanted:
        invalid("Invalid value specified for 'longUnits'")
    units = {
        side: None if asked == "ALL" else decimal(asked, f"{side}Units")
        for side, asked in wanted.items()
    }
    open_ = {side: held(venue, pair, side) for side in SIDES}
    for side, amount in units.items():
        _judge(venue, side, open_, amount, pair)
    body: Body = {}
    ids: list[str] = []
    for side, amount in units.items():
        made = _closed(venue, side, open_[side], amount)
        ids += made["relatedTransactionIDs"]
        body |= made
    return 200, {**body, "relatedTransactionIDs": ids}


def _judge(
    venue: Venue, side: str, open_: dict[str, list[Holding]], units: Decimal | None, pair: str
) -> None:
    reason, status = "", 400
    if not open_[side]:
        reason = "CLOSEOUT_POSITION_DOESNT_EXIST"
        status = 400 if any(open_.values()) else 404
    elif units is not None and units <= 0:
        reason = "UNITS_INVALID"
    elif units is not None and units > abs(sum((t.units for t in open_[side]), ZERO)):
        reason = "CLOSEOUT_POSITION_UNITS_EXCEED_POSITION_SIZE"
    if reason:
        extra = {"reason": "POSITION_CLOSEOUT", **_detail(side, pair, units)}
        key, type_ = f"{side}OrderRejectTransaction", "MARKET_ORDER_REJECT"
        refuse(venue, type_, reason, key, None, extra, status)


def _detail(side: str, pair: str, units: Decimal | None) -> Body:
    told = "ALL" if units is None else number(units)
    return {f"{side}PositionCloseout": {"instrument": pair, "units": told}}


def _closed(venue: Venue, side: str, trades: list[Holding], units: Decimal | None) -> Body:
    request = requested(trades, units)
    extra = {
        "timeInForce": "FOK",
        "positionFill": "REDUCE_ONLY",
        **_detail(side, request.pair, units),
    }
    lines = venue.enter(request, extra, reason="POSITION_CLOSEOUT")
    return executed(venue, lines, f"{side}Order")
