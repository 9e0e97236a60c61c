"""Orders and trades as the venue tells them, also when they are over: read off the log alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from infra.brokers.broker import Closed, Transaction
from infra.brokers.holdings import ZERO
from infra.brokers.simulator.wire import Body, number

_OF_THE_LINE: Final = {"time", "userID", "accountID", "batchID", "requestID", "type", "reason"}
_OF_A_PAIR: Final = ("long", "short")


@dataclass
class Records:
    """What became of orders, trades and pairs.

    Attributes
    ----------
    lines : list of dict
        Transactions as they are told; the first has number 1.
    orders, trades : dict of str to dict
        Bodies by number; a trade without what changes with prices.
    profits : dict of str to dict
        Of each pair that was ever traded: profit and financing of each side.
    """

    lines: list[Body] = field(default_factory=list)
    orders: dict[str, Body] = field(default_factory=dict)
    trades: dict[str, Body] = field(default_factory=dict)
    profits: dict[str, dict[str, Decimal]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Decimal))
    )

    def add(self, line: Transaction, body: Body) -> None:
        """Take note of a line.

        Parameters
        ----------
        line : Transaction
        body : dict
            As it is told.
        """
        self.lines.append(body)
        match line.kind:
            case "order":
                self._ordered(line, body)
            case "fill":
                self._filled(line, body)
            case "cancel":
                order = self.orders[str(line.order)]
                order |= {"state": "CANCELLED", "cancelledTime": body["time"]}
                order["cancellingTransactionID"] = body["id"]
            case "financing":
                self._financed(line)

    def _ordered(self, line: Transaction, body: Body) -> None:
        told = {name: value for name, value in body.items() if name not in _OF_THE_LINE}
        kind = line.type.removesuffix("_ORDER")
        self.orders[body["id"]] = {
            **told, "createTime": body["time"], "type": kind, "state": "PENDING",
        }  # fmt: skip

    def _filled(self, line: Transaction, body: Body) -> None:
        order = self.orders[str(line.order)]
        order |= {"state": "FILLED", "filledTime": body["time"]}
        order["fillingTransactionID"] = body["id"]
        if line.opened is not None:
            order["tradeOpenedID"] = line.opened.trade
            self._opened(line, body, order)
        for part in line.closed:
            self._closed(part, body)
        if whole := [part.trade for part in line.closed if part.whole]:
            order["tradeClosedIDs"] = whole
        for part in line.closed:
            if not part.whole:
                order["tradeReducedID"] = part.trade

    def _opened(self, line: Transaction, body: Body, order: Body) -> None:
        opened = body["tradeOpened"]
        trade = {
            "id": opened["tradeID"],
            "instrument": line.pair,
            "price": opened["price"],
            "openTime": body["time"],
            "state": "OPEN",
            "initialUnits": opened["units"],
            "initialMarginRequired": opened.get("initialMarginRequired", "0.0000"),
            "currentUnits": opened["units"],
            "realizedPL": "0.0000",
            "financing": "0.0000",
        }
        if extensions := order.get("tradeClientExtensions"):
            trade["clientExtensions"] = extensions
        self.trades[trade["id"]] = trade
        self.profits[str(line.pair)]["traded"] = ZERO

    def _closed(self, part: Closed, body: Body) -> None:
        trade = self.trades[part.trade]
        left = Decimal(trade["currentUnits"]) + part.units
        trade["realizedPL"] = number(Decimal(trade["realizedPL"]) + part.profit)
        trade["currentUnits"] = number(left)
        trade.setdefault("closingTransactionIDs", []).append(body["id"])
        initial = Decimal(trade["initialUnits"])
        before, closed = initial - left + part.units, initial - left
        worth = Decimal(trade.get("averageClosePrice", "0")) * before - part.price * part.units
        trade["averageClosePrice"] = number(round(worth / closed, 5))
        if part.whole:
            trade |= {"state": "CLOSED", "closeTime": body["time"]}
        self.profits[trade["instrument"]][f"{_side(trade)} pl"] += part.profit

    def _financed(self, line: Transaction) -> None:
        for name, amount in line.financed:
            trade = self.trades[name]
            trade["financing"] = number(Decimal(trade["financing"]) + amount)
            self.profits[trade["instrument"]][f"{_side(trade)} financing"] += amount

    def sides(self, pair: str) -> dict[str, dict[str, Any]]:
        """Return profit and financing of a pair's sides, as a position tells them."""
        known = self.profits[pair]
        return {
            side: {
                "pl": number(known[f"{side} pl"]),
                "resettablePL": number(known[f"{side} pl"]),
                "financing": number(known[f"{side} financing"]),
                "guaranteedExecutionFees": "0.0000",
            }
            for side in _OF_A_PAIR
        }


def _side(trade: Body) -> str:
    return "short" if trade["initialUnits"].startswith("-") else "long"
