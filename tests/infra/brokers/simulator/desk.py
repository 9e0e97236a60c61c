"""A client of the simulated venue, and markets that are drawn bar by bar."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import polars as pl

from infra.brokers.simulator.market import Market
from infra.brokers.simulator.server import ACCOUNT, Simulator
from infra.brokers.simulator.transport import InProcess
from infra.clock import VirtualClock

Bar = tuple[float, float, float, float]

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
"""A Wednesday."""

HALF = 0.0001
FLAT: Bar = (1.1, 1.1, 1.1, 1.1)


def minutes(*bars: Bar | None, start: datetime = NOON, half: float = HALF) -> pl.DataFrame:
    """Return minutes of mid prices (open, high, low, close) with a spread; None leaves one out."""
    told = [(n, bar) for n, bar in enumerate(bars) if bar is not None]
    columns: dict[str, Any] = {
        "time": [start + timedelta(minutes=n) for n, _ in told],
        "volume": [9] * len(told),
    }
    for side, sign in (("bid", -1), ("ask", 1)):
        for place, name in enumerate("ohlc"):
            columns[f"{side}_{name}"] = [round(bar[place] + sign * half, 5) for _, bar in told]
    return pl.DataFrame(columns, schema_overrides={"time": pl.Datetime("us", "UTC")})


@dataclass
class Desk:
    """A simulator with a clock, and who talks to it in process."""

    simulator: Simulator
    clock: VirtualClock
    root: str = f"/v3/accounts/{ACCOUNT}"
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            transport=InProcess(self.simulator, self.clock),
            headers={"Authorization": f"Bearer {self.simulator.token}"},
            base_url="http://venue",
            timeout=5.0,
        )

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = self.http.get(self.root + path, params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self.http.request(method, self.root + path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def order(self, units: Any = "1000", status: int = 201, **more: Any) -> Any:
        order = {"type": "MARKET", "instrument": "EUR_USD", "units": units, **more}
        return self.send("POST", "/orders", {"order": order}, status)

    def buy(self, units: str = "1000", stop: str | None = None, target: str | None = None) -> str:
        levels = {"stopLossOnFill": stop, "takeProfitOnFill": target}
        more: dict[str, Any] = {name: {"price": price} for name, price in levels.items() if price}
        filled = self.order(units, **more)["orderFillTransaction"]
        trade: str = filled["tradeOpened"]["tradeID"]
        return trade

    def log(self, since: int = 2) -> list[tuple[str, str]]:
        told = self.get("/transactions/sinceid", id=since)["transactions"]
        return [(t["type"], t.get("reason", t.get("rejectReason", ""))) for t in told]

    def passes(self, **length: float) -> None:
        self.clock.advance(timedelta(**length))
        self.simulator.look()
        self.simulator.book.check()


def desk(frame: pl.DataFrame, now: datetime = NOON, **more: Any) -> Desk:
    """Return a desk at a market of EUR_USD alone, or of the frames that are given."""
    depth = more.pop("depth", None)
    market = Market({"EUR_USD": frame, **more.pop("others", {})}, now)
    if depth is not None:
        market.depth = depth
    clock = VirtualClock(now)
    return Desk(Simulator(market, clock=clock, strict=True, **more), clock)


def money(told: Any) -> Decimal:
    return Decimal(told)
