"""The simulated venue: its market moves on, and what its clients asked for happens on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from heapq import merge
from typing import Any, Final

from infra.brokers.book import Book
from infra.brokers.broker import Price, Transaction
from infra.brokers.holdings import ZERO, Holding, Order, Request
from infra.brokers.ledger import Lines
from infra.brokers.simulator import wire
from infra.brokers.simulator.market import Market
from infra.brokers.simulator.offers import offer
from infra.brokers.simulator.records import Records
from infra.brokers.simulator.sessions import rollovers, trades_at
from infra.brokers.simulator.ticks import Tick, Ticks
from infra.market.instrument import NO_CURRENCY
from infra.market.instruments import find

ONE: Final = Decimal(1)
HALTED: Final = "MARKET_HALTED"
_DOLLARS: Final = {
    "AUD": "0.66", "CAD": "0.73", "CHF": "1.12", "EUR": "1.1", "GBP": "1.28", "JPY": "0.0067",
    "NZD": "0.6", "USD": "1", "XAG": "30", "XAU": "2600", "BTC": "90000", "ETH": "3000",
}  # fmt: skip
"""What a currency is worth where no instrument of the market tells."""

Falls = Callable[[], bool]


def usual_rate(pair: str) -> float:
    """Return about what a pair costs, where nobody tells."""
    base, _, quote = pair.partition("_")
    worth, price = (float(_DOLLARS.get(each, "1")) for each in (base, quote))
    return worth / price


class Venue:
    """One account at a market.

    Parameters
    ----------
    market : Market
    changes : dict of str to dict
        Fields of instruments that are told otherwise than usual.
    currency : str
    deposit : Decimal

    Attributes
    ----------
    locked : str
        Why orders are rejected, such as ``ACCOUNT_LOCKED``; empty: they are not.
    cancels : deque of str
        The next market order is cancelled for the first of these reasons.
    """

    def __init__(
        self,
        market: Market,
        changes: dict[str, dict[str, Any]],
        currency: str = "USD",
        deposit: Decimal = Decimal(10_000),
    ) -> None:
        self.market, self.changes = market, changes
        self.walked = market.now
        self.records = Records()
        self.expiries: dict[str, datetime] = {}
        self.request = 78_450_000_000
        self.alias = "Primary"
        self.locked = ""
        self.cancels: deque[str] = deque()
        self.book = Book.opened(currency, deposit, self.walked)
        self._terms: dict[str, dict[str, Any]] = {}
        self._ticks: dict[str, tuple[object, Ticks]] = {}
        first, second = self.book.log
        self.record([first], {"accountUserID": wire.USER, "homeCurrency": currency})
        amounts = {"amount": str(deposit), "accountBalance": str(deposit)}
        self.record([second], {**amounts, "fundingReason": "CLIENT_FUNDING"})

    # what it tells of instruments and prices

    def terms(self, pair: str) -> dict[str, Any]:
        """Return how an instrument is described; kept, for orders ask often."""
        if pair not in self._terms:
            self._terms[pair] = offer(pair, self.changes.get(pair))
        return self._terms[pair]

    def ladder(self, pair: str) -> tuple[tuple[int, Decimal], ...]:
        """Return how many units there are, and how much worse their price is."""
        pip = Decimal(1).scaleb(self.terms(pair)["pipLocation"])
        return tuple((units, Decimal(str(pips)) * pip) for units, pips in self.market.depth)

    def trades(self, pair: str, at: datetime) -> bool:
        """Say whether an instrument trades at a moment.

        Parameters
        ----------
        pair : str
        at : datetime
            With a zone.
        """
        return pair not in self.market.halted and trades_at(pair, at)

    def price(self, pair: str) -> Price | None:
        """Return the newest price of an instrument; None if there is none yet."""
        tick = self._of(pair).newest(self.market.now, self._falls(pair))
        return None if tick is None else self._priced(pair, tick, self.market.now)

    def worth(self, currency: str) -> tuple[Decimal, Decimal]:
        """Return what a unit of a currency is worth to the account, if earned and if lost."""
        home = self.book.currency
        if currency in (home, NO_CURRENCY):
            return ONE, ONE
        for pair, inverse in ((f"{currency}_{home}", False), (f"{home}_{currency}", True)):
            tick = None
            if pair in self.market.minutes:
                tick = self._of(pair).newest(self.market.now, self._falls(pair))
            if tick is not None:
                gain, loss = (ONE / tick.ask, ONE / tick.bid) if inverse else (tick.bid, tick.ask)
                return round(gain, 10), round(loss, 10)
        rate = round(Decimal(usual_rate(f"{currency}_{home}")), 10)
        return rate, rate

    def _of(self, pair: str) -> Ticks:
        columns = self.market.columns(pair)
        if (known := self._ticks.get(pair)) is None or known[0] is not columns:
            ticks = Ticks(columns, self.terms(pair)["displayPrecision"])
            known = self._ticks[pair] = columns, ticks
        return known[1]

    def _falls(self, pair: str) -> Falls:
        """Return what says whether the low comes first: it hurts all but who is short."""
        trades = self.book.trades

        def falls() -> bool:
            return not any(t.pair == pair and t.units < 0 for t in trades.values())

        return falls

    def _priced(self, pair: str, tick: Tick, at: datetime) -> Price:
        gain, loss = self.worth(find(pair).quote)
        told = max(tick.at, min(at, tick.until))
        return Price(pair, tick.bid, tick.ask, told, self.trades(pair, at), gain, loss)

    # time passes

    def walk(self, now: datetime) -> None:
        """Let the market move on to a moment: stops, targets, closeouts and financing in order.

        Parameters
        ----------
        now : datetime
            One before the last changes nothing.
        """
        if now <= self.walked:
            self.market.now = now
            return
        if self.book.trades or self.book.orders:
            for at, days in rollovers(self.walked, now):
                self._move(at)
                self._finance(at, days)
            self._move(now)
        self.market.now = self.walked = now
        for pair in {trade.pair for trade in self.book.trades.values()}:
            self._mark(pair)

    def gap(self, pair: str) -> None:
        """Judge stops, orders and margin at a price that jumped to where it stands."""
        price = self._mark(pair)
        if price is not None and price.tradeable:
            now = self.market.now
            self._judge(pair, Tick(now, price.bid, price.ask, jumps=True, until=price.at))

    def _move(self, until: datetime) -> None:
        pairs = {trade.pair for trade in self.book.trades.values()}
        pairs |= {order.pair for order in self.book.orders.values()}
        streams = [self._stream(pair, until) for pair in sorted(pairs)]
        for tick, pair in merge(*streams, key=lambda each: (each[0].at, each[1])):
            self.market.now = tick.at
            if self.trades(pair, tick.at):
                self._expire(tick.at)
                self.book.mark(self._priced(pair, tick, tick.at), self._margin(pair))
                self._judge(pair, tick)
        self.market.now = self.walked = until
        self._expire(until)

    def _stream(self, pair: str, until: datetime) -> Any:
        for tick in self._of(pair).between(self.walked, until, self._falls(pair)):
            yield tick, pair

    def _judge(self, pair: str, tick: Tick) -> None:
        for trade in [*self.book.trades.values()]:
            if trade.pair == pair:
                self._settle(trade, tick)
        for order in [*self.book.orders.values()]:
            if order.pair == pair and order.request is not None:
                self._trigger(order, order.request, tick)
        if self.book.trades and self.book.closeout >= 1:
            self._close_out(tick.at)

    def _settle(self, trade: Holding, tick: Tick) -> None:
        long = trade.units > 0
        leaving = tick.bid if long else tick.ask
        if (stop := trade.stop) and (leaving <= stop.price if long else leaving >= stop.price):
            price = leaving if tick.jumps else stop.price
            self.record(self.book.settle(trade.id, price, tick.at, "STOP_LOSS_ORDER"))
        elif (goal := trade.target) and (leaving >= goal.price if long else leaving <= goal.price):
            self.record(self.book.settle(trade.id, goal.price, tick.at, "TAKE_PROFIT_ORDER"))

    def _trigger(self, order: Order, request: Request, tick: Tick) -> None:
        buys = request.units > 0
        entering = tick.ask if buys else tick.bid
        waits = (entering < order.price) if buys else (entering > order.price)
        if order.type != "STOP":
            waits = (entering > order.price) if buys else (entering < order.price)
        if not waits:
            price = entering if tick.jumps else order.price
            self.record(self.book.trigger(order.id, tick.at, price))

    def _close_out(self, at: datetime) -> None:
        for trade in [*self.book.trades.values()]:
            if self.trades(trade.pair, at):
                mark = self.book.marks[trade.pair]
                price = mark.bid if trade.units > 0 else mark.ask
                self.record(self.book.settle(trade.id, price, at, "MARGIN_CLOSEOUT"))

    def _finance(self, at: datetime, days: int) -> None:
        rates = {}
        for pair in {trade.pair for trade in self.book.trades.values()}:
            self._mark(pair)
            told = self.terms(pair).get("financing") or {}
            rates[pair] = (
                Decimal(told.get("longRate", "0")), Decimal(told.get("shortRate", "0")),
            )  # fmt: skip
        self.record(self.book.finance(at, rates, days))

    def _expire(self, now: datetime) -> None:
        for order, at in [*self.expiries.items()]:
            if order not in self.book.orders:
                del self.expiries[order]
            elif now >= at:
                del self.expiries[order]
                self.record(self.book.cancel(order, at, "TIME_IN_FORCE_EXPIRED"))

    def _margin(self, pair: str) -> Decimal:
        return Decimal(self.terms(pair)["marginRate"])

    def _mark(self, pair: str) -> Price | None:
        price = self.price(pair)
        if price is not None:
            self.book.mark(price, self._margin(pair))
        return price

    # what clients ask for

    def enter(
        self, request: Request, extra: dict[str, Any], *, all_: bool = True, reason: str = ""
    ) -> list[wire.Body]:
        """Take a market order and return what was written.

        Parameters
        ----------
        request : Request
        extra : dict
            What the order's own line tells besides.
        all_ : bool
            Fill or kill; otherwise what there is fills.
        reason : str
            ``POSITION_CLOSEOUT``; unset: the client's own order.
        """
        price, units, refusal = self.quote(request, all_=all_)
        refusal = self.cancels.popleft() if self.cancels else refusal
        lines = self.book.enter(
            request, self.market.now, price=price, units=units, refusal=refusal,
            reason=reason or "CLIENT_ORDER",
        )  # fmt: skip
        return self.record(lines, extra)

    def close(
        self, trade: Holding, units: Decimal | None, extra: dict[str, Any]
    ) -> list[wire.Body]:
        """Close a trade, or part of it, and return what was written.

        Parameters
        ----------
        trade : Holding
        units : Decimal or None
            Above zero; None: all.
        extra : dict
            What the order's own line tells besides.
        """
        taken = -trade.units if units is None else units.copy_sign(-trade.units)
        price, _, refusal = self.quote(Request(trade.pair, taken))
        lines = self.book.close(trade.id, units, price, self.market.now, refusal=refusal)
        return self.record(lines, extra)

    def quote(
        self, request: Request, *, all_: bool = True
    ) -> tuple[Decimal | None, Decimal | None, str | None]:
        """Return what an order gets: price, signed units, and why it gets nothing.

        Parameters
        ----------
        request : Request
        all_ : bool
            All of it or nothing.
        """
        told, wanted, bound = self._mark(request.pair), abs(request.units), request.bound
        if told is None or not told.tradeable:
            return None, None, HALTED
        buys, taken, paid, refusal = request.units > 0, ZERO, ZERO, "INSUFFICIENT_LIQUIDITY"
        for there, worse in self.ladder(request.pair):
            price = told.ask + worse if buys else told.bid - worse
            if bound is not None and (price > bound if buys else price < bound):
                refusal = "BOUNDS_VIOLATION"
                break
            part = min(Decimal(there), wanted - taken)
            taken, paid = taken + part, paid + part * price
            if taken == wanted:
                break
        if not taken or (all_ and taken < wanted):
            return None, None, refusal
        average = round(paid / taken, self.terms(request.pair)["displayPrecision"])
        return average, taken.copy_sign(request.units), None

    def touch(self, trade: Holding) -> list[wire.Body]:
        """Fill a stop or target that is already beyond the price, and return what was written."""
        price, before = self._mark(trade.pair), len(self.records.lines)
        if price is not None and price.tradeable:
            self._settle(
                trade, Tick(self.market.now, price.bid, price.ask, jumps=True, until=price.at)
            )
        return self.records.lines[before:]

    def record(self, lines: Lines, extra: dict[str, Any] | None = None) -> list[wire.Body]:
        """Keep lines as they are told, and return them.

        Parameters
        ----------
        lines : list of Transaction
        extra : dict, optional
            What the first of them tells besides.
        """
        bodies = []
        for line in lines:
            more = (extra or {}) if line is lines[0] else {}
            more = {**more, **self._known(line, extra or {})}
            body = wire.transaction(line, lines[0].id, str(self.request), more)
            if line.opened is not None:
                margin = self.book.margin(str(line.pair), line.opened.units)
                body["tradeOpened"]["initialMarginRequired"] = wire.number(margin)
            self.records.add(line, body)
            bodies.append(body)
        return bodies

    def _known(self, line: Transaction, extra: dict[str, Any]) -> dict[str, Any]:
        if line.kind == "financing":
            return {"positionFinancings": self._financings(line)}
        if line.kind != "fill" or line.pair is None:
            return {}
        mark = self.book.marks[line.pair]
        stamp = {"timestamp": wire.moment(line.at)}
        requested = {"requestedUnits": extra["units"]} if "units" in extra else {}
        return {
            **requested,
            "gainQuoteHomeConversionFactor": wire.number(mark.gain or ONE),
            "lossQuoteHomeConversionFactor": wire.number(mark.loss or ONE),
            "fullPrice": {**wire.buckets(mark, self.ladder(line.pair)), **stamp},
        }

    def _financings(self, line: Transaction) -> list[wire.Body]:
        pairs: dict[str, list[tuple[str, Decimal]]] = {}
        for trade, amount in line.financed:
            pairs.setdefault(self.records.trades[trade]["instrument"], []).append((trade, amount))
        return [
            {
                "instrument": pair,
                "financing": wire.number(sum((amount for _, amount in parts), ZERO)),
                "accountFinancingMode": "DAILY_INSTRUMENT",
                "openTradeFinancings": [
                    {"tradeID": trade, "financing": wire.number(amount)} for trade, amount in parts
                ],
            }
            for pair, parts in pairs.items()
        ]
