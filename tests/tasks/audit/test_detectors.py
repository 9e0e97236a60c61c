"""Leaks that were planted are all caught by name; clean strategies raise no alarm."""

from __future__ import annotations

import itertools

import polars as pl
import pytest

from kernels.segments import segments
from tasks.audit.cases import Case
from tasks.audit.detectors import NothingToAudit, audited, fills
from tasks.audit.frames import frames_for
from tasks.audit.futures import poisoned, truncated, twinned
from tasks.audit.planted import (
    BARS,
    COSTS,
    FUTURES,
    LEAKS,
    MOVE,
    alarms,
    alarms_of,
    bars_of,
    clean,
    filled_at_close,
    where_above,
)
from tasks.research.simulation import simulate
from tests.tasks.strategy.language.examples import NAMES, example

CLEAN = 50
"""Random programs, none of which raises an alarm."""


def test_a_clean_one_raises_no_alarm() -> None:
    assert alarms(clean) == set()


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_caught(name: str) -> None:
    assert LEAKS[name].caught() >= LEAKS[name].detectors


def test_the_start_is_no_future() -> None:
    assert LEAKS["a bar to come"].caught() == FUTURES
    assert LEAKS["a count from the first bar"].caught() == {"start"}


@pytest.mark.parametrize("bars", [0, 1, 3, 600])
def test_where_nothing_can_change_nothing_is_said(bars: int) -> None:
    case = Case("planted", lambda frames: where_above(frames["h1"], MOVE - 10), {"h1": "H1"})
    with pytest.raises(NothingToAudit, match=f"planted: 0 signals in {bars} bars"):
        audited(case, {"h1": bars_of(bars)})


@pytest.mark.parametrize("name", [each for each in NAMES if each != "damped_consensus"])
def test_no_example_raises_an_alarm(name: str) -> None:
    program = example(name)
    frames = frames_for(program, 4_500 if name == "multi_timeframe" else 1_500, seed=4)
    bars = {stream: each.select(BARS) for stream, each in frames.items()}
    found = audited(Case.of(program, engine="cpu"), bars, count=6)
    assert [each for each in found if not each.clean] == []


@pytest.mark.proof
def test_no_random_program_raises_an_alarm() -> None:
    found = (alarms_of(seed) for seed in itertools.count())
    audits = itertools.islice((each for each in found if each is not None), CLEAN)
    assert list(audits) == [[]] * CLEAN


@pytest.fixture(scope="module")
def traded() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bars, and trades of signals on them."""
    bars = bars_of(2_000)
    signals = bars.gather_every(7).head(250).select(
        "timestamp",
        side=pl.when(pl.int_range(pl.len()) % 2 == 0)
        .then(pl.lit("long"))
        .otherwise(pl.lit("short")),
        confidence=pl.lit(0.6),
        break_even=pl.lit(0.5),
    )  # fmt: skip
    numbers = segments(bars["timestamp"].dt.epoch("s").to_numpy(), bar_seconds=3600)
    return bars, simulate(
        bars, signals, segments=numbers, horizon=5, costs=COSTS, stop=2e-3, target=3e-3
    ).trades


def test_fills_of_the_simulation_are_clean(traded: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    bars, trades = traded
    assert trades.height > 50
    assert {"stop", "target", "time"} <= set(trades["exit_reason"])
    assert fills(trades, bars, "H1", COSTS).clean


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (pl.col("signal_time").alias("entry_time"), "entered before its signal was known"),
        (
            pl.col("entry_price") * pl.when(pl.col("side") == "long").then(0.999).otherwise(1.001),
            "entered at a better price",
        ),
        (
            pl.col("exit_price") * pl.when(pl.col("side") == "long").then(1.01).otherwise(0.99),
            "left at a better price",
        ),
        (pl.col("exit_time") + pl.duration(minutes=7), "where there is no bar"),
    ],
)
def test_fills_that_were_not_there_are_caught(
    traded: tuple[pl.DataFrame, pl.DataFrame], change: pl.Expr, words: str
) -> None:
    bars, trades = traded
    found = fills(trades.with_columns(change), bars, "H1", COSTS)
    assert not found.clean
    assert words in found.detail


def test_a_fill_at_the_close_of_the_signal_says_so() -> None:
    assert "better price than the first one after its signal" in filled_at_close().detail


def test_futures_leave_the_past_as_it_was() -> None:
    bars = bars_of(300)
    for change in (truncated, poisoned, twinned):
        for known in (1, 150, 299, 300):
            changed = change(bars, known)
            assert changed.head(known).equals(bars.head(known))
            assert changed.columns == bars.columns
    assert twinned(bars, 200)["close"][200:250].equals(bars["close"][150:200])
    assert (poisoned(bars, 200)["close"][200:] != bars["close"][200:]).all()
