"""The example strategies, and frames that they can be run over."""

from __future__ import annotations

import hashlib
from typing import Any

import polars as pl

from infra.settings import PROJECT
from tasks.strategy.language.program import Program

DATA = PROJECT.parent / "shared" / "data"
FOLDER = PROJECT / "tasks" / "strategy" / "examples"
NAMES = (
    "damped_consensus",
    "trend_following",
    "mean_reversion",
    "volatility_breakout",
    "multi_timeframe",
    "cross_pair_rank",
)


def example(name: str) -> Program:
    return Program.read(FOLDER / f"{name}.sep")


def digest_of(signals: pl.DataFrame) -> str:
    """A hash of which signals there are, and of their distances to six digits."""
    rows = signals.select(
        "timestamp", "signal", "action", pl.col("stop").round_sig_figs(6), "horizon"
    )
    return hashlib.sha256(rows.write_csv().encode()).hexdigest()[:16]


def real(stream: Any) -> pl.DataFrame:
    """Bars of 2017; longer ones than a minute are made of minutes."""
    (path,) = (DATA / "m1").glob(f"{stream.pair.replace('_', '')}_M1_*.parquet")
    minutes = pl.read_parquet(path).filter(pl.col("timestamp").dt.year() == 2017)
    if stream.timeframe == "M1":
        return minutes
    every = {"M5": "5m", "M15": "15m", "H1": "1h"}[stream.timeframe]
    return minutes.group_by_dynamic("timestamp", every=every).agg(
        pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume")
    )
