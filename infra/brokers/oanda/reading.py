"""OANDA's messages as the values that every broker speaks in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from pydantic import ValidationError

from infra.brokers import broker
from infra.brokers.broker import Candle, Closed, Opened, Pending, Price, Terms, Transaction
from infra.brokers.oanda import wire
from infra.brokers.oanda.scalars import number
from infra.brokers.oanda.wire import ORDERS, Cancelled, Filled, Financed, Head, Made, Part

STOPS: Final = ("STOP_LOSS", "GUARANTEED_STOP_LOSS", "TRAILING_STOP_LOSS")
TARGETS: Final = ("TAKE_PROFIT",)

_REJECTS: Final = frozenset(f"{made}_REJECT" for made in ORDERS)


def transaction(told: object, account: str | None = None) -> Transaction:
    """Return a line of the log; of a type that nobody knows, what every line tells.

    Parameters
    ----------
    told : object
        What JSON held.
    account : str, optional
        Whose it must be, where it tells.

    Raises
    ------
    ValueError
        If it makes no sense, or is another account's.
    """
    head = Head.model_validate(told)
    if account is not None and head.account_id not in (None, account):
        raise ValueError("a transaction of another account")
    match head.type:
        case "ORDER_FILL":
            return _filled(Filled.model_validate(told))
        case "ORDER_CANCEL":
            return _cancelled(Cancelled.model_validate(told))
        case "DAILY_FINANCING":
            return _financed(Financed.model_validate(told))
        case made if made in ORDERS:
            return _made(Made.model_validate(told), "order")
        case rejected if rejected in _REJECTS:
            return _made(Made.model_validate(told), "reject")
    return _other(head, told)


def _made(told: Made, kind: broker.Kind) -> Transaction:
    made = kind == "order"
    return Transaction(
        told.id,
        told.time,
        kind,
        told.type,
        reason=told.reason if made else told.reject_reason or told.reason,
        pair=told.instrument,
        client_id=told.client,
        order=str(told.id) if made else None,
        trade=None if told.of_trade is None else str(told.of_trade),
        units=told.units,
        price=told.price,
    )


def _filled(told: Filled) -> Transaction:
    price = told.price or told.full_vwap
    if price is None:
        raise ValueError("a fill without a price")
    closed = [_closed(part, price, whole=True) for part in told.trades_closed or []]
    if told.trade_reduced is not None:
        closed.append(_closed(told.trade_reduced, price, whole=False))
    opened = None if told.trade_opened is None else _opened(told.trade_opened, price)
    return Transaction(
        told.id,
        told.time,
        "fill",
        told.type,
        reason=told.reason,
        pair=told.instrument,
        client_id=told.client_order_id,
        order=str(told.order_id),
        units=told.units,
        price=price,
        opened=opened,
        closed=tuple(closed),
        profit=told.pl,
        financing=told.financing,
        commission=told.commission + told.guaranteed_execution_fee,
        balance=told.account_balance,
    )


def _opened(part: Part, price: Decimal) -> Opened:
    return Opened(str(part.trade_id), part.units, part.price or price, part.half_spread_cost)


def _closed(part: Part, price: Decimal, *, whole: bool) -> Closed:
    return Closed(
        str(part.trade_id),
        part.units,
        part.price or price,
        part.realized_pl,
        part.financing,
        part.half_spread_cost,
        whole,
    )


def _cancelled(told: Cancelled) -> Transaction:
    return Transaction(
        told.id,
        told.time,
        "cancel",
        told.type,
        reason=told.reason,
        client_id=told.client_order_id,
        order=str(told.order_id),
    )


def _financed(told: Financed) -> Transaction:
    trades = [
        (str(trade.trade_id), trade.financing)
        for position in told.position_financings or []
        for trade in position.open_trade_financings or []
    ]
    return Transaction(
        told.id,
        told.time,
        "financing",
        told.type,
        financing=told.financing,
        financed=tuple(trades),
        balance=told.account_balance,
    )


def _other(head: Head, told: Any) -> Transaction:
    try:
        balance = number(told.get("accountBalance"))
    except ValueError:
        balance = None
    reason = told.get("rejectReason") or told.get("reason")
    said = reason if isinstance(reason, str) else ""
    return Transaction(head.id, head.time, "other", head.type, reason=said, balance=balance)


def account(told: wire.Account) -> broker.Account:
    """Return an account; its trades carry the stops and targets that wait with them."""
    details = told.account
    waiting = [order for order in details.orders if order.state == "PENDING"]
    trades = (_trade(trade, waiting) for trade in details.trades if trade.current_units)
    free = (order for order in waiting if order.trade_id is None)
    return broker.Account(
        details.id,
        details.currency,
        details.balance,
        details.nav,
        details.margin_used,
        details.margin_available,
        tuple(trades),
        tuple(_pending(order) for order in free),
        told.last_transaction_id,
        details.hedging_enabled,
    )


def _trade(told: wire.Trade, waiting: Iterable[wire.Order]) -> broker.Trade:
    ours = [order for order in waiting if order.trade_id == told.id]
    return broker.Trade(
        str(told.id),
        told.instrument,
        "long" if told.current_units > 0 else "short",
        abs(told.current_units),
        told.price,
        told.open_time,
        told.client_extensions.id if told.client_extensions else None,
        _level(ours, STOPS),
        _level(ours, TARGETS),
        told.unrealized_pl,
        told.margin_used,
    )


def _level(orders: Iterable[wire.Order], types: tuple[str, ...]) -> Decimal | None:
    levels = (order.price or order.trailing_stop_value for order in orders if order.type in types)
    return next((level for level in levels if level is not None), None)


def _pending(told: wire.Order) -> Pending:
    client = told.client_extensions.id if told.client_extensions else None
    return Pending(str(told.id), told.instrument or "", told.type, told.units, client)


def terms(told: wire.Instruments) -> dict[str, Terms]:
    """Return what is demanded, by pair; an instrument that makes no sense is left out."""
    found = {}
    for row in told.instruments:
        try:
            read = wire.Instrument.model_validate(row)
        except ValidationError:
            continue
        found[read.name] = Terms(
            read.name,
            int(read.display_precision),
            int(read.trade_units_precision),
            read.minimum_trade_size,
            read.maximum_order_units,
            read.margin_rate,
        )
    return found


def prices(told: wire.Pricing) -> dict[str, Price]:
    """Return prices by pair; one without both sides, or with crossed ones, is left out."""
    worth = {each.currency: each for each in told.home_conversions or []}
    read = (price(each, worth.get(each.instrument.rpartition("_")[2])) for each in told.prices)
    return {each.pair: each for each in read if each is not None}


def price(told: wire.ClientPrice, worth: wire.Conversion | None = None) -> Price | None:
    """Return a price; None without both sides, or with crossed ones.

    Parameters
    ----------
    told : wire.ClientPrice
    worth : wire.Conversion, optional
        Of the quote currency.
    """
    bid = max((step.price for step in told.bids), default=told.closeout_bid)
    ask = min((step.price for step in told.asks), default=told.closeout_ask)
    if bid is None or ask is None or bid > ask:
        return None
    factors = told.quote_home_conversion_factors
    gain = worth.account_gain if worth else factors.positive_units if factors else None
    loss = worth.account_loss if worth else factors.negative_units if factors else None
    good = told.status in (None, "tradeable") and told.tradeable is not False
    known = told.status is not None or told.tradeable is not None
    return Price(told.instrument, bid, ask, told.time, good and known, gain, loss)


def candles(told: wire.Candles, pair: str, since: datetime) -> list[Candle]:
    """Return candles, ascending.

    Parameters
    ----------
    told : wire.Candles
    pair : str
        That was asked for.
    since : datetime
        Start of the first one that counts.

    Raises
    ------
    ValueError
        If they are of another pair, or out of order.
    """
    times = [row.time for row in told.candles]
    if told.instrument != pair or any(a >= b for a, b in pairwise(times)):
        raise ValueError("candles of another pair, or that do not ascend")
    return [
        Candle(row.time, row.complete, _sides(row.bid), _sides(row.ask))
        for row in told.candles
        if row.time >= since
    ]


def _sides(quote: wire.Quote) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    return quote.o, quote.h, quote.l, quote.c
