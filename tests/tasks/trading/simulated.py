"""The simulated venue in a world: its client speaks to it in process, on a clock that is set."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import httpx
import numpy as np
import polars as pl
from pydantic import SecretStr

from infra.brokers.book import Book
from infra.brokers.broker import Broker, Price
from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.simulator.calls import Call
from infra.brokers.simulator.faults import DRAWN, Fault, Hostile
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import ACCOUNT, Simulator
from infra.brokers.simulator.sessions import trades_at
from infra.brokers.simulator.ticks import widened
from infra.brokers.simulator.transport import InProcess
from infra.clock import Clock, VirtualClock
from tests.tasks.trading.venues import BY_HAND, DEPOSIT, PAIRS

ADDRESS: Final = "http://127.0.0.1:1"
LATENCY: Final = 0.05
LEVELS: Final = {"EUR_USD": 1.1, "GBP_USD": 1.27, "USD_JPY": 150.0}
MARKETS: Final = 60
"""Different ones: seeds share them."""
OPEN_MINUTES: Final = 900
LONGEST: Final = 3 * 1440 + 600
"""Minutes on the clock: over a weekend."""
AIMED: Final = 0.6
MONDAY: Final = datetime(2026, 1, 12, tzinfo=UTC)
DEPTH: Final = ((150_000, 0.0), (200_000, 0.6), (250_000, 30.0))
THIN: Final = ((200, 0.0), (150, 2.0), (150, 60.0))
AIMS: Final = (
    *[("stray", "POST"), ("late before", "POST")] * 3, ("late after", "POST"),
    *[("stray", "/close"), ("drop before", "/close")] * 2,
    ("drop before", "POST"), ("drop after", "POST"), ("drop after", "/close"),
    ("error after", "POST"), ("short page", "sinceid"),
)  # fmt: skip
"""Faults with the requests that they hurt most."""


class Aimed(Hostile):
    """Besides the faults that are drawn, one hits a kind of request more often than not.

    Stray requests wait for as many readings of the log as the seed says.
    """

    aim: tuple[str, str] | None = None

    def draw(self, call: Call) -> Fault | None:
        name, on = self.aim or ("", "nothing")
        if on in f"{call.method} {call.path}" and self._random.random() < AIMED:
            return self._made(name)
        return super().draw(call)

    def _made(self, name: str) -> Fault:
        scans = (1, 4, 5, 6)[self.seed % 4]
        return replace(super()._made(name), scans=scans)


class Impatient(httpx.HTTPTransport):
    """Sockets whose client waits a fraction of what it waits as a rule."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), 0.2)
        return super().handle_request(request)


