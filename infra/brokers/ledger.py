"""What changes an account: its state, its worth at given prices, and how lines are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from infra.brokers.broker import Closed, Kind, Opened, Price, Transaction
from infra.brokers.holdings import LINKED, ZERO, Holding, Order, Place, Request

CENT: Final = Decimal("0.0001")
"""Amounts of money are rounded to it."""

_HALF: Final = Decimal("0.5")
_RUINED: Final = Decimal(999)

Lines = list[Transaction]
Takes = list[tuple[Holding, Decimal]]
"""Trades, and the signed units that are traded against each."""


@dataclass
class Ledger:
    """The state of an account and its mechanics; `Book` is what may be done with it.

    Attributes
    ----------
    currency : str
    balance, deposits, profit, financing : Decimal
        The balance is the sum of the others.
    trades : dict of str to Holding
        Those that are open, oldest first.
    orders : dict of str to Order
        Those that wait.
    marks : dict of str to Price
        Newest price of each pair.
    margins : dict of str to Decimal
        Share of a position's worth that is held back; none where it does not say.
    last : int
        Number of the newest line.
    log : list of Transaction
        Who keeps lines elsewhere may empty it: nothing here looks back.
    """

    currency: str = "USD"
    balance: Decimal = ZERO
    deposits: Decimal = ZERO
    profit: Decimal = ZERO
    financing: Decimal = ZERO
    trades: dict[str, Holding] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    marks: dict[str, Price] = field(default_factory=dict)
    margins: dict[str, Decimal] = field(default_factory=dict)
    last: int = 0
    log: Lines = field(default_factory=list)

    def mark(self, price: Price, margin: Decimal | None = None) -> None:
        """Take note of a price, and of the share that is held back.

        Parameters
        ----------
        price : Price
            With the worth of the quote currency.
        margin : Decimal, optional
            Unset: as before.

        Raises
        ------
        ValueError
            If the price does not say what the quote currency is worth to the account.
        """
        if price.gain is None or price.loss is None:
            raise ValueError(f"nobody knows what the quote currency of {price.pair} is worth")
        self.marks[price.pair] = price
        if margin is not None:
            self.margins[price.pair] = margin

    def unrealised(self, holding: Holding) -> Decimal:
        """Return what a trade would earn if it were closed at the mark."""
        mark = self.marks[holding.pair]
        price = mark.bid if holding.units > 0 else mark.ask
        return self._home(holding.pair, (price - holding.price) * holding.units)

    def margin(self, pair: str, units: Decimal) -> Decimal:
        """Return what is held back for units of a pair.

        Parameters
        ----------
        pair : str
        units : Decimal
        """
        share = self.margins.get(pair, ZERO)
        if not share:
            return ZERO
        mark = self.marks[pair]
        worth = (mark.gain + mark.loss) * _HALF  # type: ignore[operator]
        return (abs(units) * self._mid(pair) * share * worth).quantize(CENT)

    @property
    def equity(self) -> Decimal:
        """Balance and what open trades would earn at their marks."""
        return sum(map(self.unrealised, self.trades.values()), self.balance)

    @property
    def margin_used(self) -> Decimal:
        """What is held back for all open trades."""
        return sum((self.margin(h.pair, h.units) for h in self.trades.values()), ZERO)

    @property
    def closeout(self) -> Decimal:
        """Half the margin used as a share of equity: from 1 on, the venue closes all trades."""
        if not (used := self.margin_used):
            return ZERO
        equity = self.equity
        return used * _HALF / equity if equity > 0 else _RUINED

    def _price(self, pair: str, units: Decimal) -> Decimal:
        mark = self.marks[pair]
        return mark.ask if units > 0 else mark.bid

    def _mid(self, pair: str) -> Decimal:
        mark = self.marks[pair]
        return (mark.bid + mark.ask) * _HALF

    def _home(self, pair: str, amount: Decimal) -> Decimal:
        """Return an amount of the quote currency in the account's."""
        mark = self.marks[pair]
        rate = mark.gain if amount > 0 else mark.loss
        return (amount * rate).quantize(CENT)  # type: ignore[operator]

    def _line(
        self, at: datetime, kind: Kind, type_: str, reason: str = "", **told: Any
    ) -> Transaction:
        self.last += 1
        line = Transaction(self.last, at, kind, type_, reason, **told)
        self.log.append(line)
        return line

    def _cancelled(
        self, order: str, at: datetime, reason: str, client_id: str | None
    ) -> Transaction:
        return self._line(at, "cancel", "ORDER_CANCEL", reason, order=order, client_id=client_id)

    def _execute(
        self,
        order: str,
        request: Request,
        at: datetime,
        price: Decimal | None,
        units: Decimal | None,
        refusal: str | None,
        reason: str,
    ) -> Lines:
        wanted = request.units if units is None else units
        price = self._price(request.pair, wanted) if price is None and not refusal else price
        takes, rest = self._net(request, wanted)
        if price is not None:
            refusal = refusal or self._objection(request, price, takes, rest)
        if refusal or price is None:
            return [self._cancelled(order, at, refusal or "MARKET_HALTED", request.client_id)]
        return self._fill(order, request, at, price, reason, takes, rest)

    def _net(self, request: Request, units: Decimal) -> tuple[Takes, Decimal]:
        """Return what goes against trades of the other side, oldest first, and what is left."""
        takes: Takes = []
        for holding in self.trades.values():
            if holding.pair == request.pair and (holding.units > 0) != (units > 0) and units:
                taken = units if abs(units) < abs(holding.units) else -holding.units
                takes.append((holding, taken))
                units -= taken
        return takes, ZERO if request.netting == "REDUCE_ONLY" else units

    def _objection(
        self, request: Request, price: Decimal, takes: Takes, rest: Decimal
    ) -> str | None:
        """Return why an order is not filled at a price."""
        buys = request.units > 0
        if request.bound is not None and (price > request.bound if buys else price < request.bound):
            return "BOUNDS_VIOLATION"
        if request.netting == "OPEN_ONLY" and takes:
            return "FIFO_VIOLATION"
        if not takes and not rest:
            return "POSITION_CLOSEOUT_FAILED"
        return self._objection_to_trade(request, takes, rest) if rest else None

    def _objection_to_trade(self, request: Request, takes: Takes, rest: Decimal) -> str | None:
        mark, stop, target = self.marks[request.pair], request.stop, request.target
        buys = rest > 0
        if stop is not None and (stop >= mark.bid if buys else stop <= mark.ask):
            return "STOP_LOSS_ON_FILL_LOSS"
        if target is not None and (target <= mark.bid if buys else target >= mark.ask):
            return "TAKE_PROFIT_ON_FILL_LOSS"
        needed = self.margin(request.pair, rest)
        freed = sum((self.margin(request.pair, taken) for _, taken in takes), ZERO)
        if needed > freed and needed > self.equity - self.margin_used + freed:
            return "INSUFFICIENT_MARGIN"
        return None

    def _fill(
        self,
        order: str,
        request: Request,
        at: datetime,
        price: Decimal,
        reason: str,
        takes: Takes,
        rest: Decimal,
        trade: str | None = None,
    ) -> Lines:
        closed = tuple(self._take(holding, units, price) for holding, units in takes)
        profit = sum((each.profit for each in closed), ZERO)
        self.balance += profit
        self.profit += profit
        number = str(self.last + 1)
        cost = self._half_spread(request.pair, rest)
        opened = Opened(number, rest, price, cost) if rest else None
        line = self._line(
            at, "fill", "ORDER_FILL", reason, pair=request.pair, client_id=request.client_id,
            order=order, trade=trade, units=sum((units for _, units in takes), rest), price=price,
            opened=opened, closed=closed, profit=profit, balance=self.balance,
        )  # fmt: skip
        lines = [line]
        for holding, _ in takes:
            if not holding.units:
                lines += self._unlink(holding, at)
        if rest:
            lines += self._open(number, rest, price, request, at)
        return lines

    def _take(self, holding: Holding, units: Decimal, price: Decimal) -> Closed:
        """Trade units against a trade; it is gone when none are left."""
        profit = self._home(holding.pair, (holding.price - price) * units)
        holding.units += units
        holding.realised += profit
        if whole := not holding.units:
            del self.trades[holding.id]
        cost = self._half_spread(holding.pair, units)
        return Closed(holding.id, units, price, profit, cost=cost, whole=whole)

    def _half_spread(self, pair: str, units: Decimal) -> Decimal:
        mark = self.marks[pair]
        cost = (mark.ask - mark.bid) * _HALF * abs(units) * mark.loss  # type: ignore[operator]
        return cost.quantize(CENT)

    def _open(
        self, number: str, units: Decimal, price: Decimal, request: Request, at: datetime
    ) -> Lines:
        holding = Holding(number, request.pair, units, price, at, request.client_id, initial=units)
        self.trades[number] = holding
        wanted: tuple[tuple[Place, Decimal | None], ...] = (
            ("target", request.target), ("stop", request.stop),
        )  # fmt: skip
        return [
            self._link(holding, place, price, at, "ON_FILL")
            for place, price in wanted
            if price is not None
        ]

    def _link(
        self, holding: Holding, place: Place, price: Decimal, at: datetime, reason: str
    ) -> Transaction:
        kind = LINKED[place]
        line = self._line(
            at, "order", f"{kind}_ORDER", reason or "CLIENT_ORDER",
            pair=holding.pair, trade=holding.id, price=price, order=str(self.last + 1),
        )  # fmt: skip
        order = Order(str(line.id), kind, holding.pair, price, at, trade=holding.id)
        setattr(holding, place, order)
        self.orders[order.id] = order
        return line

    def _unlink(self, holding: Holding, at: datetime) -> Lines:
        """Cancel what waits for a trade that is gone."""
        lines = []
        for place in LINKED:
            order: Order | None = getattr(holding, place)
            if order is not None and order.id in self.orders:
                del self.orders[order.id]
                lines.append(self._cancelled(order.id, at, "LINKED_TRADE_CLOSED", None))
        return lines
