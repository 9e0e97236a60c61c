"""The paper broker: a venue of our own, which fills at recorded prices and keeps its own book."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final, TypeAlias

import psycopg
from sqlalchemy.exc import SQLAlchemyError

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
from infra.brokers.desk import Desk, Market, Watch, exact
from infra.brokers.holdings import Request
from infra.brokers.keeping import Keeping
from infra.brokers.ledger import Lines
from infra.brokers.prices import Bar, Prices
from infra.clock import Clock
from infra.market.fills import entry_price, leaving_price
from infra.market.instrument import Instrument, UnknownInstrument
from infra.market.timeframes import bar_length
from infra.postgres.database import DatabaseError

DEPOSIT: Final = Decimal(100_000)
LARGEST: Final = Decimal(100_000_000)
"""Units of one order."""
DIGITS: Final = 15
"""Decimals of a price that is made up: no venue rounds it."""

_TICK: Final = timedelta.resolution
_LOST: Final = (SQLAlchemyError, psycopg.Error, DatabaseError)

Act: TypeAlias = Callable[[Desk, datetime], Lines | str]
"""Does something at the desk; text is why it was refused at the door."""


@dataclass(frozen=True)
class PaperBroker:
    """A broker that moves no money; see `Broker`.

    Attributes
    ----------
    source : Prices
        Where its prices come from.
    keeping : Keeping
    clock : Clock
    number : str
        Of the account.
    currency : str
        Of the account.
    deposit : Decimal
        What a new account has.

    Notes
    -----
    Whatever is asked, first the bars since the last time are walked: stops, targets and nights
    are booked as `infra.market.fills` says. Time exits are the executor's: one that comes late is
    left at the price there is then.
    """

    source: Prices
    keeping: Keeping
    clock: Clock
    number: str = "paper"
    currency: str = "USD"
    deposit: Decimal = DEPOSIT

    @property
    def name(self) -> str:
        """See `Broker`."""
        return "paper"

    @property
    def real(self) -> bool:
        """See `Broker`."""
        return False

    @property
    def synthetic(self) -> bool:
        """See `Broker`."""
        return True

    def account(self) -> Account:
        """See `Broker`."""
        with self._read() as (desk, now):
            self._market.refresh(desk, now)
            return desk.book.account(self.number)

    def terms(self, pair: str) -> Terms | None:
        """See `Broker`."""
        try:
            instrument = self._market.known[pair]
        except UnknownInstrument:
            return None
        return terms_of(instrument)

    def prices(self, pairs: Sequence[str]) -> dict[str, Price]:
        """See `Broker`: the newest that are known, however fine the bars."""
        now = self.clock.now()
        found = ((pair, self._price(pair, now)) for pair in pairs)
        return {pair: price for pair, price in found if price is not None}

    def candles(self, pair: str, timeframe: str, since: datetime) -> list[Candle]:
        """See `Broker`: of the bar under way nothing but its open is known.

        Parameters
        ----------
        pair, timeframe : str
        since : datetime
        """
        now = self.clock.now()
        bars = self.source.bars(pair, timeframe, since, now + _TICK)
        return [_candle(bar, complete=bar.start + bar_length(timeframe) <= now) for bar in bars]

    def since(self, transaction: int) -> list[Transaction]:
        """See `Broker`."""
        with self._read():
            pass  # what happened in the meantime is written first
        with _told():
            return self.keeping.since(transaction)

    def last(self) -> int:
        """See `Broker`."""
        with self._read() as (desk, _):
            return desk.book.last

    def enter(self, entry: Entry) -> Reply:
        """See `Broker`."""
        return self._change(lambda desk, now: self._enter(desk, entry, now))

    def close(self, trade: str, client_id: str, units: Decimal | None = None) -> Reply:
        """See `Broker`.

        Parameters
        ----------
        trade, client_id : str
        units : Decimal, optional
        """
        return self._change(lambda desk, now: self._close(desk, trade, client_id, units, now))

    def protect(self, trade: str, stop: Decimal, target: Decimal | None) -> Reply:
        """See `Broker`.

        Parameters
        ----------
        trade : str
        stop : Decimal
        target : Decimal or None
        """
        return self._change(lambda desk, now: self._protect(desk, trade, stop, target, now))

    def _enter(self, desk: Desk, entry: Entry, now: datetime) -> Lines | str:
        terms = self.terms(entry.pair)
        if terms is None:
            return f"no instrument is known as {entry.pair}"
        units = entry.units if entry.side == "long" else -entry.units
        request = Request(entry.pair, units, entry.client_id, entry.bound, entry.stop, entry.target)
        if reason := objection(entry, terms):
            return desk.book.reject(desk.time(now), "MARKET_ORDER_REJECT", reason, request)
        quote = self._market.price(entry.pair, entry.timeframe, now)
        if quote is None or not self._market.mark(desk, entry.pair, quote):
            refusal = "MARKET_HALTED" if quote is None else "NO_HOME_CONVERSION"
            return desk.book.enter(request, desk.time(now), refusal=refusal)
        slippage = self.source.slippage(entry.pair)
        price = exact(entry_price(entry.side, quote.bid, quote.ask, slippage))
        at = desk.time(max(now, quote.at))
        lines = desk.book.enter(request, at, price=price)
        return desk.follow(lines, Watch.of(entry.timeframe, quote.at))

    def _close(
        self, desk: Desk, trade: str, client_id: str, units: Decimal | None, now: datetime
    ) -> Lines:
        holding = desk.book.trades.get(trade)
        reason = "" if holding else "TRADE_DOESNT_EXIST"
        if holding and units is not None:
            reason = _units(units, abs(holding.units), "CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE")
        if holding is None or reason:
            return desk.book.reject(desk.time(now), "MARKET_ORDER_REJECT", reason)
        quote = self._market.price(holding.pair, desk.watches[trade].timeframe, now)
        if quote is None:
            halt = desk.time(now)
            return desk.book.close(trade, units, None, halt, client_id, refusal="MARKET_HALTED")
        self._market.mark(desk, holding.pair, quote)
        side = "long" if holding.units > 0 else "short"
        price = exact(leaving_price(side, quote.bid, quote.ask))
        at = desk.time(max(now, quote.at))
        return desk.follow(desk.book.close(trade, units, price, at, client_id))

    def _protect(
        self, desk: Desk, trade: str, stop: Decimal, target: Decimal | None, now: datetime
    ) -> Lines:
        holding = desk.book.trades.get(trade)
        if holding is None:
            kind = "STOP_LOSS_ORDER_REJECT"
            return desk.book.reject(desk.time(now), kind, "TRADE_DOESNT_EXIST")
        self._market.refresh(desk, now)
        mark, watch = desk.book.marks[holding.pair], desk.watches[trade]
        side = "long" if holding.units > 0 else "short"
        price = leaving_price(side, mark.bid, mark.ask)
        if reason := _wrong(side, price, stop, target):
            return desk.book.reject(desk.time(now), "STOP_LOSS_ORDER_REJECT", reason)
        watch.since = max(watch.since, mark.at)
        return desk.book.protect(trade, {"stop": stop, "target": target}, desk.time(now))

    @cached_property
    def _market(self) -> Market:
        return Market(self.source)

    def _new(self) -> Desk:
        return Desk.new(self.currency, self.deposit, self.clock.now())

    def _price(self, pair: str, now: datetime) -> Price | None:
        if self.terms(pair) is None or (quote := self.source.quote(pair, None, now)) is None:
            return None
        worth = self.source.rate(pair, self.currency, now)
        home = None if worth is None else exact(worth)
        tradeable = (quote.opened and quote.at == now) or not self._market.halted(pair, now)
        bid, ask = exact(quote.bid), exact(quote.ask)
        return Price(pair, bid, ask, quote.at, tradeable=tradeable, gain=home, loss=home)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Desk, datetime]]:
        """Have the desk as it is now; a clock that was set back stands still for it."""
        with self.keeping.desk(self._new) as desk:
            now = max(self.clock.now(), desk.walked)
            self._market.walk(desk, now)
            yield desk, now

    @contextmanager
    def _read(self) -> Iterator[tuple[Desk, datetime]]:
        with _told(), self._opened() as opened:
            yield opened

    def _change(self, act: Act) -> Reply:
        try:
            with self._opened() as (desk, now):
                done = act(desk, now)
        except _LOST as error:
            return Unknown(f"nobody knows whether the book was written: {error}")
        return Refused(done) if isinstance(done, str) else Done(tuple(done))


def terms_of(instrument: Instrument) -> Terms:
    """Return what the paper broker demands of orders in an instrument."""
    minimum = exact(instrument.minimum_size).normalize()
    exponent = minimum.as_tuple().exponent
    return Terms(
        pair=instrument.name,
        precision=DIGITS if instrument.kind == "synthetic" else instrument.precision,
        unit_precision=max(0, -int(exponent)),
        minimum=minimum,
        maximum=LARGEST,
        margin=exact(instrument.margin),
    )


def objection(entry: Entry, terms: Terms) -> str:
    """Say in a venue's words why it does not take an order at all; nothing if it does.

    Parameters
    ----------
    entry : Entry
    terms : Terms
    """
    if reason := _units(entry.units, terms.maximum, "UNITS_LIMIT_EXCEEDED"):
        return reason
    if entry.units < terms.minimum:
        return "UNITS_MIMIMUM_NOT_MET"  # the venue's own spelling
    if entry.units % Decimal(1).scaleb(-terms.unit_precision):
        return "UNITS_PRECISION_EXCEEDED"
    if not _is_price(entry.bound):
        return "PRICE_BOUND_INVALID"
    if not _is_price(entry.stop):
        return "STOP_LOSS_ON_FILL_PRICE_INVALID"
    if entry.target is not None and not _is_price(entry.target):
        return "TAKE_PROFIT_ON_FILL_PRICE_INVALID"
    return ""


def _units(units: Decimal, most: Decimal, too_many: str) -> str:
    if not units.is_finite() or units <= 0:
        return "UNITS_INVALID"
    return too_many if units > most else ""


def _wrong(side: str, price: Decimal, stop: Decimal, target: Decimal | None) -> str:
    """Say why a trade cannot have a stop or target; nothing if it can."""
    if not _is_price(stop) or not (stop < price if side == "long" else stop > price):
        return "STOP_LOSS_ON_FILL_LOSS"
    if target is None:
        return ""
    right = _is_price(target) and (target > price if side == "long" else target < price)
    return "" if right else "TAKE_PROFIT_ON_FILL_LOSS"


def _is_price(price: Decimal) -> bool:
    return price.is_finite() and price > 0


def _candle(bar: Bar, *, complete: bool) -> Candle:
    bid, ask = (
        tuple(map(exact, side if complete else side[:1] * 4)) for side in (bar.bid, bar.ask)
    )
    return Candle(bar.start, complete, bid, ask)  # type: ignore[arg-type]


@contextmanager
def _told() -> Iterator[None]:
    """Say of a lost database what a broker says when it has no answer."""
    try:
        yield
    except _LOST as error:
        raise BrokerError(f"the paper broker's book cannot be read: {error}") from error
