"""What an order is judged by: the order, the account, prices, and what was lost of late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from infra.brokers.broker import Account, Broker, Price, Side, Terms, Trade
from tasks.trading.journal import PREFIX
from tasks.trading.risk import record
from tasks.trading.risk.limits import Limits

PAPER: Final = "paper"
"""Begins the name of a broker that fills at recorded prices."""


@dataclass(frozen=True)
class Proposal:
    """An entry that may be sent.

    Attributes
    ----------
    signal_id : int
    strategy, pair, timeframe : str
    side : {"long", "short"}
    units : Decimal
        Above zero.
    price : Decimal
        At which it may fill: an estimate, or the worst that is accepted.
    stop : Decimal
        Price at which it is given up.
    spread : Decimal
        Ask less bid when it was decided.
    """

    signal_id: int
    strategy: str
    pair: str
    timeframe: str
    side: Side
    units: Decimal
    price: Decimal
    stop: Decimal
    spread: Decimal


Held: TypeAlias = Trade | Proposal
"""What is open, or would be."""


@dataclass(frozen=True)
class Situation:
    """An account at a moment, and what is around it.

    Attributes
    ----------
    now : datetime
        With a zone.
    account : Account
        Trades of others are in it, too; ours have names that begin with `prefix`.
    prices, terms : mapping
        By pair: those asked for, and those of open trades.
    day_start_equity, peak_equity, start_equity : Decimal or None
        When the day of losses began, the highest and the first, all of them on record.
    entries_today : int
    losses : sequence of (datetime, Decimal)
        When our latest trades were closed, and what each brought.
    returns : mapping of str to sequence of float
        Recent returns by pair, all up to the same bar.
    reducing : bool
        Whether only what makes positions smaller is asked for.
    inflight : tuple of Proposal
        Entries that were sent and of which nobody knows yet whether they filled.
    hits : mapping of str to datetime
        Loss limits that were hit since they last began, and when: `daily`, `trailing`, `static`.
    overrides : mapping
        Limits of pairs of their own, by pair and timeframe.
    prefix : str
    recorded : bool
        Whether prices are those of recorded bars, and so up to a bar old.
    """

    now: datetime
    account: Account
    prices: Mapping[str, Price]
    terms: Mapping[str, Terms]
    day_start_equity: Decimal | None
    peak_equity: Decimal | None
    start_equity: Decimal | None
    entries_today: int
    losses: Sequence[tuple[datetime, Decimal]]
    returns: Mapping[str, Sequence[float]]
    reducing: bool
    inflight: tuple[Proposal, ...] = ()
    hits: Mapping[str, datetime] = field(default_factory=dict)
    overrides: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    prefix: str = PREFIX
    recorded: bool = False

    @property
    def held(self) -> tuple[Held, ...]:
        """All that is open, or may be."""
        return (*self.account.trades, *self.inflight)

    @property
    def own(self) -> tuple[Held, ...]:
        """What of it is ours."""
        mine = (t for t in self.account.trades if (t.client_id or "").startswith(self.prefix))
        return (*mine, *self.inflight)


def situation(
    account_name: str, broker: Broker, pairs: Sequence[str], limits: Limits, now: datetime
) -> Situation:
    """Look at the account and at what is on record of it.

    Parameters
    ----------
    account_name : str
        By which the tables know it.
    broker : Broker
    pairs : sequence of str
        That may be entered.
    limits : Limits
    now : datetime
        With a zone.

    Returns
    -------
    Situation
        What nobody knows is missing in it, and then denies.

    Raises
    ------
    BrokerError
        If the broker does not answer.
    """
    account = broker.account()
    known = record.read(account_name, limits, now)
    waiting = tuple(
        Proposal(**sent.order)
        for sent in known.sent
        if sent.client_id not in {trade.client_id for trade in account.trades}
    )
    open_pairs = {trade.pair for trade in account.trades} | {each.pair for each in waiting}
    names = sorted({*pairs, *open_pairs})
    terms = {pair: broker.terms(pair) for pair in names}
    return Situation(
        now=now,
        account=account,
        prices=broker.prices(names),
        terms={pair: told for pair, told in terms.items() if told is not None},
        day_start_equity=known.day_start,
        peak_equity=known.peak,
        start_equity=known.start,
        entries_today=known.entries,
        losses=known.losses,
        returns=record.returns(names, now),
        reducing=known.reducing,
        inflight=waiting,
        hits=known.hits,
        overrides=known.overrides,
        recorded=broker.name.startswith(PAPER),
    )
