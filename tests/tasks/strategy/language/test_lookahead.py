"""A program that sees the future cannot be written: cut it off, poison it, and nothing changes."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infra.market.days import bar_end
from tasks.audit.frames import frames_for
from tasks.strategy.language.program import Program
from tests.tasks.strategy.language import drawn
from tests.tasks.strategy.language.examples import DATA, NAMES, example, real
from tests.tasks.strategy.language.frames import poisoned, timeframes_of, truncated

BARS = {"multi_timeframe": 4_500}
RANDOM = 40
"""Random programs of `make test`; tests/chaos goes on."""


def until(table: pl.DataFrame, now: object, timeframe: str) -> pl.DataFrame:
    return table.filter(bar_end(table["timestamp"], timeframe) <= now)


def assert_blind(program: Program, frames: dict[str, pl.DataFrame], rows: int) -> int:
    """Signals and values up to a row are those of frames that end or turn absurd behind it."""
    lengths, base = timeframes_of(program.streams), program.streams[0].name
    now = bar_end(frames[base]["timestamp"], lengths[base])[rows - 1]
    signals, values = program.evaluate(frames), program.values(frames)
    for change in (truncated, poisoned):
        other = change(frames, lengths, base, rows)
        assert_frame_equal(
            until(program.evaluate(other), now, lengths[base]), until(signals, now, lengths[base])
        )
        for name, table in program.values(other).items():
            expected = until(values[name], now, lengths[name])
            assert_frame_equal(until(table, now, lengths[name]), expected, check_exact=True)
    return until(signals, now, lengths[base]).height


def assert_incremental(program: Program, frames: dict[str, pl.DataFrame], rows: int) -> None:
    """The last rows' signals are the same from the window that the program asks for."""
    base = program.streams[0].name
    start = frames[base]["timestamp"][-rows]
    window = program.window(frames, rows)
    part = program.evaluate(window).filter(pl.col("timestamp") >= start)
    assert_frame_equal(
        part, program.evaluate(frames).filter(pl.col("timestamp") >= start), check_exact=True
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_example_sees_the_future(name: str) -> None:
    program, bars = example(name), BARS.get(name, 1_500)
    frames = frames_for(program, bars, seed=4, holes=0.0005)
    signals = [assert_blind(program, frames, rows) for rows in (bars // 2, bars - 7, bars - 1)]
    assert min(signals) > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_window_it_asks_for_is_enough(name: str) -> None:
    program, bars = example(name), BARS.get(name, 1_500)
    frames = frames_for(program, bars, seed=5)
    assert program.window(frames)[program.streams[0].name].height < bars
    for rows in (1, 200):
        assert_incremental(program, frames, rows)


@pytest.mark.parametrize("seed", range(RANDOM))
def test_no_random_program_sees_the_future(seed: int) -> None:
    program = Program.of(drawn.program(seed))
    frames = frames_for(program, 700, seed=seed, holes=0.001)
    assert_blind(program, frames, 500 + seed)
    assert_incremental(program, frames, 3)


@pytest.mark.skipif(not DATA.is_dir(), reason="no real bars on this machine")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "damped_consensus"])
def test_no_example_sees_the_future_of_real_bars(name: str) -> None:
    program = example(name)
    frames = {each.name: real(each).head(30_000) for each in program.streams}
    bars = frames[program.streams[0].name].height
    assert_blind(program, frames, bars // 3)
    assert_incremental(program, frames, 300)


def test_a_program_that_saw_the_future_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.strategy.language.builtins import series

    monkeypatch.setattr(series, "before", lambda column, count: column.shift(-count))
    program = Program.of("""
        stream h1 from "EUR_USD" { timeframe: "H1" }
        signal s { trigger: lag(close(), 5) > 0; action: BUY; stop: 1; horizon: 3; }
    """)
    with pytest.raises(AssertionError):
        assert_blind(program, frames_for(program, 300), 200)


def test_a_quotient_hangs_on_its_own_bar_alone() -> None:
    """Where all divisors but a later one are equal, Polars would multiply by the reciprocal."""
    program = Program.of("""
        stream h1 from "EUR_USD" { timeframe: "H1" }
        pattern p { v = close() / (if (entropy() > -5) { 1e-3 } else { high() }); }
        signal s { trigger: p.v > 0; action: BUY; stop: 1; horizon: 3; }
    """)
    frames = frames_for(program, 300)
    last = pl.int_range(pl.len()) == 299
    entropy = pl.when(last).then(-9.0).otherwise(pl.col("entropy"))
    frames["h1"] = frames["h1"].with_columns(entropy.alias("entropy"))
    assert_blind(program, frames, 200)


def test_a_slower_bar_counts_once_it_has_closed() -> None:
    program = Program.of("""
        stream m5 from "EUR_USD" { timeframe: "M5" }
        stream m15 from "EUR_USD" { timeframe: "M15" }
        pattern p { slow = m15.close(); }
        signal s { trigger: p.slow > 0; action: BUY; stop: 1; horizon: 3; weekend: true; }
    """)
    frames = frames_for(program, 9)
    slow = frames["m15"]["close"].to_list()
    expected = [None, None, slow[0], slow[0], slow[0], slow[1], slow[1], slow[1], slow[2]]
    assert program.values(frames)["m5"]["p.slow"].to_list() == expected
    assert (
        program.evaluate(frames)["timestamp"].to_list() == frames["m5"]["timestamp"][2:].to_list()
    )


def test_a_column_that_is_nothing_but_null_can_be_compared() -> None:
    """Polars gives a constant column's comparison one row where the constant stands on the left."""
    text = drawn.program(1868)
    program = Program.of(text)
    assert_blind(program, frames_for(program, 500, seed=1868, holes=0.002), 300)
