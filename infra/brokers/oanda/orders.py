"""What is sent to OANDA to change something, and what is wrong with it before it is sent."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from infra.brokers.broker import Entry, Terms
from infra.brokers.oanda.scalars import plain

LONGEST_NAME: Final = 128
_TRADE: Final = re.compile(r"[0-9]{1,18}")


def fault(entry: Entry, terms: Terms | None) -> str | None:
    """Say why an entry cannot be sent; None if it can.

    Parameters
    ----------
    entry : Entry
    terms : Terms or None
        Of its pair; None if the venue does not trade it.
    """
    if terms is None:
        return f"OANDA does not trade {entry.pair} in this account"
    if not 0 < len(entry.client_id) <= LONGEST_NAME:
        return f"a client's name for an order has 1 to {LONGEST_NAME} letters"
    return _units(entry.units, terms) or _prices(entry, terms)


def _units(units: Decimal, terms: Terms) -> str | None:
    if not _fits(units, terms.unit_precision):
        return f"units {units} of {terms.pair} are to have {terms.unit_precision} decimals"
    if not terms.minimum <= units <= terms.maximum:
        return f"units {units} of {terms.pair} are to be {terms.minimum} to {terms.maximum}"
    return None


def _prices(entry: Entry, terms: Terms) -> str | None:
    named = {"bound": entry.bound, "stop": entry.stop, "target": entry.target}
    for name, level in named.items():
        if level is not None and not _fits(level, terms.precision):
            return f"{name} {level} of {entry.pair} is to have {terms.precision} decimals"
    sign = 1 if entry.side == "long" else -1
    if not (entry.bound - entry.stop) * sign > 0:
        return f"the stop {entry.stop} is not behind the bound {entry.bound}"
    return None


def _fits(value: Decimal, digits: int) -> bool:
    """Say whether a number is finite, above zero and has no more decimals than it may."""
    if not value.is_finite() or value <= 0 or abs(value.adjusted()) > LONGEST_NAME:
        return False
    return value == value.quantize(Decimal(1).scaleb(-digits))


def entry(order: Entry, terms: Terms) -> dict[str, Any]:
    """Return the body of a market order; prices get the digits that the instrument shows.

    Parameters
    ----------
    order : Entry
        Without a `fault`.
    terms : Terms
        Of its pair.
    """
    name = {"id": order.client_id}
    body: dict[str, Any] = {
        "type": "MARKET",
        "instrument": order.pair,
        "units": plain(_signed(order)),
        "timeInForce": "FOK",
        "positionFill": "OPEN_ONLY",
        "priceBound": _price(order.bound, terms),
        "stopLossOnFill": {"price": _price(order.stop, terms), "timeInForce": "GTC"},
        "clientExtensions": name,
        "tradeClientExtensions": name,
    }
    if order.target is not None:
        body["takeProfitOnFill"] = {"price": _price(order.target, terms), "timeInForce": "GTC"}
    return {"order": body}


def _signed(order: Entry) -> Decimal:
    units = order.units if order.units % 1 else order.units.to_integral_value()
    return units if order.side == "long" else -units


def _price(level: Decimal, terms: Terms) -> str:
    return plain(level.quantize(Decimal(1).scaleb(-terms.precision)))


def is_trade(number: str) -> bool:
    """Say whether it may be a trade's number: nothing else gets into an address."""
    return _TRADE.fullmatch(number) is not None


def close(units: Decimal | None) -> dict[str, Any]:
    """Return the body that closes a trade, or so many units of it."""
    return {"units": "ALL" if units is None else plain(units)}


def protect(stop: Decimal, target: Decimal | None) -> dict[str, Any]:
    """Return the body that gives a trade its stop and target, or none.

    Parameters
    ----------
    stop : Decimal
    target : Decimal or None
    """
    gain = None if target is None else {"price": plain(target), "timeInForce": "GTC"}
    return {"stopLoss": {"price": plain(stop), "timeInForce": "GTC"}, "takeProfit": gain}
