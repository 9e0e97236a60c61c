"""A venue in memory for seeds: a market of random minutes, an account, and a wire that fails."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Protocol

import numpy as np

from infra.brokers.book import Book
from infra.brokers.broker import (
    Account,
    Broker,
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
from infra.clock import Clock, VirtualClock
from infra.market.hours import calendar_of
from infra.market.moments import is_open
from infra.market.timeframes import bar_length

MINUTE: Final = timedelta(minutes=1)
PRECISION: Final = {"EUR_USD": 5, "GBP_USD": 5, "USD_JPY": 3}
FIRST: Final = {"EUR_USD": 110_000, "GBP_USD": 127_000, "USD_JPY": 150_000}
PAIRS: Final = tuple(FIRST)
DEPOSIT: Final = Decimal(100_000)
MARGIN: Final = Decimal("0.02")
BY_HAND: Final = "by-hand"
"""Name of orders that are not ours."""
RATES: Final = {pair: (Decimal("-0.03"), Decimal("0.01")) for pair in PAIRS}


class Venue(Protocol):
    """A venue as the world sees it: its own truth, and connections for executors."""

    clock: VirtualClock

    @property
    def fired(self) -> Counter[str]:
        """Return how often each fault fired."""
        ...

    @property
    def book(self) -> Book:
        """Return the account as it is in truth."""
        ...

    def connect(self, clock: Clock) -> Broker:
        """Return a new connection of an executor whose clock is this."""
        ...

    def pass_(self, seconds: float) -> None:
        """Let time pass, and what happens in it happen."""
        ...

    def price(self, pair: str) -> Price:
        """Return the present price."""
        ...

    def calm(self) -> None:
        """From now on nothing fails, and what was under way has arrived."""
        ...

    def trade_by_hand(self, pair: str, units: int) -> None:
        """Somebody trades on the account."""
        ...

    def close_by_hand(self, trade: str) -> None:
        """Somebody closes a trade."""
        ...

    def unprotect_by_hand(self, trade: str) -> None:
        """Somebody takes the stop of a trade away."""
        ...


@dataclass
class Market:
    """Minutes of several pairs: walks with jumps, with minutes in which nothing is quoted."""

    start: datetime
    bids: dict[str, np.ndarray[Any, Any]]
    spreads: dict[str, np.ndarray[Any, Any]]
    quoted: np.ndarray[Any, Any]

    @classmethod
    def of(cls, seed: int, start: datetime, minutes: int) -> Market:
        rng = np.random.default_rng(seed)
        bids, spreads = {}, {}
        for pair, first in FIRST.items():
            steps = rng.normal(0, rng.choice((2, 6, 15)), minutes)
            steps += (rng.random(minutes) < 0.004) * rng.normal(0, 150, minutes)
            bids[pair] = (first + np.cumsum(steps)).round().astype(int)
            wide = rng.random(minutes) < 0.03
            spreads[pair] = np.where(wide, rng.integers(30, 90, minutes), 12)
        return cls(start, bids, spreads, rng.random(minutes) > 0.05)

    def price(self, pair: str, now: datetime) -> Price:
        """Return the price of a minute, of the last one that was quoted."""
        tradeable, minute = self.open(pair, now), self._minute(now)
        at = now
        if not self.quoted[minute] or not tradeable:
            at = now.replace(second=0, microsecond=0)
        scale = -PRECISION[pair]
        bid = Decimal(int(self.bids[pair][minute])).scaleb(scale)
        ask = bid + Decimal(int(self.spreads[pair][minute])).scaleb(scale)
        home = (Decimal(1) / bid).quantize(Decimal("1e-8")) if pair == "USD_JPY" else Decimal(1)
        return Price(pair, bid, ask, at, tradeable, home, home)

    def open(self, pair: str, now: datetime) -> bool:
        """Say whether the market is open."""
        return _is_open(pair, now.replace(second=0, microsecond=0))

    def candles(self, pair: str, timeframe: str, since: datetime, now: datetime) -> list[Candle]:
        """Return bars with at least one quoted minute."""
        length = bar_length(timeframe)
        since += -(since - datetime(1970, 1, 1, tzinfo=UTC)) % length
        return list(self._candles(pair, length, max(since, self.start), now))

    def _candles(
        self, pair: str, length: timedelta, since: datetime, now: datetime
    ) -> Iterator[Candle]:
        begins = since
        while begins <= now:
            ends = begins + length
            if self.open(pair, begins):
                first, last = self._minute(begins), self._minute(min(ends - MINUTE, now))
                if self.quoted[first : last + 1].any():
                    price = self.price(pair, begins)
                    yield Candle(begins, ends <= now, (price.bid,) * 4, (price.ask,) * 4)
            begins = ends

    def _minute(self, at: datetime) -> int:
        return min(max(int((at - self.start) / MINUTE), 0), len(self.quoted) - 1)


@lru_cache(maxsize=100_000)
def _is_open(pair: str, minute: datetime) -> bool:
    return is_open(calendar_of(pair), minute)


@dataclass
class BookVenue:
    """The cheap venue: an account book, and faults between it and who asks."""

    clock: VirtualClock
    market: Market
    rng: random.Random
    rates: dict[str, float]
    fired: Counter[str] = field(default_factory=Counter)
    late: list[tuple[datetime, Callable[[], Any]]] = field(default_factory=list)
    deaf_until: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    marked: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.account = Book.opened("USD", DEPOSIT, self.clock.now())
        self._mark()

    @property
    def book(self) -> Book:
        return self.account

    def connect(self, clock: Clock) -> Broker:
        return Line(self)

    def price(self, pair: str) -> Price:
        return self.market.price(pair, self.clock.now())

    def pass_(self, seconds: float) -> None:
        """Let time pass, minute by minute where something is open or under way."""
        ends = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < ends:
            busy = self.account.trades or self.late
            ahead = self.clock.now().replace(second=0, microsecond=0) + MINUTE
            until = min(ahead, ends) if busy else ends
            crossed = _rollover(self.clock.now(), until)
            self.clock.advance(until - self.clock.now())
            self._happen()
            if crossed:
                self.account.finance(self.clock.now(), RATES, 1)

    def calm(self) -> None:
        self.rates = {}
        self.deaf_until = self.clock.now()
        for _, change in self.late:
            change()
        self.late.clear()

    def trade_by_hand(self, pair: str, units: int) -> None:
        self.account.enter(Request(pair, Decimal(units), BY_HAND), self.clock.now())

    def close_by_hand(self, trade: str) -> None:
        self.account.close(trade, None, None, self.clock.now())

    def unprotect_by_hand(self, trade: str) -> None:
        stop = self.account.trades[trade].stop
        if stop is not None:
            self.account.cancel(stop.id, self.clock.now())

    def fires(self, fault: str) -> bool:
        """Say whether a fault happens now, and count it."""
        happens = self.rng.random() < self.rates.get(fault, 0.0)
        self.fired[fault] += happens
        return happens

    def _happen(self) -> None:
        """Stops and targets fill, and what was under way arrives."""
        self._mark()
        now = self.clock.now()
        for held in list(self.account.trades.values()):
            if self.market.open(held.pair, now):
                self._trigger(held.id)
        if self.account.closeout >= 1:
            for number in list(self.account.trades):
                self.fired["margin closeout"] += 1
                price = self._leaving(number)
                self.account.settle(number, price, now, "MARGIN_CLOSEOUT")
        due = [change for at, change in self.late if at <= now]
        self.late = [(at, change) for at, change in self.late if at > now]
        for change in due:
            change()

    def _trigger(self, number: str) -> None:
        held = self.account.trades[number]
        price, long = self._leaving(number), held.units > 0
        for order, reason, below in (
            (held.stop, "STOP_LOSS_ORDER", long),
            (held.target, "TAKE_PROFIT_ORDER", not long),
        ):
            if order is not None and (price <= order.price if below else price >= order.price):
                self.fired[reason.lower()] += 1
                self.account.settle(number, price, self.clock.now(), reason)
                return

    def _leaving(self, number: str) -> Decimal:
        held = self.account.trades[number]
        price = self.price(held.pair)
        return price.bid if held.units > 0 else price.ask

    def _mark(self) -> None:
        minute = self.clock.now().replace(second=0, microsecond=0)
        if minute != self.marked:
            for pair in PAIRS:
                self.account.mark(self.price(pair), MARGIN)
            self.marked = minute


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
        shut = None if venue.price(request.pair).tradeable else "MARKET_HALTED"
        venue.fired["market halted"] += shut is not None
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
        shut = None if venue.price(held.pair).tradeable else "MARKET_HALTED"
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


def _rollover(before: datetime, after: datetime) -> bool:
    """Say whether 22:00 UTC lies between: 17:00 in New York, in winter."""
    shift = timedelta(hours=2)
    return (before + shift).date() < (after + shift).date()