class SimulatedVenue:
    """A venue of a seed, whose executors come through the client and an ASGI transport."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"venue {seed}")
        start, minutes = market_of(seed % MARKETS)
        self.clock, self.sockets = VirtualClock(start), False
        market = Market(dict(minutes), start, depth=DEPTH)
        market._columns = dict(_columns(seed % MARKETS))
        self.simulator = Simulator(market, clock=self.clock, balance=DEPOSIT)
        late = rng.choice((9.0, 300.0, 600.0, 900.0))
        self.simulator.hostile = hostile = Aimed(seed, rates_of(rng), late=late)
        if rng.random() < 0.5:
            hostile.aim = rng.choice(AIMS)
        self.transport = InProcess(self.simulator, self.clock, LATENCY)

    @property
    def fired(self) -> Counter[str]:
        return self.simulator.fired

    @property
    def book(self) -> Book:
        return self.simulator.look().book

    def connect(self, clock: Clock) -> Broker:
        token = SecretStr(self.simulator.token)
        if not self.sockets:
            return OandaBroker(token, ADDRESS, ACCOUNT, clock, self.transport)
        broker = OandaBroker(token, self.simulator.url, ACCOUNT, clock, Impatient())
        self.connections.callback(broker.client.close)
        return broker

    @contextmanager
    def served(self) -> Iterator[None]:
        """Let executors come over sockets: what is late is late in true seconds, and soon."""
        hostile = self.simulator.hostile
        assert hostile is not None
        hostile.late, hostile.slow = 0.4, 0.02
        with self.simulator.serve(), ExitStack() as self.connections:
            self.sockets = True
            yield

    def price(self, pair: str) -> Price:
        price = self.simulator.look().price(pair)
        assert price is not None
        return price

    def pass_(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        self.transport.catch_up()

    def calm(self) -> None:
        simulator = self.simulator
        simulator.hostile = None
        self.thin(on=False)
        for pair in PAIRS:
            self.suspend(pair, on=False)
        while simulator.parked:
            simulator.apply(simulator.parked.popleft()[0])
            simulator.fired["stray applied"] += 1
        self.pass_(400)

    def jump(self, pair: str, by: float) -> None:
        self.simulator.jump(pair, by)

    def suspend(self, pair: str, *, on: bool) -> None:
        self.simulator.halt(pair, on=on)

    def thin(self, *, on: bool) -> None:
        self.simulator.market.depth = THIN if on else DEPTH

    def trade_by_hand(self, pair: str, units: int) -> None:
        order = {
            "type": "MARKET",
            "instrument": pair,
            "units": str(units),
            "timeInForce": "FOK",
            "positionFill": "DEFAULT",
            "clientExtensions": {"id": BY_HAND},
            "tradeClientExtensions": {"id": f"{BY_HAND}-{self.book.last}"},
        }
        self._change("POST", "/orders", {"order": order})

    def close_by_hand(self, trade: str) -> None:
        self._change("PUT", f"/trades/{trade}/close", {"units": "ALL"})

    def unprotect_by_hand(self, trade: str) -> None:
        self._change("PUT", f"/trades/{trade}/orders", {"stopLoss": None})

    def _change(self, method: str, path: str, body: dict[str, Any]) -> None:
        token = f"Bearer {self.simulator.token}"
        content = json.dumps(body).encode()
        self.simulator.apply(Call(method, f"/v3/accounts/{ACCOUNT}{path}", {}, content, token))


def rates_of(rng: random.Random) -> dict[str, float]:
    """Return how often each fault fires: one alone, or many a little."""
    many = rng.choice((0.0, 0.003, 0.01))
    rates = {name: many * rng.random() for name in DRAWN}
    for name in rng.sample(sorted(DRAWN), rng.choice((1, 1, 2))):
        rates[name] = rng.choice((0.03, 0.1, 0.2))
    return rates


@lru_cache(maxsize=MARKETS)
def market_of(number: int) -> tuple[datetime, dict[str, pl.DataFrame]]:
    """Return when a world begins, and the minutes of its market: often before the weekend."""
    rng = random.Random(f"market {number}")
    hour = rng.choice((rng.uniform(1, 110), rng.uniform(1, 110), rng.uniform(114, 117.8)))
    start = (MONDAY + timedelta(hours=hour)).replace(microsecond=0)
    first = start.replace(second=0) - timedelta(hours=2)
    times = [first + timedelta(minutes=minute) for minute in range(LONGEST)]
    opened = pl.Series([trades_at(PAIRS[0], at) for at in times])
    minutes = {
        pair: _minutes(pair, first, 1000 * number + place, pl.Series(times).filter(opened))
        for place, pair in enumerate(PAIRS)
    }
    return start, minutes


def _minutes(pair: str, first: datetime, seed: int, opened: pl.Series) -> pl.DataFrame:
    pip = 0.01 if pair == "USD_JPY" else 1e-4
    frame = random_minutes(
        first, LONGEST, seed=seed, level=LEVELS[pair], missing=0.05 + 0.1 * (seed % 3), pip=pip
    )
    rng = np.random.default_rng(seed)
    jumps = np.cumsum((rng.random(len(frame)) < 0.004) * rng.normal(0, 20 * pip, len(frame)))
    prices = [name for name in frame.columns if name[:4] in ("bid_", "ask_")]
    frame = frame.with_columns(
        (pl.col(name) + pl.Series(jumps)).round(5 if pip < 0.01 else 3) for name in prices
    )
    frame = frame.filter(pl.col("time").is_in(opened.implode())).head(OPEN_MINUTES)
    return widened(frame, {16: 3.0, 17: 6.0})


@lru_cache(maxsize=MARKETS)
def _columns(number: int) -> dict[str, tuple[pl.DataFrame, dict[str, list[Any]]]]:
    _, minutes = market_of(number)
    return {pair: (frame, frame.to_dict(as_series=False)) for pair, frame in minutes.items()}
