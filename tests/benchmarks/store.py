"""Speed of the bulk store: minutes from files into it, and bars out of it.

Two years of minutes, of EURUSD where `SEP_BENCHMARK_BARS` names a Parquet file of them, otherwise
of a walk. They go from CSV and from Parquet through the steps of `ingest` – read, judged, stored –
and must come out bit for bit before anything is timed.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import polars as pl
import polars.selectors as cs

from infra.bars import PRICES
from infra.market.hours import calendar_of
from infra.stores.bulk import BarStore
from tasks.ingest import fetch_rows, validate_rows
from tasks.intake.request import IngestRequest
from tests.benchmarks.database import minute_bars
from tests.benchmarks.kernels import print_hardware, timed

ROWS = 726_000
COPIES = 28
"""Pairs that are read, so that a read takes long enough to be timed."""
RUNS = 5


def main() -> list[dict[str, Any]]:
    print_hardware()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        bars = minutes()
        print(f"{'what':<36}{'bars':>12}{'s':>9}{'bars/s':>14}")
        return [*ingests(root, bars), *reads(root, bars)]


def minutes() -> pl.DataFrame:
    named = os.environ.get("SEP_BENCHMARK_BARS")
    bars = pl.read_parquet(named) if named else traded_minutes().with_columns(cs.float().round(5))
    return bars.select(pl.col(name).cast(kind) for name, kind in _schema().items())


def traded_minutes() -> pl.DataFrame:
    """Minutes of a walk while the market trades, on two thirds of all days."""
    bars = minute_bars(ROWS * 3 // 2)
    times = bars["timestamp"]
    ends = times + timedelta(minutes=1)
    open_time = calendar_of("EUR_USD").open_time(times, ends, surely=False)
    return bars.filter(open_time > timedelta(0)).head(ROWS)


def ingests(root: Path, bars: pl.DataFrame) -> list[dict[str, Any]]:
    """Files of both formats into the store."""
    bars.write_csv(root / "bars.csv")
    bars.write_parquet(root / "bars.parquet")
    figures = []
    for source in ("csv", "parquet"):
        store = ingest(root, source)
        if not store.read("EUR_USD", "M1").equals(bars):
            raise SystemExit(f"{source}: what is stored is not what was in the file")
        peer = timed(lambda source=source: bare(root, source), "cpu", runs=RUNS)  # type: ignore[misc]
        seconds = timed(lambda source=source: ingest(root, source), "cpu", runs=RUNS)  # type: ignore[misc]
        figures.append(report(f"{source} by Polars alone, unjudged", bars.height, peer))
        figures.append(report(f"{source} into the store", bars.height, seconds))
        print(f"{'':<36}{seconds / peer:>21.2f} times Polars alone")
    return figures


def bare(root: Path, source: str) -> None:
    """Read a file by Polars, times parsed, and write it as Parquet: the peer."""
    path = root / f"bars.{source}"
    read = pl.read_csv(path, try_parse_dates=True) if source == "csv" else pl.read_parquet(path)
    read.write_parquet(root / "bare.parquet")


def ingest(root: Path, source: str) -> BarStore:
    """Take the steps of `ingest` into an empty store, with those of PostgreSQL left out."""
    folder = mkdtemp(dir=root)  # whose end is the benchmark's, not the ingest's
    request = IngestRequest(
        pair="EUR_USD",
        timeframe="M1",
        source=source,
        path=root / f"bars.{source}",
    )
    told = validate_rows(fetch_rows(request, folder), timeframe="M1")
    store = BarStore(Path(folder).with_suffix(".store"))
    store.write("EUR_USD", "M1", pl.read_parquet(told["bars"], glob=False))
    return store


def reads(root: Path, bars: pl.DataFrame) -> list[dict[str, Any]]:
    """All bars of many pairs, all columns and the closes alone."""
    store, pairs = BarStore(root / "many"), [f"PAIR_{n:02d}" for n in range(COPIES)]
    for pair in pairs:
        store.write(pair, "M1", bars)

    def whole() -> int:
        return sum(store.read(pair, "M1").height for pair in pairs)

    def closes() -> int:
        wanted = (store.scan(pair, "M1").select("timestamp", "close") for pair in pairs)
        return sum(frame.height for frame in pl.collect_all(wanted))

    count = COPIES * bars.height
    if (whole(), closes()) != (count, count):
        raise SystemExit("bars are missing")
    return [
        report("read, all columns", count, timed(whole, "cpu", runs=RUNS)),
        report("read, timestamp and close", count, timed(closes, "cpu", runs=RUNS)),
    ]


def report(what: str, count: int, seconds: float) -> dict[str, Any]:
    print(f"{what:<36}{count:>12,}{seconds:>9.3f}{count / seconds:>14,.0f}")
    return {"what": what, "bars": count, "seconds": seconds, "bars_a_second": count / seconds}


def _schema() -> dict[str, pl.DataType]:
    return {
        "timestamp": pl.Datetime("us", "UTC"),
        **{name: pl.Float64() for name in (*PRICES, "volume")},
    }
