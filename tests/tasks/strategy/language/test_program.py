"""What a program makes of frames: rows, rules, parameters, digest."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tasks.audit.frames import frame, frames_for
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.program import Program
from tasks.strategy.language.rows import SCHEMA
from tasks.strategy.strategies import damped
from tests.tasks.frames import random_predictions
from tests.tasks.strategy.language.examples import DATA, NAMES, digest_of, example, real

HEAD = 'stream h1 from "EUR_USD" { timeframe: "H1" }\n'
HASHES = {
    "damped_consensus": ("380a6a721a86b9c3", 4253),
    "trend_following": ("d02bdfa236821b05", 99),
    "mean_reversion": ("3f0933900f70cac7", 699),
    "volatility_breakout": ("52688b34d66e6433", 73),
    "multi_timeframe": ("4d96cc1b69ea790c", 254),
    "cross_pair_rank": ("cbc5566bf110cb3f", 151),
}
"""Of the signals on 6,000 bars of walks, of minutes 20,000."""

REAL_HASHES = {
    "trend_following": "61ae2c96ff835fbc",
    "mean_reversion": "2709d0e1b3c01843",
    "volatility_breakout": "813133f240838b1f",
    "multi_timeframe": "2cca1038ab883721",
    "cross_pair_rank": "41363ad7a67edd8f",
}
"""Of the signals on real bars, where they are."""


def signal(name: str, trigger: str, action: str = "BUY", **fields: str) -> str:
    given = {"stop": "0.01", "horizon": "5"} if action != "CLOSE" else {}
    lines = {"trigger": trigger, "action": action, **given, **fields}
    return f"signal {name} {{ {' '.join(f'{key}: {value};' for key, value in lines.items())} }}\n"


def rows(*signals: str, table: pl.DataFrame | None = None, **parameters: float) -> pl.DataFrame:
    table = frame(50) if table is None else table
    return Program.of(HEAD + "".join(signals)).evaluate({"h1": table}, parameters)


def test_a_row_says_all_of_its_signal() -> None:
    table = frame(50)
    found = rows(
        signal("s", "hour() == 3", "SELL", target="0.02", size="0.1", weekend="true"), table=table
    )
    assert found.schema == pl.Schema(SCHEMA)
    third = table.filter(pl.col("timestamp").dt.hour() == 3)
    assert found["timestamp"].to_list() == third["timestamp"].to_list()
    (first, *_) = found.rows(named=True)
    assert {key: first[key] for key in ("signal", "side", "action", "horizon")} == {
        "signal": "s", "side": "short", "action": "SELL", "horizon": 5,
    }  # fmt: skip
    assert (first["stop"], first["target"], first["size"]) == (0.01, 0.02, 0.1)
    assert first["confidence"] == third["confidence_short"][0]
    assert first["margin"] == third["margin_short"][0]


def test_closing_wins_then_the_greater_margin_then_the_first() -> None:
    table = frame(4).with_columns(
        margin_long=pl.Series([0.2, 0.1, 0.2, None]), margin_short=pl.Series([0.1, 0.2, 0.2, -1.0])
    )
    both = signal("l", "true"), signal("s", "true", "SELL")
    assert rows(*both, table=table)["side"].to_list() == ["long", "short", "long", "short"]
    closes = signal("c", "hour() == 1", "CLOSE")
    found = rows(*both, closes, table=table)
    assert found["action"].to_list() == ["BUY", "CLOSE", "BUY", "SELL"]
    assert found.row(1, named=True)["side"] is None


def test_what_a_rule_is_told_goes_before_what_all_are_told() -> None:
    table = frame(3).with_columns(margin_long_b=pl.lit(9.0))
    found = rows(signal("a", "true"), signal("b", "true"), table=table)
    assert found["signal"].to_list() == ["b"] * 3
    assert found["margin"].to_list() == [9.0] * 3


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": "0 * close()"},
        {"stop": "-1"},
        {"stop": "1 / 0"},
        {"stop": "bid() * 0"},
        {"target": "-0.1"},
        {"size": "1 / 0"},
        {"confidence": "lag(close(), 100)"},
    ],
)
def test_a_signal_that_lacks_what_it_says_does_not_fire(fields: dict[str, str]) -> None:
    assert rows(signal("s", "true", **fields)).is_empty()


@pytest.mark.parametrize(
    "trigger",
    ["lag(close(), 100) > 0", "!(lag(close(), 100) > 0)", "volume() != volume()", "1 / 0 > 0",
     "0 / 0 == 0 / 0", "log(0 - close()) < 1", "true && 1 / 0 > 0", "exp(1e9) > 1",
     "1 > volume()", "1 <= volume()", "2 - 1 != volume()"],
)  # fmt: skip
def test_null_never_fires(trigger: str) -> None:
    table = frame(50).with_columns(volume=pl.lit(None, dtype=pl.Float64))
    assert rows(signal("s", trigger), table=table).is_empty()


def test_no_trade_is_entered_after_a_closure_unless_it_says_so() -> None:
    friday = datetime(2018, 1, 12, 18, tzinfo=UTC)  # the market closes at 22:00 UTC
    table = frame(4, start=friday)
    assert rows(signal("s", "true"), table=table)["timestamp"].dt.hour().to_list() == [18, 19, 20]
    assert rows(signal("s", "true", weekend="true"), table=table).height == 4
    assert rows(signal("s", "true", "CLOSE"), table=table).height == 4
    given = table.with_columns(closing=pl.Series([True, False, None, False]))
    assert rows(signal("s", "true"), table=given)["timestamp"].dt.hour().to_list() == [19, 20, 21]


def test_parameters_are_swept_within_their_bounds() -> None:
    text = (
        HEAD + "pattern p { param n = 5 in [2, 9]; param k = 0.5 in [0, 1]; v = sma(close(), n); }"
    )
    text += signal("s", "close() > p.v * (0.5 + p.k)", horizon="p.n")
    program, table = Program.of(text), {"h1": frame(50)}
    assert list(program.parameters) == ["p.n", "p.k"]
    assert program.parameters["p.n"].whole
    assert program.exit_rules[0].horizon == 5
    assert program.exit_rules_of({"p.n": 9})[0].horizon == 9
    assert program.requires.bars["h1"] == 8
    assert (
        program.evaluate(table, {"p.k": 0.0}).height > program.evaluate(table, {"p.k": 1.0}).height
    )
    for wrong in ({"p.n": 2.5}, {"p.n": 10}, {"p.m": 1}, {"p.k": float("nan")}):
        with pytest.raises(DslError):
            program.evaluate(table, wrong)


def test_a_child_has_its_parents_names_and_its_own_in_their_place() -> None:
    text = (
        HEAD
        + """
        pattern parent { param n = 2 in [1, 9]; far = lag(close(), n); near = far * 0 + 1; }
        pattern child inherits parent { param n = 3 in [1, 9]; near = 7; both = near + far; }
    """
        + signal("s", "child.both > 0")
    )
    program, table = Program.of(text), frame(20)
    values = program.values({"h1": table})["h1"]
    assert set(program.parameters) == {"parent.n", "child.n"}
    assert values["child.both"].to_list() == (table["close"].shift(3) + 7).to_list()
    assert values["parent.far"].to_list() == table["close"].shift(2).to_list()


def test_a_function_takes_the_bars_it_is_called_on() -> None:
    text = (
        HEAD
        + """
        stream g from "GBP_USD" { timeframe: "H1" }
        function reach(n) = highest(high(), n) - lowest(low(), n);
        pattern p { own = reach(3); other = g.reach(3); kept = if (own > other) { 1 } else { 0 }; }
    """
        + signal("s", "p.kept > 0")
    )
    tables = {"h1": frame(30, seed=1), "g": frame(30, seed=2)}
    values = Program.of(text).values(tables)["h1"]
    for name, table in (("own", tables["h1"]), ("other", tables["g"])):
        width = table["high"].rolling_max(3) - table["low"].rolling_min(3)
        assert values[f"p.{name}"].to_list() == width.to_list()


def test_a_column_of_other_bars_is_refused_in_a_window() -> None:
    text = (
        HEAD
        + """
        stream g from "GBP_USD" { timeframe: "H1" }
        function average(x) = g.mean(x, 3);
        pattern p { v = average(close()); }
    """
        + signal("s", "p.v > 0")
    )
    with pytest.raises(DslError, match="name the stream in front of it"):
        Program.of(text)


def test_what_it_requires() -> None:
    program = example("multi_timeframe")
    needs = program.requires
    assert [each.name for each in needs.streams] == ["m1", "m5", "m15"]
    assert needs.bars["m15"] >= 131
    assert needs.warmup == max(needs.bars["m1"], 5 * needs.bars["m5"], 15 * needs.bars["m15"])
    assert (needs.metrics, needs.rules) == ((), ())
    asked = example("damped_consensus").requires
    assert asked.rules == ("long_entry", "short_entry")
    text = HEAD + signal("s", 'entropy("body") < 0.5 && confidence("long") > 0.5')
    more = Program.of(text).requires
    assert (more.metrics, more.rules) == ((("h1", "entropy", "body"),), ("s",))


def test_the_digest_is_of_the_meaning() -> None:
    one = Program.of(HEAD + signal("s", "close() > 1"))
    same = Program.of("// again\n" + HEAD + signal("s", "(close())  >  (1)"))
    other = Program.of(HEAD + signal("s", "close() > 2"))
    bound = Program.of(HEAD + signal("s", "close() > 1"), pair="GBP_USD")
    assert one.digest == same.digest
    assert len({one.digest, other.digest, bound.digest}) == 3


def test_another_pair_takes_the_place_of_the_first() -> None:
    text = HEAD.replace("h1", "a") + 'stream b from "EUR_USD" { timeframe: "H4" }\n'
    text += 'stream c from "USD_JPY" { timeframe: "H4" }\n' + signal("s", "true")
    bound = Program.of(text, pair="GBP_USD", timeframe="M15")
    assert [(each.pair, each.timeframe) for each in bound.streams] == [
        ("GBP_USD", "M15"), ("GBP_USD", "H4"), ("USD_JPY", "H4"),
    ]  # fmt: skip


def test_stop_and_target_are_told_of_every_bar() -> None:
    text = HEAD + signal("s", "false", stop="close() - 1.1", target="2")
    found = Program.of(text).distances({"h1": frame(40)})
    stops = found["stop_s"].drop_nulls()
    assert found.columns == ["timestamp", "stop_s", "target_s"]
    assert 0 < stops.len() < 40
    assert (stops > 0).all()


def test_frames_that_are_not_there_are_asked_for() -> None:
    program = Program.of(HEAD + signal("s", "true"))
    with pytest.raises(DslError, match=r"no bars of stream h1: .* -p pair=EUR_USD -p timeframe=H1"):
        program.evaluate({})
    with pytest.raises(DslError, match="do not ascend"):
        program.evaluate({"h1": frame(9)[::-1]})
    assert program.evaluate({"h1": frame(9)[:0]}).schema == pl.Schema(SCHEMA)


def test_what_the_engine_and_a_model_should_have_said_is_asked_for() -> None:
    table = frame(9)
    asks = signal("s", 'entropy("body") < 0.5')
    with pytest.raises(DslError, match="stream h1 has no entropy_body: measure"):
        rows(asks, table=table.drop("entropy_body"))
    told = [name for name in table.columns if name.endswith(("_long", "_short"))]
    with pytest.raises(DslError, match=r"no model tells of s: train it by .* -p pair=EUR_USD"):
        rows(signal("s", 'margin("long") > 0'), table=table.drop(told))
    assert rows(signal("s", "true"), table=table.drop(told))["margin"].null_count() == 9


def test_rules_of_equal_terms() -> None:
    same, other = example("damped_consensus").exit_rules
    assert same.terms == other.terms
    assert same != other
    longer = example("damped_consensus").exit_rules_of({"damped_consensus.horizon": 60})
    assert {rule.horizon for rule in longer} == {60}


@pytest.mark.parametrize("seed", range(3))
def test_the_consensus_is_that_of_the_strategy_in_python(seed: int) -> None:
    table = random_predictions(3_000, seed=seed, skill=1.0)
    rng = np.random.default_rng(seed)
    for side in ("long", "short"):
        gone = pl.Series(rng.random(table.height) < 0.1)
        told = [f"{name}_{side}" for name in ("confidence", "margin", "expected", "doubt")]
        table = table.with_columns(
            pl.when(gone).then(None).otherwise(pl.col(name)).alias(name) for name in told
        )
    table = table.with_columns(closing=pl.Series(rng.random(table.height) < 0.05))
    names = ["timestamp", "side", "action", "confidence", "lower", "upper", "expected", "margin"]
    expected = damped(table[70:]).select(names)
    found = example("damped_consensus").evaluate({"bars": table})
    late = found.filter(pl.col("timestamp") >= table["timestamp"][70]).select(names)
    assert expected.height > 500
    assert_frame_equal(late, expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_signals_of_an_example_are_those_they_were(name: str) -> None:
    program = example(name)
    bars = 20_000 if name == "multi_timeframe" else 6_000
    signals = program.evaluate(frames_for(program, bars))
    assert (digest_of(signals), signals.height) == HASHES[name]


@pytest.mark.skipif(not DATA.is_dir(), reason="no real bars on this machine")
@pytest.mark.parametrize("name", REAL_HASHES)
def test_the_signals_on_real_bars_are_those_they_were(name: str) -> None:
    program = example(name)
    signals = program.evaluate({each.name: real(each) for each in program.streams})
    assert signals.height > 0
    assert digest_of(signals) == REAL_HASHES[name]
