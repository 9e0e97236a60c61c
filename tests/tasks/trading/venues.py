"""A venue in memory for seeds: a market of random minutes, an account, and a wire that fails."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Protocol

import numpy as np

from infra.brokers.book import Book
from infra.brokers.broker import Broker, Candle, Price
from infra.brokers.holdings import Request
from infra.clock import Clock, VirtualClock
from infra.market.hours import calendar_of
from infra.market.moments import is_open
from infra.market.timeframes import bar_length

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
PRECISION: Final = {"EUR_USD": 5, "GBP_USD": 5, "USD_JPY": 3}
FIRST: Final = {"EUR_USD": 110_000, "GBP_USD": 127_000, "USD_JPY": 150_000}
PAIRS: Final = tuple(FIRST)
DEPOSIT: Final = Decimal(100_000)
DEPTH: Final = 600_000
"""Units that are for sale at once."""
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

    def jump(self, pair: str, by: float) -> None:
        """Let a price jump."""
        ...

    def suspend(self, pair: str, *, on: bool) -> None:
        """Let a pair trade no more, or again."""
        ...

    def thin(self, *, on: bool) -> None:
        """Let there be hardly anything for sale, or as much as usual again."""
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

    def jump(self, pair: str, now: datetime, by: float) -> None:
        """Move this minute's price, and all that follow."""
        self.bids[pair][self._minute(now) :] += round(by * 10 ** PRECISION[pair])

    def open(self, pair: str, now: datetime) -> bool:
        """Say whether the market is open."""
        return _is_open(pair, now.replace(second=0, microsecond=0))

    def candles(self, pair: str, timeframe: str, since: datetime, now: datetime) -> list[Candle]:
        """Return bars with at least one quoted minute."""
        length = bar_length(timeframe)
        since += -(since - EPOCH) % length
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
    deaf_until: datetime = EPOCH
    marked: datetime = EPOCH
    suspended: set[str] = field(default_factory=set)
    most: int = DEPTH

    def __post_init__(self) -> None:
        self.account = Book.opened("USD", DEPOSIT, self.clock.now())
        self._mark()

    @property
    def book(self) -> Book:
        return self.account

    def connect(self, clock: Clock) -> Broker:
        from tests.tasks.trading.line import Line

        return Line(self)

    def price(self, pair: str) -> Price:
        told = self.market.price(pair, self.clock.now())
        return replace(told, tradeable=False) if pair in self.suspended else told

    def jump(self, pair: str, by: float) -> None:
        self.market.jump(pair, self.clock.now(), by)
        self.marked = EPOCH
        self._happen()

    def suspend(self, pair: str, *, on: bool) -> None:
        (self.suspended.add if on else self.suspended.discard)(pair)

    def thin(self, *, on: bool) -> None:
        self.most = 500 if on else DEPTH

    def shut(self, pair: str, units: Decimal) -> str | None:
        """Say why an order is not filled by the market."""
        if not self.price(pair).tradeable:
            return "MARKET_HALTED"
        return "INSUFFICIENT_LIQUIDITY" if abs(units) > self.most else None

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
        self.suspended.clear()
        self.most = DEPTH
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
            if self.price(held.pair).tradeable:
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


def _rollover(before: datetime, after: datetime) -> bool:
    """Say whether 22:00 UTC lies between: 17:00 in New York, in winter."""
    shift = timedelta(hours=2)
    return (before + shift).date() < (after + shift).date()
