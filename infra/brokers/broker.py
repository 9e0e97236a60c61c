"""What a broker is: what may be asked of it, and what it may answer.

Money, prices and units are decimals. Reads raise; what changes something never raises for trouble
on the way, but answers `Unknown`: then only the broker's transaction log tells what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol, TypeAlias

from infra.errors import SepError

Side: TypeAlias = Literal["long", "short"]


class BrokerError(SepError, RuntimeError):
    """A broker gave no good answer to a question; asking again may help."""


class BrokerRefused(BrokerError):
    """A broker refuses to talk to us: token, account or address are wrong."""


@dataclass(frozen=True)
class Terms:
    """What a broker demands of orders in an instrument.

    Attributes
    ----------
    pair : str
    precision : int
        Decimals of a price.
    unit_precision : int
        Decimals of units.
    minimum, maximum : Decimal
        Units of one order.
    margin : Decimal
        Share of a position's worth that is held back.
    """

    pair: str
    precision: int
    unit_precision: int
    minimum: Decimal
    maximum: Decimal
    margin: Decimal


@dataclass(frozen=True)
class Price:
    """Bid and ask at a moment.

    Attributes
    ----------
    pair : str
    bid, ask : Decimal
    at : datetime
    tradeable : bool
        Whether the market is open, as the broker says.
    gain, loss : Decimal or None
        What a unit of the quote currency is worth to the account, if earned and if lost; None
        where nobody knows.
    """

    pair: str
    bid: Decimal
    ask: Decimal
    at: datetime
    tradeable: bool = True
    gain: Decimal | None = None
    loss: Decimal | None = None


@dataclass(frozen=True)
class Candle:
    """Bid and ask of a bar that has begun; `time` is its start."""

    time: datetime
    complete: bool
    bid: tuple[Decimal, Decimal, Decimal, Decimal]
    ask: tuple[Decimal, Decimal, Decimal, Decimal]


@dataclass(frozen=True)
class Trade:
    """A trade that is open at the broker.

    Attributes
    ----------
    id : str
        The broker's number: that of the transaction that opened it.
    pair : str
    side : {"long", "short"}
    units : Decimal
        What is left of it, above zero.
    price : Decimal
        At which it was opened.
    opened_at : datetime
    client_id : str or None
        Whose order opened it, where the broker tells.
    stop, target : Decimal or None
        Prices of the orders that the broker keeps with it.
    unrealised : Decimal
        In the account's currency.
    margin : Decimal
    """

    id: str
    pair: str
    side: Side
    units: Decimal
    price: Decimal
    opened_at: datetime
    client_id: str | None = None
    stop: Decimal | None = None
    target: Decimal | None = None
    unrealised: Decimal = Decimal(0)
    margin: Decimal = Decimal(0)


@dataclass(frozen=True)
class Pending:
    """An order that waits at the broker and belongs to no trade."""

    id: str
    pair: str
    kind: str
    units: Decimal
    client_id: str | None = None


@dataclass(frozen=True)
class Account:
    """An account at a moment; `transaction` is the last one that it knows of."""

    id: str
    currency: str
    balance: Decimal
    equity: Decimal
    margin_used: Decimal
    margin_available: Decimal
    trades: tuple[Trade, ...]
    pending: tuple[Pending, ...]
    transaction: int
    hedging: bool = False


@dataclass(frozen=True)
class Closed:
    """What a fill took from a trade; `whole` if nothing is left of it (None: not told)."""

    trade: str
    units: Decimal
    price: Decimal
    profit: Decimal
    financing: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    whole: bool | None = None


@dataclass(frozen=True)
class Opened:
    """The trade that a fill opened."""

    trade: str
    units: Decimal
    price: Decimal
    cost: Decimal = Decimal(0)


Kind: TypeAlias = Literal["order", "fill", "cancel", "reject", "financing", "other"]


@dataclass(frozen=True)
class Transaction:
    """One line of a broker's log.

    Attributes
    ----------
    id : int
        Consecutive.
    at : datetime
    kind : str
        ``order`` (one was made), ``fill``, ``cancel``, ``reject``, ``financing`` or ``other``.
    type, reason : str
        The broker's own words.
    pair : str or None
    client_id : str or None
        Of the order that it speaks of.
    order : str or None
        The broker's number of that order.
    trade : str or None
        Of orders that belong to a trade: stop, target, close.
    units : Decimal
        Signed as the broker's: above zero buys.
    price : Decimal or None
    opened : Opened or None
    closed : tuple of Closed
        Trades that were closed or made smaller.
    profit, financing, commission : Decimal
    financed : tuple of (str, Decimal)
        Of ``financing``: trade and amount.
    balance : Decimal or None
        After it.
    """

    id: int
    at: datetime
    kind: Kind
    type: str
    reason: str = ""
    pair: str | None = None
    client_id: str | None = None
    order: str | None = None
    trade: str | None = None
    units: Decimal = Decimal(0)
    price: Decimal | None = None
    opened: Opened | None = None
    closed: tuple[Closed, ...] = ()
    profit: Decimal = Decimal(0)
    financing: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)
    financed: tuple[tuple[str, Decimal], ...] = ()
    balance: Decimal | None = None


@dataclass(frozen=True)
class Entry:
    """A market order that opens a trade, all of it or nothing, and brings its stop along.

    Attributes
    ----------
    client_id : str
        The sender's own name for it: a label, no key. A broker fills two orders of one name.
    pair : str
    side : {"long", "short"}
    units : Decimal
        Above zero.
    bound : Decimal
        Worst price that is accepted.
    stop : Decimal
        Price.
    target : Decimal or None
        Price.
    timeframe : str
        Of the bars by which a broker on paper judges the trade; venues do not see it.
    """

    client_id: str
    pair: str
    side: Side
    units: Decimal
    bound: Decimal
    stop: Decimal
    target: Decimal | None = None
    timeframe: str = "M1"


@dataclass(frozen=True)
class Done:
    """The broker answered; its transactions say what came of it.

    A fill among them is a success, a cancel or reject is none; without either of them the answer
    says nothing, and a broker returns `Unknown` instead.
    """

    transactions: tuple[Transaction, ...]


@dataclass(frozen=True)
class Refused:
    """Surely nothing was done, and no transaction tells of it: not sent, or refused at the door."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """Nobody knows whether anything was done."""

    reason: str


Reply: TypeAlias = Done | Refused | Unknown


class Broker(Protocol):
    """A broker: paper, a venue, or a simulated venue.

    Every change is tried once. Times are those of the broker.
    """

    @property
    def name(self) -> str:
        """Return its name for people and records, with the venue: ``oanda practice``."""
        ...

    @property
    def real(self) -> bool:
        """Say whether it moves real money."""
        ...

    @property
    def synthetic(self) -> bool:
        """Say whether it trades instruments that are made up: paper and simulators do."""
        ...

    def account(self) -> Account:
        """Return the account as it is now.

        Raises
        ------
        BrokerError
            If there is no good answer; `BrokerRefused` if asking again does not help.
        """
        ...

    def terms(self, pair: str) -> Terms | None:
        """Return what it demands of orders in a pair; None if it does not trade it.

        Raises
        ------
        BrokerError
        """
        ...

    def prices(self, pairs: Sequence[str]) -> dict[str, Price]:
        """Return present prices of pairs; one it has no price of is left out.

        Raises
        ------
        BrokerError
        """
        ...

    def candles(self, pair: str, timeframe: str, since: datetime) -> list[Candle]:
        """Return the bars that began at `since` or later, ascending, the one under way last.

        Parameters
        ----------
        pair, timeframe : str
        since : datetime
            With a zone.

        Raises
        ------
        BrokerError
        """
        ...

    def since(self, transaction: int) -> list[Transaction]:
        """Return all transactions after one, ascending and complete up to the present.

        Raises
        ------
        BrokerError
            Also if what came has holes: an incomplete log proves nothing.
        """
        ...

    def last(self) -> int:
        """Return the number of the last transaction; BrokerError if it is not told."""
        ...

    def enter(self, entry: Entry) -> Reply:
        """Send a market order, once."""
        ...

    def close(self, trade: str, client_id: str, units: Decimal | None = None) -> Reply:
        """Close a trade by its number, or part of it, once; a second time does no harm.

        Parameters
        ----------
        trade : str
        client_id : str
            A label, where the broker takes one.
        units : Decimal, optional
            Left out: all.
        """
        ...

    def protect(self, trade: str, stop: Decimal, target: Decimal | None) -> Reply:
        """Give a trade its stop and target, replacing those it has.

        `Done` holds the orders it made.

        Parameters
        ----------
        trade : str
        stop, target : Decimal
            Prices; no target: None.
        """
        ...
