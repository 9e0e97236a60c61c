"""The paper broker's desk: an account, and how far the market has been followed for each trade."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self
from zoneinfo import ZoneInfo

from infra.brokers.book import Book
from infra.brokers.broker import Price
from infra.brokers.holdings import Holding
from infra.brokers.ledger import Lines
from infra.brokers.prices import Bar, Known, PriceError, Prices, Quote
from infra.market import fills
from infra.market.days import DAY_BEGINS, NEW_YORK
from infra.market.hours import calendar_for
from infra.market.timeframes import bar_length

_TICK: Final = timedelta.resolution
_DAY: Final = timedelta(days=1)
_AHEAD: Final = 8 * _DAY
"""Longer than any closure: where a bar comes within it, prices have not ended."""
_WEDNESDAY, _SATURDAY = 2, 5
_ORDERS: Final = {"stop": "STOP_LOSS_ORDER", "target": "TAKE_PROFIT_ORDER"}


@dataclass
class Watch:
    """How far a trade has been followed.

    Attributes
    ----------
    timeframe : str
        Of the bars that it is judged by.
    since : datetime
        Since when its stop and target stand. Of a bar that began before nobody knows what came
        first: its stop counts, its target does not.
    ahead : datetime
        Bars that begin from here on are still to be looked at.
    """

    timeframe: str
    since: datetime
    ahead: datetime

    @classmethod
    def of(cls, timeframe: str, since: datetime) -> Self:
        """Return the watch of a trade that begins at a moment, inside a bar or with one.

        Parameters
        ----------
        timeframe : str
        since : datetime
        """
        return cls(timeframe, since, since - bar_length(timeframe) + _TICK)


@dataclass
class Desk:
    """All that a venue would keep on its side.

    Attributes
    ----------
    book : Book
    walked : datetime
        Until when the market has been followed.
    latest : datetime
        Time of the last line of the log: times of lines never run back.
    watches : dict of str to Watch
        By trade.
    """

    book: Book
    walked: datetime
    latest: datetime
    watches: dict[str, Watch] = field(default_factory=dict)

    @classmethod
    def new(cls, currency: str, deposit: Decimal, at: datetime) -> Self:
        """Return the desk of a new account.

        Parameters
        ----------
        currency : str
        deposit : Decimal
        at : datetime
        """
        return cls(Book.opened(currency, deposit, at), at, at)

    def time(self, at: datetime) -> datetime:
        """Return the time of a line that is written now."""
        self.latest = max(self.latest, at)
        return self.latest

    def follow(self, lines: Lines, watch: Watch | None = None) -> Lines:
        """Watch the trades that lines opened, and no longer those that they closed.

        Parameters
        ----------
        lines : list of Transaction
        watch : Watch, optional
            Of the trade that was opened.
        """
        for line in lines:
            for part in line.closed:
                if part.whole:
                    self.watches.pop(part.trade, None)
            if line.opened is not None and watch is not None:
                self.watches[line.opened.trade] = watch
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it, without the log."""
        watches = {
            trade: [each.timeframe, each.since.isoformat(), each.ahead.isoformat()]
            for trade, each in self.watches.items()
        }
        times = {"walked": self.walked.isoformat(), "latest": self.latest.isoformat()}
        return {"book": self.book.to_dict(log=False), "watches": watches, **times}

    @classmethod
    def from_dict(cls, shown: Mapping[str, Any]) -> Self:
        """Return the desk that was told by `to_dict`."""
        moment = datetime.fromisoformat
        watches = {
            trade: Watch(timeframe, moment(since), moment(ahead))
            for trade, (timeframe, since, ahead) in shown["watches"].items()
        }
        book = Book.from_dict(shown["book"])
        return cls(book, moment(shown["walked"]), moment(shown["latest"]), watches)


class _End(NamedTuple):
    bar: Bar
    holding: Holding
    fill: fills.Fill[float]


