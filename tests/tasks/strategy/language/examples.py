"""The example strategies, and frames that they can be run over."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from infra.settings import PROJECT
from tasks.strategy.language.program import Program
from tests.tasks.strategy.language.frames import frame

FOLDER = PROJECT / "tasks" / "strategy" / "examples"
NAMES = (
    "damped_consensus",
    "trend_following",
    "mean_reversion",
    "volatility_breakout",
    "multi_timeframe",
    "cross_pair_rank",
)
MINUTES = {"M1": 1, "M5": 5, "M15": 15, "M30": 30, "H1": 60, "H4": 240, "D1": 1440}


def example(name: str) -> Program:
    return Program.read(FOLDER / f"{name}.sep")


def frames_for(
    program: Program, bars: int, *, seed: int = 0, holes: float = 0.0
) -> dict[str, pl.DataFrame]:
    """Frames of all streams over the time of so many bars of the base; each has its own walk."""
    span = bars * MINUTES[program.streams[0].timeframe]
    return {
        each.name: frame(
            span // MINUTES[each.timeframe], each.timeframe, seed=seed + 10 * number, holes=holes
        )
        for number, each in enumerate(program.streams)
    }


def digest_of(signals: pl.DataFrame) -> str:
    """A hash of which signals there are, and of their distances to six digits."""
    rows = signals.select(
        "timestamp", "signal", "action", pl.col("stop").round_sig_figs(6), "horizon"
    )
    return hashlib.sha256(rows.write_csv().encode()).hexdigest()[:16]


def real_bars(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path)
