"""From a signal to its order on the wire, and how many signals a second, after a check of both.

The executor keeps its journal in PostgreSQL, whose commits are as safe as by default, and speaks
with the simulated venue over a socket of loopback. The clock stands, so that the client's own pace
(so many requests a second, as the venue wants) is not in the figures. "in the executor" leaves out
for how long the venue was waited for: reading account and prices takes a real one longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import numpy as np
from pydantic import SecretStr
from sqlalchemy import func, insert, select

from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import ACCOUNT, Simulator
from infra.clock import VirtualClock
from infra.postgres import database as db
from infra.postgres.database import session
from infra.postgres.models import Signal
from infra.postgres.trading import Intent, Position
from infra.servers import postgres
from infra.settings import settings
from tasks.trading import brokers
from tasks.trading.execution import Executor, cycle
from tasks.trading.lease import acquire
from tasks.trading.risk.limits import Limits
from tasks.trading.sizing import Units
from tests.benchmarks.kernels import print_hardware
from tests.servers import empty_tables, temporary_home
from tests.tasks.trading.desk import model
from tests.tasks.trading.walk import HOUR, flat, signal

NOW = datetime(2026, 1, 13, 10, 0, 20, tzinfo=UTC)
BAR = timedelta(minutes=15)
DECISIONS, WARM = 200, 20
QUEUED, ENTERED, HOURS = 10_000, 300, 300
WIDE = Limits(
    sizing=Units(units=Decimal(100)),
    max_own_trades=None,
    max_trades=None,
    max_entries=None,
    max_open_risk=None,
    max_correlated_risk=None,
    cool_down_after=None,
    max_spread_ratio=Decimal(20),
)


class Timed(httpx.HTTPTransport):
    """Sockets that note when each answer had come, and how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[tuple[float, float]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        began = time.monotonic()
        response = super().handle_request(request)
        response.read()
        ended = time.monotonic()
        self.waits.append((ended, ended - began))
        return response

    def waited(self, start: float, end: float) -> float:
        """Return for how long answers that came between two moments were waited for."""
        return sum(wait for ended, wait in self.waits if start < ended <= end)


@dataclass
class Room:
    """An account at a simulator, whose executor can be asked for a cycle."""

    simulator: Simulator
    broker: OandaBroker
    clock: VirtualClock
    account: str
    sockets: Timed
    steps: dict[str, float] = field(default_factory=dict)

    def cycle(self, limits: Limits) -> float:
        """Make a cycle; return when it began."""
        lease = acquire(f"execute:{self.account}", "benchmark", self.clock)
        executor = Executor(
            self.account, self.broker, self.clock, limits, limits.sizing, reached=self._reached
        )
        began = time.monotonic()
        cycle(executor, lease)
        lease.release()
        return began

    def sent(self) -> list[float]:
        """Return when orders arrived at the venue, on the monotonic clock."""
        return [at for at, path in self.simulator.requests if path.endswith("/orders")]

    def _reached(self, step: str) -> None:
        self.steps[step] = time.monotonic()


def main() -> list[dict[str, Any]]:
    print_hardware()
    with temporary_home("benchmark") as home:
        os.environ["SEP_HOME"] = str(home)
        os.environ["SEP_DATABASE_URL"] = os.environ.get("SEP_TEST_DATABASE_URL", "")
        if not os.environ["SEP_DATABASE_URL"]:
            postgres.start(home)
        db.migrate()
        drained = [drain("limits deny most", 20), drain("all entered", None)]
        return [decisions(), *drained, replayed(home)]


@contextmanager
def room(account: str) -> Iterator[Room]:
    """Yield an account with nothing in it."""
    empty_tables()
    with session() as opened:
        opened.add(model())
    minutes = random_minutes(NOW.replace(second=0) - timedelta(hours=2), 400, missing=0.0)
    simulator = Simulator(Market({"EUR_USD": minutes}), balance=Decimal(1_000_000))
    simulator.market.now, clock = NOW, VirtualClock(NOW)
    with simulator.serve():
        token = SecretStr(simulator.token)
        sockets = Timed()
        broker = OandaBroker(token, simulator.url, ACCOUNT, clock, sockets)
        with closing(broker.client):
            made = Room(simulator, broker, clock, account, sockets)
            made.cycle(WIDE)
            yield made


def publish(count: int, first: int = 0) -> None:
    """Publish so many signals of one bar, each of a strategy of its own."""
    began = NOW.replace(second=0) - BAR
    row = {
        "pair": "EUR_USD", "timeframe": "M15", "bar_ts": began, "side": "long", "action": "BUY",
        "confidence": 0.7, "lower": 0.6, "upper": 0.8, "break_even": 0.5, "expected": 1e-4,
        "doubt": 1e-5, "margin": 1e-4, "coherence": 0.9, "stop_distance": 0.003, "horizon": 8,
        "valid_until": began + 2 * BAR, "mode": "live", "model_id": "m",
    }  # fmt: skip
    rows = [{**row, "strategy": f"s{first + number}"} for number in range(count)]
    with session() as opened:
        opened.execute(insert(Signal), rows)


def decisions() -> dict[str, Any]:
    """Measure one signal after the other, with the account empty again each time."""
    whole, own, from_claim = [], [], []
    with room("decisions") as made:
        for number in range(WARM + DECISIONS):
            publish(1, number)
            before = len(made.sent())
            began = made.cycle(WIDE)
            (arrived,) = made.sent()[before:]
            whole.append((arrived - began) * 1e3)
            own.append(whole[-1] - made.sockets.waited(began, arrived) * 1e3)
            from_claim.append((arrived - made.steps["claimed"]) * 1e3)
            for trade in [*made.simulator.book.trades]:
                made.broker.close(trade, "benchmark")
            made.cycle(WIDE)
    figures = {
        name: np.percentile(taken[WARM:], [50, 99]).round(1).tolist()
        for name, taken in (
            ("signal to wire", whole),
            ("in the executor", own),
            ("intent to wire", from_claim),
        )
    }
    for name, (p50, p99) in figures.items():
        print(f"{name:<28}{DECISIONS:>8} orders   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms")
    return {"decisions": DECISIONS, **figures}


def drain(name: str, most: int | None) -> dict[str, Any]:
    """Drain a queue of signals; each is entered or denied, once."""
    count = QUEUED if most else ENTERED
    limits = WIDE.model_copy(update={"max_own_trades": most})
    with room("queue") as made:
        publish(count)
        began = perf_counter()
        made.cycle(limits)
        seconds = perf_counter() - began
        made.cycle(limits)
        check(made, count, most or count)
    print(f"{name:<28}{count:>8} signals  {count / seconds:8.0f} signals/s")
    return {"name": name, "signals": count, "seconds": seconds, "per_second": count / seconds}


def replayed(home: Path) -> dict[str, Any]:
    """Trade recorded hours on paper, with the journal: a signal each hour, left an hour later."""
    empty_tables()
    with session() as opened:
        opened.add(model())
    last, limits = flat(home, hours=HOURS + 2), WIDE.model_copy(update={"max_spread_ratio": None})
    for hour in range(HOURS):
        signal(last - (HOURS - hour) * HOUR, horizon=1)
    clock = VirtualClock(last - (HOURS + 1) * HOUR)
    broker = brokers.broker_of(settings(), "replay", clock)
    executor = Executor("replay", broker, clock, limits, limits.sizing)
    lease = acquire("execute:replay", "benchmark", clock)
    began = perf_counter()
    for _ in range(HOURS + 1):
        clock.advance(HOUR)
        cycle(executor, lease)
    seconds = perf_counter() - began
    with session() as opened:
        entered = opened.scalar(select(func.count()).select_from(Position))
    if entered is None or entered < HOURS // 2 - 1:
        raise SystemExit(f"{entered} positions of {HOURS} signals")
    print(f"{'hours on paper, ' + str(entered) + ' entered':<28}{HOURS:>8} signals"
          f"  {HOURS / seconds:8.0f} signals/s")  # fmt: skip
    return {"name": "paper", "signals": HOURS, "seconds": seconds, "per_second": HOURS / seconds}


def check(made: Room, count: int, entered: int) -> None:
    """One entry intent for each signal, one order for each that was entered."""
    with session() as opened:
        intents = opened.scalar(select(func.count()).select_from(Intent))
        signals = opened.scalar(select(func.count(func.distinct(Intent.signal_id))))
    trades = len(made.simulator.book.trades)
    if (intents, signals, trades, len(made.sent())) != (count, count, entered, entered):
        raise SystemExit(f"{intents} intents, {signals} signals, {trades} trades of {count}")


if __name__ == "__main__":
    main()
