"""An account as a venue keeps it, in memory: balance, trades, orders, and a log of all of it.

It knows no market and no clock: who keeps it says what prices are (`mark`), at which a fill is and
when. Every change returns the lines that it wrote; line numbers are consecutive from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Self

from infra.brokers import audit
from infra.brokers.broker import Account, Pending, Price
from infra.brokers.holdings import LINKED, ZERO, Order, Place, Request, packed, unpacked
from infra.brokers.ledger import Ledger, Lines

_YEAR: Final = Decimal(365)
_AMOUNTS: Final = ("balance", "deposits", "profit", "financing")
_KEPT: Final = {"trades": "id", "orders": "id", "marks": "pair"}


class Book(Ledger):
    """An account with one net position in a pair."""

    @classmethod
    def opened(cls, currency: str, deposit: Decimal, at: datetime) -> Self:
        """Return a new account with money in it.

        Parameters
        ----------
        currency : str
        deposit : Decimal
        at : datetime
        """
        book = cls(currency)
        book._line(at, "other", "CREATE", balance=ZERO)
        book.balance = book.deposits = deposit
        book._line(at, "other", "TRANSFER_FUNDS", "CLIENT_FUNDING", balance=deposit)
        return book

    def enter(
        self,
        request: Request,
        at: datetime,
        *,
        price: Decimal | None = None,
        units: Decimal | None = None,
        refusal: str | None = None,
        reason: str = "CLIENT_ORDER",
    ) -> Lines:
        """Take a market order: it is filled now, or cancelled with a reason.

        Parameters
        ----------
        request : Request
        at : datetime
        price : Decimal, optional
            At which it would fill; the mark's ask for buying, its bid for selling.
        units : Decimal, optional
            How many there are, signed, if fewer than asked for.
        refusal : str, optional
            Why the market does not fill it.
        reason : str
            ``CLIENT_ORDER`` or ``POSITION_CLOSEOUT``.
        """
        line = self._line(
            at, "order", "MARKET_ORDER", reason,
            pair=request.pair, client_id=request.client_id, units=request.units,
        )  # fmt: skip
        why = "MARKET_ORDER" if reason == "CLIENT_ORDER" else f"MARKET_ORDER_{reason}"
        return [line, *self._execute(str(line.id), request, at, price, units, refusal, why)]

    def wait(self, kind: str, request: Request, price: Decimal, at: datetime) -> Lines:
        """Take an order that waits for a price.

        Parameters
        ----------
        kind : str
            ``LIMIT``, ``STOP`` or ``MARKET_IF_TOUCHED``.
        request : Request
        price : Decimal
        at : datetime
        """
        line = self._line(
            at, "order", f"{kind}_ORDER", "CLIENT_ORDER",
            pair=request.pair, client_id=request.client_id, units=request.units, price=price,
        )  # fmt: skip
        number, client_id = str(line.id), request.client_id
        self.orders[number] = Order(
            number, kind, request.pair, price, at, client_id, request=request
        )
        return [line]

    def trigger(
        self, order: str, at: datetime, price: Decimal | None = None, refusal: str | None = None
    ) -> Lines:
        """Fill an entry that waited, or cancel it with a reason.

        Parameters
        ----------
        order : str
        at : datetime
        price : Decimal, optional
            At which it would fill; the mark's.
        refusal : str, optional
            Why the market does not fill it.

        Raises
        ------
        KeyError
            If no such entry waits.
        """
        waiting = self.orders.pop(order)
        if waiting.request is None:
            raise KeyError(order)
        reason = f"{waiting.type}_ORDER"
        return self._execute(order, waiting.request, at, price, None, refusal, reason)

    def close(
        self,
        trade: str,
        units: Decimal | None,
        price: Decimal | None,
        at: datetime,
        client_id: str | None = None,
        *,
        refusal: str | None = None,
        reason: str = "TRADE_CLOSE",
    ) -> Lines:
        """Close a trade, or part of it, by an order of the client's.

        Parameters
        ----------
        trade : str
        units : Decimal or None
            Above zero; None: all of it.
        price : Decimal or None
            None: the mark's.
        at : datetime
        client_id : str, optional
        refusal : str, optional
            Why the market does not fill it.
        reason : str
            ``TRADE_CLOSE``, ``POSITION_CLOSEOUT`` or ``MARGIN_CLOSEOUT``.

        Raises
        ------
        KeyError
            If no such trade is open.
        """
        holding = self.trades[trade]
        whole = abs(holding.units) if units is None else min(units, abs(holding.units))
        taken = -whole if holding.units > 0 else whole
        line = self._line(
            at, "order", "MARKET_ORDER", reason,
            pair=holding.pair, client_id=client_id, trade=trade, units=taken,
        )  # fmt: skip
        number = str(line.id)
        if refusal:
            return [line, self._cancelled(number, at, refusal, client_id)]
        request = Request(holding.pair, taken, client_id)
        price = self._price(holding.pair, taken) if price is None else price
        filled = self._fill(
            number, request, at, price, f"MARKET_ORDER_{reason}", [(holding, taken)], ZERO, trade
        )
        return [line, *filled]

    def settle(self, trade: str, price: Decimal, at: datetime, reason: str) -> Lines:
        """Close a whole trade by its stop, its target, or because margin is used up.

        Parameters
        ----------
        trade : str
        price : Decimal
        at : datetime
        reason : str
            ``STOP_LOSS_ORDER``, ``TAKE_PROFIT_ORDER`` or ``MARGIN_CLOSEOUT``.

        Raises
        ------
        KeyError
            If no such trade is open, or it has no such order.
        """
        if reason == "MARGIN_CLOSEOUT":
            return self.close(trade, None, price, at, reason=reason)
        holding = self.trades[trade]
        order = holding.stop if reason == "STOP_LOSS_ORDER" else holding.target
        if order is None:
            raise KeyError(f"{reason} of {trade}")
        request = Request(holding.pair, -holding.units, order.client_id)
        takes = [(holding, request.units)]
        del self.orders[order.id]
        return self._fill(order.id, request, at, price, reason, takes, ZERO, trade)

    def protect(self, trade: str, prices: Mapping[Place, Decimal | None], at: datetime) -> Lines:
        """Give a trade its stop or target, replacing what it has; what is not named stays.

        Parameters
        ----------
        trade : str
        prices : dict of {"stop", "target"} to Decimal or None
            None takes the order away.
        at : datetime

        Raises
        ------
        KeyError
            If no such trade is open.
        """
        holding, lines = self.trades[trade], []
        for place, price in prices.items():
            before: Order | None = getattr(holding, place)
            if before is not None:
                why = "CLIENT_REQUEST" if price is None else "CLIENT_REQUEST_REPLACED"
                lines += self.cancel(before.id, at, why)
            if price is not None:
                lines.append(self._link(holding, place, price, at, "REPLACEMENT" if before else ""))
        return lines

    def cancel(self, order: str, at: datetime, reason: str = "CLIENT_REQUEST") -> Lines:
        """Cancel an order that waits.

        Parameters
        ----------
        order : str
        at : datetime
        reason : str

        Raises
        ------
        KeyError
            If no such order waits.
        """
        gone = self.orders.pop(order)
        if gone.trade is not None and (holding := self.trades.get(gone.trade)):
            for place in LINKED:
                if getattr(holding, place) is gone:
                    setattr(holding, place, None)
        return [self._cancelled(order, at, reason, gone.client_id)]

    def finance(
        self, at: datetime, rates: Mapping[str, tuple[Decimal, Decimal]], days: int
    ) -> Lines:
        """Pay or charge for holding, in one line; none if nothing is open.

        Parameters
        ----------
        at : datetime
        rates : dict of str to (Decimal, Decimal)
            What long and short earn a year, by pair; pairs without earn nothing.
        days : int
        """
        amounts = []
        for holding in self.trades.values():
            long, short = rates.get(holding.pair, (ZERO, ZERO))
            worth = abs(holding.units) * self._mid(holding.pair)
            earned = worth * (long if holding.units > 0 else short) * days / _YEAR
            amount = self._home(holding.pair, earned)
            holding.financing += amount
            amounts.append((holding.id, amount))
        if not amounts:
            return []
        total = sum((amount for _, amount in amounts), ZERO)
        self.balance += total
        self.financing += total
        return [
            self._line(
                at, "financing", "DAILY_FINANCING",
                financing=total, financed=tuple(amounts), balance=self.balance,
            )
        ]  # fmt: skip

    def reject(
        self, at: datetime, type_: str, reason: str, request: Request | None = None
    ) -> Lines:
        """Write that a demand was refused: that takes a number, too.

        Parameters
        ----------
        at : datetime
        type_ : str
            Such as ``MARKET_ORDER_REJECT``.
        reason : str
        request : Request, optional
        """
        told: dict[str, Any] = {}
        if request is not None:
            told = {"pair": request.pair, "client_id": request.client_id, "units": request.units}
        return [self._line(at, "reject", type_, reason, **told)]

    def note(self, at: datetime, type_: str, reason: str = "") -> Lines:
        """Write a line that changes no money: ``CLIENT_CONFIGURE`` and the like.

        Parameters
        ----------
        at : datetime
        type_, reason : str
        """
        return [self._line(at, "other", type_, reason)]

    def account(self, number: str, prices: Iterable[Price] = ()) -> Account:
        """Return the account as a broker tells of it.

        Parameters
        ----------
        number : str
        prices : iterable of Price
            Newer ones.
        """
        for price in prices:
            self.mark(price)
        equity, used = self.equity, self.margin_used
        trades = tuple(
            holding.shown(self.unrealised(holding), self.margin(holding.pair, holding.units))
            for holding in self.trades.values()
        )
        pending = tuple(
            Pending(each.id, each.pair, each.type, each.request.units, each.client_id)
            for each in self.orders.values()
            if each.request is not None
        )
        left = max(equity - used, ZERO)
        return Account(
            number, self.currency, self.balance, equity, used, left, trades, pending, self.last
        )

    def since(self, number: int) -> Lines:
        """Return the lines of the log after a number."""
        return self.log[max(number - self.last + len(self.log), 0) :]

    def check(self) -> None:
        """Look whether all of it agrees with itself, and with the log if that is whole.

        Raises
        ------
        Discrepancy
            If money, units, numbers or the ends of orders disagree; it says how.
        """
        audit.examine(self)

    def to_dict(self, *, log: bool = True) -> dict[str, Any]:
        """Return it as JSON can hold it, decimals exactly.

        Parameters
        ----------
        log : bool
            Whether with its log.
        """
        shown = {name: packed(getattr(self, name)) for name in (*_AMOUNTS, "currency", "last")}
        shown |= {name: [*map(packed, getattr(self, name).values())] for name in _KEPT}
        shown["margins"] = {pair: str(share) for pair, share in self.margins.items()}
        return {**shown, "log": packed(self.log) if log else []}

    @classmethod
    def from_dict(cls, shown: Mapping[str, Any]) -> Self:
        """Return the account that was told by `to_dict`."""
        told = {name: unpacked(each) for name, each in shown.items() if name != "margins"}
        for name, key in _KEPT.items():
            told[name] = {getattr(each, key): each for each in told[name]}
        for holding in told["trades"].values():  # a trade and the account know the same order
            for place in LINKED:
                if order := getattr(holding, place):
                    setattr(holding, place, told["orders"][order.id])
        margins = {pair: Decimal(share) for pair, share in shown["margins"].items()}
        return cls(**{**told, "log": list(told["log"]), "margins": margins})
