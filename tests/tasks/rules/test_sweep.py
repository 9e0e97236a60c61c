"""A sweep looks at the past alone, draws between bounds, and tells how many it tried."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tasks.intake.rows import planted_rows
from tasks.research.measure import Measures, measure
from tasks.research.recipe import Recipe
from tasks.research.spans import TooShort
from tasks.rules.frames import measured
from tasks.rules.setup import Setup
from tasks.rules.sweep import Past, best, candidates, sweep
from tasks.rules.texts import Source, find
from tasks.strategy.language.program import Program

TEXT = """
stream bars from "PLANTED" { timeframe: "H1" }
pattern p {
    param n = 5 in [2, 40];
    param wide = 0.01 in [0.001, 1];
    up = crosses_above(close(), sma(close(), n));
}
signal up { trigger: p.up; action: BUY; stop: (1 + p.wide) * close() * 0.02; horizon: 6; }
"""
BELIEF = TEXT.replace("trigger: p.up", 'trigger: confidence("long") > p.wide')
BELIEF = BELIEF.replace("(1 + p.wide) * ", "").replace("0.01 in [0.001, 1]", "0.3 in [0.2, 0.8]")


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return planted_rows(2_500, timeframe="H1", seed=3).drop("source_row")


def setup_of(text: str, **parameters: float) -> Setup:
    source = Source("p.sep", "PLANTED", "H1", {"p.sep": text})
    given = {f"p.{name}": value for name, value in parameters.items()}
    return Setup.of(source, Recipe.default("PLANTED", "H1"), given)


def past_of(bars: pl.DataFrame, setup: Setup) -> Past:
    measures = measure(bars, "PLANTED", "H1", engine="cpu")
    frames = measured(setup.strategy, {"bars": bars}, engine="cpu")
    return Past(bars, measures, frames, "cpu")


def test_sets_lie_between_their_bounds_and_are_the_same_every_time() -> None:
    program = Program.of(TEXT)
    drawn = candidates(program, {}, (), 32, seed=1)
    assert drawn == candidates(program, {}, (), 32, seed=1)
    assert drawn != candidates(program, {}, (), 32, seed=2)
    assert drawn[0] == {}
    assert len({tuple(sorted(each.items())) for each in drawn}) == len(drawn) == 32
    whole = {each["p.n"] for each in drawn if "p.n" in each}
    assert whole <= {float(n) for n in range(2, 41)}
    assert len(whole) > 10
    wide = [each["p.wide"] for each in drawn[1:]]
    assert 0.001 <= min(wide) < 0.01 < 0.1 < max(wide) <= 1
    assert 0.01 < np.median(wide) < 0.1  # by ratios
    for each in drawn:
        program.compiled(each)


def test_what_is_given_stays() -> None:
    program = Program.of(TEXT)
    drawn = candidates(program, {"p.n": 7.0}, ("p.n", "p.wide"), 8, seed=1)
    assert drawn == [{"p.n": 7.0}]
    drawn = candidates(program, {"p.n": 7.0}, ("p.n",), 8, seed=1)
    assert {each["p.n"] for each in drawn} == {7.0}
    assert len(drawn) == 8


@pytest.mark.parametrize("text", [TEXT, BELIEF], ids=["free", "asking"])
def test_the_test_span_has_no_say(text: str, bars: pl.DataFrame) -> None:
    setup = setup_of(text)
    past = past_of(bars, setup)
    stop = past.spans(6).calibration.stop
    absurd = pl.int_range(pl.len()) >= stop
    poisoned = bars.with_columns(
        pl.when(absurd).then(pl.col(name) * 1.7).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    tried = sweep(setup, past, 8)
    assert len(tried) == 8
    assert len({each.growth for each in tried}) > 1
    assert tried[0].trades > 5
    assert best(tried).growth == max(each.growth for each in tried)
    assert sweep(setup, past_of(poisoned, setup), 8) == tried


def test_what_is_chosen_is_part_of_a_models_identity() -> None:
    prints = {
        setup.recipes["up"].fingerprint("data")
        for setup in (
            setup_of(TEXT),
            setup_of(TEXT, n=9),
            setup_of(TEXT, n=9, wide=0.5),
            setup_of(BELIEF),
        )
    }
    assert len(prints) == 4
    same = setup_of("// words\n" + TEXT, n=5).recipes["up"]
    assert same.fingerprint("data") == setup_of(TEXT).recipes["up"].fingerprint("data")


def test_a_past_that_is_too_short_says_what_to_do(bars: pl.DataFrame) -> None:
    setup = setup_of(BELIEF)
    with pytest.raises(TooShort, match=r"ingest more bars, or .* tries=0"):
        sweep(setup, past_of(bars.head(900), setup), 4)


def test_a_horizon_that_is_too_long_is_left_out(bars: pl.DataFrame) -> None:
    text = TEXT.replace("horizon: 6", "horizon: p.n").replace("[2, 40]", "[2, 400]")
    tried = sweep(setup_of(text), past_of(bars, setup_of(text)), 12)
    assert 2 < len(tried) < 12
    assert tried[0].parameters == {}


def test_measures_are_cut_with_their_bars(bars: pl.DataFrame) -> None:
    past = past_of(bars, setup_of(TEXT)).until(700, "bars")
    assert isinstance(past.measures, Measures)
    assert {len(past.bars), len(past.frames["bars"]), len(past.measures.trajectory)} == {700}


def test_examples_are_found_by_name() -> None:
    assert find("cross_pair_rank").files.keys() == {"cross_pair_rank.sep"}
