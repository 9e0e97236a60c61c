"""Orders as they are sent, judged field by field in the venue's own order and words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NoReturn, cast, get_args

from infra.brokers.holdings import Netting, Request
from infra.brokers.simulator.calls import (
    LONGEST,
    Refusal,
    decimal,
    invalid,
    moment,
    places,
    section,
)
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import Body

WAITING: Final = ("LIMIT", "STOP", "MARKET_IF_TOUCHED")
MOST_WAITING: Final = 1000
_TIMES: Final = {"MARKET": ("FOK", "IOC"), **dict.fromkeys(WAITING, ("GTC", "GTD", "GFD"))}
_USUAL: Final = {"MARKET": "FOK", **dict.fromkeys(WAITING, "GTC")}
_OLD: Final = {"POSITION_DEFAULT": "DEFAULT"}
_EXTENSIONS: Final = ("id", "tag", "comment")


@dataclass(frozen=True)
class Demand:
    """A valid order: its kind, what it asks for, and what its line in the log repeats."""

    kind: str
    request: Request
    price: Decimal | None
    time_in_force: str
    expires: datetime | None
    extra: Body


def demand(venue: Venue, told: Body) -> Demand:
    """Return the order that was sent.

    Parameters
    ----------
    venue : Venue
    told : dict
        What is in ``order``.

    Raises
    ------
    Refusal
        At the door without a transaction, or with one that tells the reason.
    """
    kind = told.get("type", "MARKET")
    if not isinstance(kind, str) or kind not in _TIMES:
        invalid("Invalid value specified for 'order.type'")
    pair = told.get("instrument")
    if not isinstance(pair, str) or pair not in venue.market.minutes:
        code = "oanda::rest::core::InvalidParameterException"
        message = "Invalid value specified for 'order.instrument'"
        raise Refusal(400, {"errorCode": code, "errorMessage": message})
    units = decimal(told.get("units"), "order.units")
    netting = _OLD.get(str(told.get("positionFill")), told.get("positionFill", "DEFAULT"))
    if netting not in get_args(Netting):
        invalid("Invalid value specified for 'order.positionFill'")
    return Judge(venue, kind, told, pair, units, cast(Netting, netting)).demand()


@dataclass(frozen=True)
class Judge:
    """The order that is judged."""

    venue: Venue
    kind: str
    told: Body
    pair: str
    units: Decimal
    netting: Netting

    def demand(self) -> Demand:
        """Return it, if nothing is wrong with it."""
        own, trades = (
            self._extensions(name) for name in ("clientExtensions", "tradeClientExtensions")
        )
        stop, target = self._stop(), self._level("takeProfitOnFill", "TAKE_PROFIT_ON_FILL")
        bound, price = self._bound(), self._price()
        request = Request(self.pair, self.units, own.get("id"), bound, stop, target, self.netting)
        time_in_force, expires = self._time()
        if self.venue.locked:
            self.reject(self.venue.locked, request)
        self._units(request)
        self._names(request, own, trades)
        if time_in_force not in _TIMES[self.kind]:
            self.reject("TIME_IN_FORCE_INVALID", request)
        if wrong := self._wrong_price(request, price):
            self.reject(wrong, request)
        extra = self._extra(time_in_force, own, trades)
        return Demand(self.kind, request, price, time_in_force, expires, extra)

    def reject(self, reason: str, request: Request | None = None) -> NoReturn:
        """Refuse it with a transaction.

        Parameters
        ----------
        reason : str
        request : Request, optional

        Raises
        ------
        Refusal
        """
        request = request or Request(self.pair, self.units)
        told = {name: value for name, value in self.told.items() if name != "type"}
        refuse(self.venue, f"{self.kind}_ORDER_REJECT", reason, "orderRejectTransaction",
               request, {**told, "reason": "CLIENT_ORDER"})  # fmt: skip

    def _extensions(self, name: str) -> dict[str, str]:
        told = section(self.told, name) or {}
        for each in _EXTENSIONS:
            if not isinstance(told.get(each, ""), str):
                invalid(f"Invalid value specified for 'order.{name}.{each}'")
        return told

    def _names(self, request: Request, own: dict[str, str], trades: dict[str, str]) -> None:
        for whose, told in (("ORDER", own), ("TRADE", trades)):
            for each in _EXTENSIONS:
                if len(told.get(each, "")) > LONGEST or (each == "id" and told.get("id") == ""):
                    self.reject(f"CLIENT_{whose}_{each.upper()}_INVALID", request)
        waiting = {order.client_id for order in self.venue.book.orders.values()} - {None}
        if self.kind != "MARKET" and len(self.venue.book.orders) >= MOST_WAITING:
            self.reject("PENDING_ORDERS_ALLOWED_EXCEEDED", request)
        if request.client_id in waiting:
            self.reject("CLIENT_ORDER_ID_ALREADY_EXISTS", request)

    def _stop(self) -> Decimal | None:
        told = section(self.told, "stopLossOnFill")
        if told is None or "distance" not in told:
            return self._level("stopLossOnFill", "STOP_LOSS_ON_FILL")
        if "price" in told:
            self.reject("STOP_LOSS_ON_FILL_PRICE_AND_DISTANCE_BOTH_SPECIFIED")
        distance = decimal(told["distance"], "order.stopLossOnFill.distance")
        price = self.venue.price(self.pair)
        if price is None:
            return None
        return price.ask - distance if self.units > 0 else price.bid + distance

    def _level(self, name: str, words: str) -> Decimal | None:
        told = section(self.told, name)
        if told is None:
            return None
        if told.get("timeInForce", "GTC") not in ("GTC", "GTD", "GFD"):
            self.reject(f"{words}_TIME_IN_FORCE_INVALID")
        if told.get("price") is None:
            self.reject(f"{words}_PRICE_MISSING")
        level = decimal(told["price"], f"order.{name}.price")
        if level <= 0:
            self.reject(f"{words}_PRICE_INVALID")
        if places(level) > self._terms["displayPrecision"]:
            self.reject(f"{words}_PRICE_PRECISION_EXCEEDED")
        return level

    @property
    def _terms(self) -> dict[str, Any]:
        return self.venue.terms(self.pair)

    def _bound(self) -> Decimal | None:
        told = self.told.get("priceBound")
        return None if told is None else decimal(told, "order.priceBound")

    def _price(self) -> Decimal | None:
        if self.kind == "MARKET":
            return None
        if self.told.get("price") is None:
            self.reject("PRICE_MISSING")
        return decimal(self.told["price"], "order.price")

    def _wrong_price(self, request: Request, price: Decimal | None) -> str | None:
        for level, words in ((request.bound, "PRICE_BOUND"), (price, "PRICE")):
            if level is not None and level <= 0:
                return f"{words}_INVALID"
            if level is not None and places(level) > self._terms["displayPrecision"]:
                return f"{words}_PRECISION_EXCEEDED"
        return None

    def _units(self, request: Request) -> None:
        terms, units = self._terms, abs(request.units)
        if not units:
            self.reject("UNITS_INVALID", request)
        if places(units) > terms["tradeUnitsPrecision"]:
            self.reject("UNITS_PRECISION_EXCEEDED", request)
        if units < Decimal(terms["minimumTradeSize"]):
            self.reject("UNITS_MIMIMUM_NOT_MET", request)
        if units > Decimal(terms["maximumOrderUnits"]):
            self.reject("UNITS_LIMIT_EXCEEDED", request)

    def _time(self) -> tuple[str, datetime | None]:
        time_in_force = str(self.told.get("timeInForce", _USUAL[self.kind]))
        if time_in_force != "GTD":
            return time_in_force, None
        try:
            at = moment(str(self.told.get("gtdTime")))
        except (ValueError, OverflowError, OSError):
            self.reject("TIME_IN_FORCE_GTD_TIMESTAMP_MISSING")
        if at <= self.venue.market.now:
            self.reject("TIME_IN_FORCE_GTD_TIMESTAMP_IN_PAST")
        return time_in_force, at

    def _extra(self, time_in_force: str, own: Body, trades: Body) -> Body:
        told = {
            name: self.told[name]
            for name in ("takeProfitOnFill", "stopLossOnFill", "priceBound", "gtdTime")
            if self.told.get(name) is not None
        }
        extensions = {"clientExtensions": own, "tradeClientExtensions": trades}
        return {
            "timeInForce": time_in_force,
            "positionFill": self.netting,
            "units": f"{self.units:f}",
            **told,
            **{name: value for name, value in extensions.items() if value},
        }


def refuse(
    venue: Venue,
    type_: str,
    reason: str,
    key: str,
    request: Request | None = None,
    extra: Body | None = None,
    status: int = 400,
) -> NoReturn:
    """Refuse with a transaction, which takes a number.

    Parameters
    ----------
    venue : Venue
    type_, reason : str
        Of the transaction.
    key : str
        Under which it is told.
    request : Request, optional
    extra : dict, optional
        What the transaction tells besides.
    status : int

    Raises
    ------
    Refusal
    """
    lines = venue.book.reject(venue.market.now, type_, reason, request)
    told = venue.record(lines, extra)[0]
    message = reason.replace("_", " ").capitalize()
    raise Refusal(
        status,
        {
            key: told,
            "relatedTransactionIDs": [told["id"]],
            "lastTransactionID": told["id"],
            "errorCode": reason,
            "errorMessage": f"{message}.",
        },
    )
