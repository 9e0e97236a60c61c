"""Speed of reading the newest bars from each tier, after a check that all give the same rows.

Ten years of minute bars with their quotes are in the bulk store, 20,000 of them in PostgreSQL,
10,000 in Valkey. Beside them what the live cycle would do without tiers: read everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl

from infra.bars import content_hash
from infra.postgres import database as db
from infra.servers import postgres, valkey
from infra.stores import hot, warm
from infra.stores.bulk import BarStore
from infra.stores.tiers import TieredBars
from tests.benchmarks.database import minute_bars
from tests.benchmarks.kernels import print_hardware, timed
from tests.servers import temporary_home

YEARS = 10
ROWS = YEARS * 363_000
PAIR = ("EUR_USD", "M1")
WINDOW = 5_000
RUNS = 7


def main() -> list[dict[str, Any]]:
    print_hardware()
    with temporary_home("benchmark") as home:
        os.environ["SEP_HOME"] = str(home)
        for name in ("SEP_DATABASE_URL", "SEP_VALKEY_URL"):
            os.environ[name] = ""
        postgres.start(home)
        valkey.start(home)
        db.migrate()
        store = BarStore(home / "bars")
        shift = pl.col("timestamp").dt.offset_by(f"-{YEARS * 365}d")
        store.write(*PAIR, minute_bars(ROWS).drop("pair", "timeframe").with_columns(shift))
        warm.share(store, *PAIR)
        bars = TieredBars(store)
        bars.pull_up(*PAIR)
        return measure(store, bars)


def measure(store: BarStore, bars: TieredBars) -> list[dict[str, Any]]:
    version = store.content_hash(*PAIR)
    expected = store.scan(*PAIR).tail(WINDOW).collect()
    start: datetime = expected["timestamp"][0]
    ways: dict[str, Callable[[], pl.DataFrame | None]] = {
        "everything, then the newest": lambda: store.read(*PAIR).tail(WINDOW),
        "cold": lambda: store.read(*PAIR, start),
        "warm": lambda: warm.read(*PAIR, start, None, version),
        "hot": lambda: bars.read(*PAIR, start),
        "hot, newest by count": lambda: bars.newest(*PAIR, WINDOW),
        "pull up, then hot": lambda: pulled_up(bars, version),
    }
    for name, way in ways.items():
        found = way()
        if found is None or content_hash(found.tail(WINDOW)) != content_hash(expected):
            raise SystemExit(f"{name}: not the newest bars")
    print(f"{'newest ' + str(WINDOW) + ' bars':<30}{'ms':>8}{'ratio':>8}")
    taken = {name: timed(way, "cpu", runs=RUNS) for name, way in ways.items()}
    slowest = next(iter(taken.values()))
    for name, seconds in taken.items():
        print(f"{name:<30}{seconds * 1e3:>8.2f}{slowest / seconds:>7.1f}x")
    return [
        {"way": name, "seconds": seconds, "ratio": slowest / seconds}
        for name, seconds in taken.items()
    ]


def pulled_up(bars: TieredBars, version: str) -> pl.DataFrame | None:
    bars.pull_up(*PAIR)
    return hot.take("bars", *PAIR, version=version)
