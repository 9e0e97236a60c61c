"""An executor's connection to the cheap venue, on which calls fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from infra.brokers.broker import (
    Account,
    BrokerError,
    Candle,
    Done,
    Entry,
    Price,
    Refused,
    Reply,
    Terms,
    Transaction,
    Unknown,
)
from infra.brokers.holdings import Request
from tests.tasks.trading.venues import MARGIN, PAIRS, PRECISION

if TYPE_CHECKING:
    from tests.tasks.trading.venues import BookVenue


@dataclass
class Line:
    """An executor's connection to the cheap venue."""

    venue: BookVenue
    name: str = "book"
    real: bool = False
    synthetic: bool = True

    def account(self) -> Account:
        self._asked()
        return self.venue.account.account("book-1")

    def terms(self, pair: str) -> Terms | None:
        if pair not in PAIRS:
            return None
        return Terms(pair, PRECISION[pair], 0, Decimal(1), Decimal(100_000_000), MARGIN)

    def prices(self, pairs: Sequence[str]) -> dict[str, Price]:
        self._asked()
        return {pair: self.venue.price(pair) for pair in pairs if pair in PAIRS}

    def candles(self, pair: str, timeframe: str, since: datetime) -> list[Candle]:
        self._asked()
        return self.venue.market.candles(pair, timeframe, since, self.venue.clock.now())

    def since(self, transaction: int) -> list[Transaction]:
        self._asked()
        return list(self.venue.account.since(transaction))

    def last(self) -> int:
        self._asked()
        return self.venue.account.last

    def enter(self, entry: Entry) -> Reply:
        sign = 1 if entry.side == "long" else -1
        request = Request(
            entry.pair,
            sign * entry.units,
            entry.client_id,
            entry.bound,
            entry.stop,
            entry.target,
            "OPEN_ONLY",
        )
        return self._change(lambda: self._entered(request))

    def close(self, trade: str, client_id: str, units: Decimal | None = None) -> Reply:
        return self._change(lambda: self._closed(trade, units))

    def protect(self, trade: str, stop: Decimal, target: Decimal | None) -> Reply:
        book, now = self.venue.account, self.venue.clock.now

        def change() -> list[Transaction]:
            if trade not in book.trades:
                return book.reject(now(), "STOP_LOSS_ORDER_REJECT", "TRADE_DOESNT_EXIST")
            return book.protect(trade, {"stop": stop, "target": target}, now())

        return self._change(change)

    def _entered(self, request: Request) -> list[Transaction]:
        venue = self.venue
        venue._mark()
        shut = venue.shut(request.pair, request.units)
        lines = venue.account.enter(request, venue.clock.now(), refusal=shut)
        venue.fired["cancelled"] += lines[-1].kind == "cancel"
        held = venue.account.trades.get(str(lines[-1].trade))
        if held is not None and held.stop is not None and venue.fires("naked"):
            venue.account.cancel(held.stop.id, venue.clock.now())
        return lines

    def _closed(self, trade: str, units: Decimal | None) -> list[Transaction]:
        venue = self.venue
        venue._mark()
        held, now = venue.account.trades.get(trade), venue.clock.now()
        if held is None:
            venue.fired["closed twice"] += 1
            return venue.account.reject(now, "MARKET_ORDER_REJECT", "TRADE_DOESNT_EXIST")
        shut = venue.shut(held.pair, units or held.units)
        return venue.account.close(trade, units, None, now, refusal=shut)

    def _asked(self) -> None:
        venue = self.venue
        venue.pass_(venue.rng.uniform(0.01, 0.2))
        if venue.fires("deaf"):
            length = venue.rng.choice((0, 0, 60, 600))
            venue.deaf_until = venue.clock.now() + timedelta(seconds=length)
            raise BrokerError("nobody answers")
        if venue.clock.now() < venue.deaf_until:
            venue.fired["deaf times"] += 1
            raise BrokerError("nobody answers still")
        venue._mark()

    def _change(self, change: Callable[[], Sequence[Transaction]]) -> Reply:
        venue = self.venue
        venue.pass_(venue.rng.uniform(0.01, 0.2))
        if venue.clock.now() < venue.deaf_until or venue.fires("refuse"):
            return Refused("not sent: nobody listens")
        if venue.fires("lose"):
            venue.pass_(8)
            return Unknown("no answer")
        if venue.fires("delay"):
            late = venue.rng.choice((5, 30, 130, 200, 400, 900))
            venue.late.append((venue.clock.now() + timedelta(seconds=late), change))
            venue.pass_(8)
            return Unknown("no answer yet")
        lines = tuple(change())
        if venue.fires("mute"):
            venue.pass_(8)
            return Unknown("the answer was lost")
        return Done(lines)