@dataclass(frozen=True)
class Market:
    """What happens to a desk's trades while time passes: stops, targets, swaps, margin calls."""

    prices: Prices
    known: Known = field(default_factory=Known, repr=False)

    def walk(self, desk: Desk, now: datetime) -> None:
        """Let time pass up to a moment, and book what happened.

        Each night is charged for by what was known at its beginning: how often the broker is
        asked makes no difference.

        Parameters
        ----------
        desk : Desk
        now : datetime
        """
        if desk.book.trades:
            for night, days in rollovers(desk.walked, now):
                self._follow(desk, night)
                self._finance(desk, night, days)
            self._follow(desk, now)
            self._call_margin(desk, now)
        desk.walked = max(desk.walked, now)

    def price(self, pair: str, timeframe: str, now: datetime) -> Quote | None:
        """Return the price of a moment, or the next one that exists, or the newest one known.

        Only a replay knows the next one; as in the simulation none is taken beyond a hole.

        Parameters
        ----------
        pair, timeframe : str
        now : datetime

        Returns
        -------
        Quote or None
            None if the market is closed, or where prices end the last is older than two bars.
        """
        try:
            quote = self.prices.quote(pair, timeframe, now)
            if quote is not None and quote.opened and quote.at == now:
                return quote
            if self.halted(pair, now):
                return None
            coming = self.prices.bars(pair, timeframe, now, now + _AHEAD)
        except PriceError:
            return None
        if not coming:
            return quote
        (start, bid, ask), before = coming[0], now - bar_length(timeframe)
        holed = fills.is_hole(before, start, calendar_for(self.known[pair]), timeframe)
        return None if holed else Quote(bid[0], ask[0], start)

    def halted(self, pair: str, now: datetime) -> bool:
        """Return whether no venue trades a pair at a moment.

        Parameters
        ----------
        pair : str
        now : datetime
        """
        return fills.halted(calendar_for(self.known[pair]), now)

    def mark(self, desk: Desk, pair: str, quote: Quote) -> bool:
        """Note a price; False if nobody ever knew what the quote currency is worth.

        Parameters
        ----------
        desk : Desk
        pair : str
        quote : Quote
        """
        try:
            worth = self.prices.rate(pair, desk.book.currency, quote.at)
        except PriceError:
            worth = None
        before = desk.book.marks.get(pair)
        if worth is None and before is None:
            return False
        home = before.gain if worth is None and before else exact(worth or 0.0)
        margin = None if pair in desk.book.margins else exact(self.known[pair].margin)
        price = Price(pair, exact(quote.bid), exact(quote.ask), quote.at, gain=home, loss=home)
        desk.book.mark(price, margin)
        return True

    def refresh(self, desk: Desk, now: datetime) -> None:
        """Mark all open trades at the newest prices; one without keeps the price it has.

        Parameters
        ----------
        desk : Desk
        now : datetime
        """
        for pair in {each.pair for each in desk.book.trades.values()}:
            try:
                quote = self.prices.quote(pair, None, now)
            except PriceError:
                continue
            if quote is not None:
                self.mark(desk, pair, quote)

    def _follow(self, desk: Desk, until: datetime) -> None:
        ends = []
        for holding in desk.book.trades.values():
            try:
                end = self._end(holding, desk.watches[holding.id], until)
            except PriceError:
                continue  # one that cannot be read keeps no other from its stop
            if end is not None:
                ends.append(end)
        for end in sorted(ends, key=lambda each: each.bar.start):
            self._settle(desk, *end)

    def _end(self, holding: Holding, watch: Watch, until: datetime) -> _End | None:
        """Return how a trade ended by a moment: an open counts at once, a range once closed."""
        side, length = _side(holding), bar_length(watch.timeframe)
        stop, target = (
            None if order is None else float(order.price)
            for order in (holding.stop, holding.target)
        )
        for bar in self.prices.bars(holding.pair, watch.timeframe, watch.ahead, until + _TICK):
            opened, high, low, _ = bar.bid if side == "long" else bar.ask
            whole, closed = bar.start >= watch.since, bar.start + length <= until
            fill = fills.at_open(side, opened, stop) if whole else None
            if fill is None and closed:
                fill = fills.within(side, low, high, stop, target if whole else None)
            if fill is not None:
                return _End(bar, holding, fill)
            if closed:
                watch.ahead = bar.start + _TICK
        return None

    def _settle(self, desk: Desk, bar: Bar, holding: Holding, fill: fills.Fill[float]) -> None:
        """Book a stop or target; inside a bar nobody knows when, so that its start is told."""
        spread = bar.ask[0] - bar.bid[0]
        bid = fill.price if _side(holding) == "long" else fill.price - spread
        ask = fill.price + spread if _side(holding) == "long" else fill.price
        self.mark(desk, holding.pair, Quote(bid, ask, bar.start))
        at = desk.time(bar.start)
        order = _ORDERS[fill.reason]
        desk.follow(desk.book.settle(holding.id, exact(fill.price), at, order))

    def _finance(self, desk: Desk, night: datetime, days: int) -> None:
        rates = {}
        for pair in {each.pair for each in desk.book.trades.values()}:
            instrument = self.known[pair]
            rates[pair] = exact(instrument.long_rate), exact(instrument.short_rate)
        if any(map(any, rates.values())):
            self.refresh(desk, night)
            desk.book.finance(desk.time(night), rates, days)

    def _call_margin(self, desk: Desk, now: datetime) -> None:
        """Close all trades as a venue does once equity is below half the margin."""
        if not any(desk.book.margins.values()) or not desk.book.trades:
            return
        self.refresh(desk, now)
        if desk.book.closeout < 1:
            return
        for trade, holding in [*desk.book.trades.items()]:
            quote = self.price(holding.pair, desk.watches[trade].timeframe, now)
            if quote is not None:
                self.mark(desk, holding.pair, quote)
                price = exact(fills.leaving_price(_side(holding), quote.bid, quote.ask))
                at = desk.time(max(now, quote.at))
                desk.follow(desk.book.settle(trade, price, at, "MARGIN_CLOSEOUT"))


def exact(value: float) -> Decimal:
    """Return the shortest decimal that is this float: back again it is the same."""
    return Decimal(repr(float(value)))


def rollovers(start: datetime, end: datetime) -> Iterator[tuple[datetime, int]]:
    """Yield when trades are carried over night after a moment and up to another, and the nights.

    That is at 17:00 New York on working days; on Wednesday the weekend is paid for.

    Parameters
    ----------
    start, end : datetime
    """
    day = start.date()
    while (at := _rollover(day)) <= end:
        if at > start and day.weekday() < _SATURDAY:
            yield at, 3 if day.weekday() == _WEDNESDAY else 1
        day += _DAY


@lru_cache(maxsize=4096)
def _rollover(day: date) -> datetime:
    return datetime.combine(day, time(DAY_BEGINS), ZoneInfo(NEW_YORK)).astimezone(UTC)


def _side(holding: Holding) -> str:
    return "long" if holding.units > 0 else "short"
