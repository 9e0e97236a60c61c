"""An executor's clock, and its connection to a venue, at which each call is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from infra.brokers.broker import (
    Account,
    Broker,
    Candle,
    Entry,
    Price,
    Reply,
    Terms,
    Transaction,
    Unknown,
)
from infra.clock import VirtualClock
from tasks.trading.lease import Held
from tests.tasks.trading import sends
from tests.tasks.trading.venues import Venue

if TYPE_CHECKING:
    from tests.tasks.trading.world import World

T = TypeVar("T")


class Machine(VirtualClock):
    """An executor's clock: it runs with the venue's, and somebody sets it."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue.clock.now())
        self.venue, self.offset = venue, timedelta(0)

    def now(self) -> datetime:
        return self.venue.clock.now() + self.offset

    def shared(self) -> datetime:
        return self.venue.clock.shared()

    def monotonic(self) -> float:
        return self.venue.clock.monotonic()

    def advance(self, length: timedelta) -> None:
        self.venue.pass_(length.total_seconds())

    def step(self, length: timedelta) -> None:
        self.offset += length


@dataclass
class Watched:
    """A connection at which each call is an event, and each entry is looked at before it goes."""

    world: World
    broker: Broker
    lease: Held
    hazardous: bool = True

    @property
    def name(self) -> str:
        return self.broker.name

    @property
    def real(self) -> bool:
        return self.world.real

    @property
    def synthetic(self) -> bool:
        return self.broker.synthetic

    def account(self) -> Account:
        return self._told(self.broker.account)

    def terms(self, pair: str) -> Terms | None:
        return self.broker.terms(pair)

    def prices(self, pairs: Sequence[str]) -> dict[str, Price]:
        return self._told(lambda: self.broker.prices(pairs))

    def candles(self, pair: str, timeframe: str, since: datetime) -> list[Candle]:
        return self._told(lambda: self.broker.candles(pair, timeframe, since))

    def since(self, transaction: int) -> list[Transaction]:
        return self._told(lambda: self.broker.since(transaction))

    def last(self) -> int:
        return self._told(self.broker.last)

    def enter(self, entry: Entry) -> Reply:
        self.world.sent[entry.client_id] += 1
        sends.may_be_sent(self.world, self.lease, entry)
        reply = self.broker.enter(entry)
        if isinstance(reply, Unknown):
            self.world.unsure(entry)
        return self._told(lambda: reply)

    def close(self, trade: str, client_id: str, units: Decimal | None = None) -> Reply:
        sends.may_be_closed(self.world, self.lease, trade)
        return self._told(lambda: self.broker.close(trade, client_id, units))

    def protect(self, trade: str, stop: Decimal, target: Decimal | None) -> Reply:
        sends.may_be_protected(self.world, trade)
        return self._told(lambda: self.broker.protect(trade, stop, target))

    def _told(self, ask: Callable[[], T]) -> T:
        told = ask()
        if self.hazardous:
            self.world.hazards.at("told")
        return told
