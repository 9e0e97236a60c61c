"""Leaks that were planted are all caught by name; clean strategies raise no alarm."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np
import polars as pl
import pytest

from infra.market.quotes import Costs
from kernels.segments import segments
from tasks.audit.cases import Case, warm_up
from tasks.audit.detectors import NothingToAudit, audited, fills
from tasks.audit.futures import poisoned, truncated, twinned
from tasks.research.simulation import simulate
from tasks.strategy.language.program import Program
from tests.tasks.strategy.language import drawn
from tests.tasks.strategy.language.examples import NAMES, example, frames_for
from tests.tasks.strategy.language.frames import frame

BARS = ["timestamp", "open", "high", "low", "close", "volume"]
CLEAN = 50
"""Random programs, none of which raises an alarm."""

Frames = Mapping[str, pl.DataFrame]


def bars_of(n: int, timeframe: str = "H1", seed: int = 0) -> pl.DataFrame:
    return frame(n, timeframe, seed=seed).select(BARS)


def told(bars: pl.DataFrame, value: pl.Expr) -> pl.DataFrame:
    """Signals where a value is above nought."""
    return bars.with_columns(value=value).filter(pl.col("value") > 0).select("timestamp", "value")


def caught(signals: Callable[[Frames], pl.DataFrame], warm_up: int = 60) -> set[str]:
    """Which detectors raise an alarm over hours, beside which there are days of six hours."""
    case = Case("planted", signals, {"h1": "H1", "h4": "H4"}, warm_up)
    bars = {"h1": bars_of(600), "h4": bars_of(150, "H4", seed=1)}
    return {each.detector for each in audited(case, bars) if not each.clean}


FUTURES = {"truncation", "poison", "future twin"}
MOVE = pl.col("close") / pl.col("close").shift(20) - 1


def test_a_clean_one_raises_no_alarm() -> None:
    assert caught(lambda bars: told(bars["h1"], MOVE)) == set()


def test_a_bar_to_come_is_caught() -> None:
    assert caught(lambda bars: told(bars["h1"], pl.col("close").shift(-1) - pl.col("close"))) == (
        FUTURES
    )


def test_a_bar_to_come_that_hides_rare_signals_is_caught() -> None:
    """No signal shows it: one is missing where the next bar falls."""
    rare = (MOVE > 0.008) & (pl.col("close").shift(-1) > pl.col("close"))
    assert "truncation" in caught(lambda bars: told(bars["h1"], rare.cast(pl.Float64)))


def test_a_score_of_the_whole_frame_is_caught() -> None:
    close = pl.col("close")
    found = caught(lambda bars: told(bars["h1"], (close - close.mean()) / close.std()))
    assert found >= FUTURES


def test_a_slower_bar_that_is_not_closed_is_caught() -> None:
    def signals(bars: Frames) -> pl.DataFrame:
        slow = bars["h4"].select("timestamp", slow="close")
        joined = bars["h1"].join_asof(slow, on="timestamp")
        return told(joined, pl.col("slow") - pl.col("open"))

    assert "truncation" in caught(signals)


def test_a_library_of_outcomes_not_known_yet_is_caught() -> None:
    """The likest of all other bars, those to come among them, tells what comes."""

    def signals(bars: Frames) -> pl.DataFrame:
        returns = bars["h1"]["close"].pct_change().fill_null(0.0).to_numpy()
        asked = np.arange(100, returns.size - 5, 25)
        apart = np.abs(returns[asked, None] - returns[None, :-1])
        apart[np.arange(asked.size), asked] = np.inf
        outcome = returns[apart.argmin(axis=1) + 1]
        return pl.DataFrame({"timestamp": bars["h1"]["timestamp"].gather(asked), "value": outcome})

    assert caught(signals) >= {"truncation", "future twin"}


@pytest.mark.parametrize("bars", [0, 1, 3, 600])
def test_where_nothing_can_change_nothing_is_said(bars: int) -> None:
    case = Case("planted", lambda frames: told(frames["h1"], MOVE - 10), {"h1": "H1"})
    with pytest.raises(NothingToAudit, match=f"planted: 0 signals in {bars} bars"):
        audited(case, {"h1": bars_of(bars)})


def test_what_hangs_on_the_first_bar_is_caught() -> None:
    rank = pl.int_range(pl.len()) % 7 - 3
    assert caught(lambda bars: told(bars["h1"], rank.cast(pl.Float64))) == {"start"}


@pytest.mark.parametrize("name", [each for each in NAMES if each != "damped_consensus"])
def test_no_example_raises_an_alarm(name: str) -> None:
    program = example(name)
    frames = frames_for(program, 4_500 if name == "multi_timeframe" else 1_500, seed=4)
    bars = {stream: each.select(BARS) for stream, each in frames.items()}
    found = audited(Case.of(program, engine="cpu"), bars, count=6)
    assert [each for each in found if not each.clean] == []


def test_no_random_program_raises_an_alarm() -> None:
    """Their frames have all that engine and models say, some of it null: nothing is measured."""
    alarms, done, seeds = [], 0, itertools.count()
    while done < CLEAN:
        seed = next(seeds)
        program = Program.of(drawn.program(seed))
        timeframes = {each.name: each.timeframe for each in program.streams}
        case = Case(str(seed), program.evaluate, timeframes, warm_up(program))
        frames = frames_for(program, 500, seed=seed)
        with suppress(NothingToAudit):
            alarms += [each for each in audited(case, frames, count=3) if not each.clean]
            done += 1
    assert alarms == []


COSTS = Costs(spread=2e-4, slippage=0.0)


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


def test_a_fill_at_the_close_of_the_signal_is_caught() -> None:
    """The close is a price that there was no more when the signal was known: the next open is."""
    bars, jump = bars_of(400), 1e-3
    bars = bars.with_columns(
        (pl.col(name) + jump * pl.int_range(pl.len())).alias(name) for name in BARS[1:5]
    )
    closes = bars.select(signal_time="timestamp", close="close")
    entered = bars["timestamp"].gather(list(range(10, 300, 10)))
    trades = pl.DataFrame(
        {"signal_time": bars["timestamp"].gather(list(range(9, 299, 10)))}
    ).with_columns(entry_time=entered, exit_time=entered, side=pl.lit("long"))
    trades = trades.join(closes, on="signal_time").with_columns(
        entry_price=pl.col("close") + COSTS.spread / 2, exit_price=pl.lit(0.0)
    )
    found = fills(trades, bars, "H1", COSTS)
    assert not found.clean
    assert "better price than the first one after its signal" in found.detail


def test_futures_leave_the_past_as_it_was() -> None:
    bars = bars_of(300)
    for change in (truncated, poisoned, twinned):
        for known in (1, 150, 299, 300):
            changed = change(bars, known)
            assert changed.head(known).equals(bars.head(known))
            assert changed.columns == bars.columns
    assert twinned(bars, 200)["close"][200:250].equals(bars["close"][150:200])
    assert (poisoned(bars, 200)["close"][200:] != bars["close"][200:]).all()
