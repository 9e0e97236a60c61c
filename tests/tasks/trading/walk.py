"""A market that stands still up to the present, and a trade on paper in it that is long due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from infra.bars import TIME
from infra.clock import VirtualClock
from infra.postgres.database import session
from infra.settings import settings
from infra.stores.bulk import BarStore
from tasks.trading.execution import cycle
from tasks.trading.report import Report
from tasks.trading.rounds import executor_of, leased
from tests.tasks.trading.desk import model, publish

HOUR = timedelta(hours=1)


def this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def flat(home: Path, *, hours: int = 72) -> datetime:
    """Store hours of PLANTED up to the present one, whose start is returned."""
    last = this_hour()
    times = [last - n * HOUR for n in reversed(range(hours))]
    prices = {name: [100.0] * hours for name in ("open", "high", "low", "close")}
    bars = pl.DataFrame(
        {"timestamp": pl.Series(times, dtype=TIME), **prices, "volume": [1.0] * hours}
    )
    BarStore(home / "bars").write("PLANTED", "H1", bars)
    return last


def signal(bar: datetime, *, horizon: int = 2, **changes: Any) -> None:
    """Publish a signal on a bar of PLANTED."""
    valid: dict[str, Any] = {"bar_ts": bar, "valid_until": bar + 2 * HOUR, "pair": "PLANTED"}
    publish(0, horizon=horizon, **{**valid, "stop_distance": 5.0, **changes})


def run(account: str, at: datetime) -> Report:
    """Run a cycle of an account at a moment."""
    with leased(account, "a test") as lease:
        return cycle(executor_of(settings(), account, VirtualClock(at)), lease)


def due(home: Path, account: str = "paper") -> None:
    """Leave a trade open whose time was up hours ago."""
    with session() as opened:
        opened.add(model())
    last = flat(home)
    run(account, last - 8 * HOUR)
    signal(last - 8 * HOUR)
    report = run(account, last - 7 * HOUR)
    assert len(report.entered) == 1, report


def minutes(start: datetime, count: int, half: float = 0.0) -> pl.DataFrame:
    """Return minutes of a price that stands still, as a simulated venue takes them."""
    times = [start + n * timedelta(minutes=1) for n in range(count)]
    columns: dict[str, Any] = {"time": pl.Series(times, dtype=TIME), "volume": [9] * count}
    for side, price in (("bid", 100.0 - half), ("ask", 100.0 + half)):
        columns |= {f"{side}_{name}": [price] * count for name in "ohlc"}
    return pl.DataFrame(columns)
