"""A broker in memory on the account book, whose wire can be cut; and an executor at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from infra.brokers.book import Book
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
from infra.clock import VirtualClock
from infra.postgres import models
from infra.postgres.database import session
from infra.postgres.models import Signal
from infra.postgres.trading import Intent, Position
from tasks.trading.execution import Executor
from tasks.trading.risk.limits import Limits
from tasks.trading.sizing import Units

START = datetime(2026, 1, 5, 10, tzinfo=UTC)
"""A Monday."""
HOUR = timedelta(hours=1)
PAIR = "EUR_USD"


@dataclass
class BookBroker:
    """A broker on a book.

    `wire` holds what happens to the next changes: ``refuse`` (surely not sent), ``lose`` (it never
    arrives, and nobody knows), ``mute`` (done, and the answer is lost), ``delay`` (nobody knows,
    and it is done only when `arrive` is called), ``naked`` (done, without the stop); `deaf` makes
    all questions fail.
    """

    clock: VirtualClock
    book: Book
    bid: Decimal = Decimal("1.10000")
    spread: Decimal = Decimal("0.00010")
    wire: list[str] = field(default_factory=list)
    deaf: bool = False
    tradeable: bool = True
    name: str = "book"
    real: bool = False
    synthetic: bool = True
    sent: list[Any] = field(default_factory=list)
    late: list[Callable[[], Any]] = field(default_factory=list)

    @classmethod
    def new(cls, clock: VirtualClock) -> BookBroker:
        return cls(clock, Book.opened("USD", Decimal(100_000), clock.now()))

    def account(self) -> Account:
        self._asked()
        return self.book.account("book-1", [self._price()])

    def terms(self, pair: str) -> Terms | None:
        self._asked()
        margin, most = Decimal("0.02"), Decimal(100_000_000)
        return Terms(pair, 5, 0, Decimal(1), most, margin) if pair == PAIR else None

    def prices(self, pairs: Sequence[str]) -> dict[str, Price]:
        self._asked()
        return {PAIR: self._price()} if PAIR in pairs else {}

    def candles(self, pair: str, timeframe: str, since: datetime) -> list[Candle]:
        self._asked()
        count = int((self.clock.now() - since) / HOUR) + 1
        flat = (self.bid,) * 4
        return [Candle(since + n * HOUR, n < count - 1, flat, flat) for n in range(count)]

    def since(self, transaction: int) -> list[Transaction]:
        self._asked()
        return list(self.book.since(transaction))

    def last(self) -> int:
        self._asked()
        return self.book.last

    def enter(self, entry: Entry) -> Reply:
        self.sent.append(entry)
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
        return self._change(lambda: self.book.enter(request, self.clock.now()))

    def close(self, trade: str, client_id: str, units: Decimal | None = None) -> Reply:
        self.sent.append(trade)

        def closed() -> list[Transaction]:
            if trade not in self.book.trades:
                return self.book.reject(self.clock.now(), "MARKET_ORDER", "TRADE_DOESNT_EXIST")
            return self.book.close(trade, units, None, self.clock.now())

        return self._change(closed)

    def protect(self, trade: str, stop: Decimal, target: Decimal | None) -> Reply:
        at = self.clock.now()
        return self._change(lambda: self.book.protect(trade, {"stop": stop, "target": target}, at))

    def move(self, bid: str) -> None:
        """Let the market move; stops fill at their price."""
        self.bid = Decimal(bid)
        self.book.mark(self._price())
        for held in list(self.book.trades.values()):
            if held.stop is None:
                continue
            long = held.units > 0
            if self.bid <= held.stop.price if long else self.bid + self.spread >= held.stop.price:
                self.book.settle(held.id, held.stop.price, self.clock.now(), "STOP_LOSS_ORDER")

    def arrive(self) -> None:
        """What was delayed arrives now."""
        while self.late:
            self.late.pop(0)()

    def _price(self) -> Price:
        one = Decimal(1)
        return Price(
            PAIR, self.bid, self.bid + self.spread, self.clock.now(), self.tradeable, one, one
        )

    def _asked(self) -> None:
        self.book.mark(self._price(), Decimal("0.02"))
        if self.deaf:
            raise BrokerError("nobody answers")

    def _change(self, change: Callable[[], Sequence[Transaction]]) -> Reply:
        self.book.mark(self._price(), Decimal("0.02"))
        match self.wire.pop(0) if self.wire else "":
            case "refuse":
                return Refused("not sent: nobody listens")
            case "lose":
                return Unknown("no answer")
            case "mute":
                change()
                return Unknown("the answer was lost")
            case "delay":
                self.late.append(change)
                return Unknown("no answer yet")
            case "naked":
                lines = change()
                held = next(reversed(self.book.trades.values()))
                if held.stop is not None:
                    self.book.cancel(held.stop.id, self.clock.now())
                return Done(tuple(lines))
        return Done(tuple(change()))


def executor(clock: VirtualClock, broker: BookBroker, **changes: Any) -> Executor:
    """Return an executor with a small fixed size."""
    limits = changes.pop("limits", Limits())
    sizing = changes.pop("sizing", Units(units=Decimal(1000)))
    return Executor("book-1", broker, clock, limits, sizing, **changes)


def model() -> models.Model:
    """Return the model that signals name."""
    return models.Model(
        model_id="m",
        pair=PAIR,
        timeframe="H1",
        strategy="damped",
        parameters={},
        data_hash="d",
        code_version="c",
        trained_from=START,
        trained_until=START,
        path="p",
        metrics={},
    )


def publish(bar: int, side: str = "long", **changes: Any) -> None:
    """Publish a signal on the bar that begins so many hours after `START`."""
    values: dict[str, Any] = {
        "strategy": "damped",
        "pair": PAIR,
        "timeframe": "H1",
        "bar_ts": START + bar * HOUR,
        "side": side,
        "action": "BUY" if side == "long" else "SELL",
        "confidence": 0.7,
        "lower": 0.6,
        "upper": 0.8,
        "break_even": 0.5,
        "expected": 1e-4,
        "doubt": 1e-5,
        "margin": 1e-4,
        "stop_distance": 0.005,
        "target_distance": None,
        "horizon": 4,
        "valid_until": START + (bar + 2) * HOUR,
        "mode": "live",
        "model_id": "m",
    }
    with session() as opened:
        opened.add(Signal(**{**values, **changes}))


def intents() -> list[Intent]:
    """Return all intents, oldest first."""
    with session() as opened:
        rows = list(opened.scalars(select(Intent).order_by(Intent.id)))
        opened.expunge_all()
    return rows


def positions() -> list[Position]:
    """Return all positions, oldest first."""
    with session() as opened:
        rows = list(opened.scalars(select(Position).order_by(Position.id)))
        opened.expunge_all()
    return rows
