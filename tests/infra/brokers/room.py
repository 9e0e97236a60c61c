"""A paper broker on a few bars in memory, and what its answers say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from infra.bars import TIME
from infra.brokers.broker import Broker, Done, Entry, Reply, Transaction
from infra.brokers.keeping import Keeping
from infra.brokers.paper import PaperBroker
from infra.brokers.prices import ArrayPrices
from infra.clock import VirtualClock
from infra.market.quotes import Costs

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
COSTS = Costs(0.02, 0.001)
UNITS = Decimal(1000)


def bars(*closes: float, start: datetime = START, length: timedelta = HOUR) -> pl.DataFrame:
    opens = [closes[0], *closes[:-1]]
    return pl.DataFrame(
        {
            "timestamp": [start + n * length for n in range(len(closes))],
            "open": opens,
            "high": [max(pair) for pair in zip(opens, closes, strict=True)],
            "low": [min(pair) for pair in zip(opens, closes, strict=True)],
            "close": closes,
            "volume": [None] * len(closes),
        },
        schema_overrides={"timestamp": TIME, "volume": pl.Float64},
    )


class Room:
    """A paper broker on bars in memory, and the clock that it goes by."""

    def __init__(self, keeping: Keeping, *closes: float, **given: Any) -> None:
        self.pair = given.get("pair", "PLANTED")
        frames = {(self.pair, "H1"): bars(*closes, start=given.get("start", START))}
        source = ArrayPrices(frames | given.get("others", {}), costs=lambda pair: COSTS)
        self.clock = VirtualClock(given.get("start", START))
        self.broker = PaperBroker(source, keeping, self.clock)

    def at(self, hours: float) -> Broker:
        self.clock.moment = START + hours * HOUR
        return self.broker

    def buy(self, hours: float, **changes: Any) -> Reply:
        given: dict[str, Any] = {"bound": Decimal(10), "stop": Decimal("0.1"), **changes}
        return self.at(hours).enter(Entry("b", self.pair, "long", UNITS, timeframe="H1", **given))

    def sell(self, hours: float, **changes: Any) -> Reply:
        given: dict[str, Any] = {"bound": Decimal("0.1"), "stop": Decimal(10), **changes}
        return self.at(hours).enter(Entry("s", self.pair, "short", UNITS, timeframe="H1", **given))

    def ends(self, hours: float) -> list[tuple[str, float, datetime]]:
        """Exits up to a time: reason, price, when."""
        lines = self.at(hours).since(0)
        return [(line.reason, float(line.price or 0), line.at) for line in lines if line.closed]


def fill(reply: Reply) -> Transaction:
    assert isinstance(reply, Done), reply
    (line,) = (line for line in reply.transactions if line.kind == "fill")
    return line


def why(reply: Reply) -> str:
    """Say why an order was not filled; the broker's last line tells."""
    assert isinstance(reply, Done), reply
    assert not any(line.kind == "fill" for line in reply.transactions)
    return f"{reply.transactions[-1].kind} {reply.transactions[-1].reason}"
