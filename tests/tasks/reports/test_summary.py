from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from infra.market.financing import Financing
from infra.market.quotes import Costs
from tasks.reports.format import interval, number, percent
from tasks.reports.summary import Summary, as_markdown, as_table, print_table, summarise
from tasks.research.simulation import Simulation, simulate
from tasks.strategy.strategies import damped
from tests.tasks.frames import UNIT, one_segment, predictions_of, random_predictions

HORIZON = 4
ABOUT = {"pair": "EUR_USD", "timeframe": "H1", "data_hash": "ab12", "seed": 3}


def backtest(
    predictions: pl.DataFrame, costs: Costs | None = None
) -> tuple[pl.DataFrame, Simulation]:
    test = predictions.filter(pl.col("split") == "test")
    signals = damped(test)
    simulation = simulate(
        test,
        signals,
        segments=one_segment(test.height),
        horizon=HORIZON,
        costs=costs or Costs(spread=0.01),
    )
    return signals, simulation


def judge(predictions: pl.DataFrame, **options: Any) -> Summary:
    return summarise(predictions, *backtest(predictions), horizon=HORIZON, **options)


def planted(n: int = 3000, *, seed: int = 1) -> pl.DataFrame:
    """Prices that go where confidence says: a drift of known sign, switched every 20 bars."""
    generator = np.random.default_rng(seed)
    drift = np.repeat(generator.choice([-1, 1], n // 20 + 1), 20)[:n]
    close = 100 * np.exp(np.cumsum(generator.normal(6e-4 * drift, 1e-3)))
    later = np.roll(close, -HORIZON) / close - 1
    open_ = np.concatenate([[100.0], close[:-1]])
    columns: dict[str, Any] = {"close": close, "open": open_}
    columns |= {"high": np.maximum(open_, close), "low": np.minimum(open_, close)}
    for side, sign in (("long", 1), ("short", -1)):
        belief = 0.5 + 0.2 * sign * drift
        columns |= {f"confidence_{side}": belief, f"lower_{side}": belief - 0.05}
        columns |= {f"upper_{side}": belief + 0.05, f"win_{side}": (sign * later > 0).astype(int)}
        columns |= {f"expected_{side}": (belief - 0.5) * UNIT, f"margin_{side}": belief - 0.55}
    columns["split"] = np.repeat(["library", "calibration", "test"], [n // 2, n // 4, n // 4])
    return predictions_of(n, **columns)


def test_a_planted_edge_is_found() -> None:
    summary = judge(planted(), about=ABOUT)
    assert summary["edge"]
    assert summary["verdict"] == "edge after costs"
    assert summary["reasons"] == []
    assert summary["sentence"].startswith("EUR_USD H1: edge after costs: ")
    assert summary["trades"]["hit_low"] > summary["trades"]["break_even"]
    assert summary["calibration"]["skill_low"] > 0
    assert summary["money"]["net"] > 0


def test_costs_take_a_planted_edge_away() -> None:
    predictions = planted()
    signals, simulation = backtest(predictions, Costs(spread=1.0))
    summary = summarise(predictions, signals, simulation, horizon=HORIZON)
    assert summary["verdict"] == "no edge after costs"
    assert any(reason.startswith("the net gain is −") for reason in summary["reasons"])
    assert summary["money"]["gross"] > 0 > summary["money"]["net"]


def test_a_gain_that_luck_explains_is_no_edge() -> None:
    """A hit rate above break-even, a Brier skill and a gain, and yet no proof of any edge."""
    predictions = planted()
    signals, simulation = backtest(predictions)
    gain = simulation.trades["gain"].to_numpy()
    blown = np.where(gain > 0, gain, gain - (gain.sum() - 1e-6) / (gain <= 0).sum())
    lucky = simulation._replace(trades=simulation.trades.with_columns(gain=blown))
    summary = summarise(predictions, signals, lucky, horizon=HORIZON)
    assert summary["money"]["net"] > 0 > summary["money"]["net_low"]
    assert len(summary["reasons"]) == 1
    assert summary["reasons"][0].startswith("the net gain of 0.00 % may be luck (5 % bound −")


def test_confidence_worse_than_the_base_rate_is_no_edge_however_the_trades_went() -> None:
    predictions = planted()
    signals, simulation = backtest(predictions)
    overdone = predictions.with_columns((1 - pl.col("^confidence_.*$")).name.keep())
    summary = summarise(overdone, signals, simulation, horizon=HORIZON)
    assert len(summary["reasons"]) == 1
    assert summary["reasons"][0].startswith("confidence is not shown to beat the base rate")


def test_a_constant_confidence_has_no_skill() -> None:
    predictions = planted().with_columns(
        pl.lit(0.5).alias(f"confidence_{s}") for s in ("long", "short")
    )
    summary = judge(predictions)
    assert not summary["edge"]
    assert summary["calibration"]["skill_low"] <= 0


def test_no_gain_is_expected() -> None:
    summary = judge(random_predictions(900, seed=1), about=ABOUT)
    assert summary["signals"] == 0
    assert summary["sentence"].startswith(
        "EUR_USD H1: no edge after costs: no bar's expected net gain, less caution, was above zero"
    )
    assert summary["trades"]["hit_rate"] is None
    assert summary["money"] == {
        "gross": 0.0,
        "cost": 0.0,
        "net": 0.0,
        "net_low": None,
        "growth": 0.0,
        "profit_factor": None,
        "max_drawdown": 0.0,
    }


def test_signals_without_room_for_a_trade() -> None:
    predictions = planted().with_columns(
        pl.when(pl.col("position") < 2999).then(-0.1).otherwise(0.1).alias(f"margin_{side}")
        for side in ("long", "short")
    )
    summary = judge(predictions)
    assert (summary["signals"], summary["trades"]["count"]) == (1, 0)
    assert "no signal left room" in summary["reasons"][0]


def test_few_outcomes_are_no_evidence() -> None:
    predictions = planted().with_columns(
        split=pl.when(pl.col("position") < 2900).then(pl.lit("library")).otherwise(pl.lit("test"))
    )
    summary = judge(predictions)
    assert summary["spans"][2]["independent"] == 25
    assert "holds only 25 outcomes" in summary["sentence"]
    assert not summary["edge"]


@pytest.mark.parametrize("missing", [None, math.nan])
def test_no_confidence_at_all(missing: float | None) -> None:
    nulls = {
        f"{name}_{side}": missing for name in ("confidence", "lower") for side in ("long", "short")
    }
    summary = judge(predictions_of(60, **nulls))
    assert summary["reasons"][0].startswith("no bar of the test span has both")
    assert summary["calibration"]["brier_skill"] is None
    assert_json(summary)


def test_no_rows_at_all() -> None:
    summary = judge(predictions_of(0))
    assert not summary["edge"]
    assert [span["bars"] for span in summary["spans"]] == [0, 0, 0]
    assert_json(summary)
    assert as_markdown(summary)


def test_without_a_library_there_is_no_base_rate_and_no_skill() -> None:
    summary = judge(predictions_of(200))
    assert summary["sides"]["long"]["base_rate"] is None
    assert summary["calibration"]["brier_skill"] is None
    assert not summary["edge"]


def test_spans_count_bars_and_outcomes() -> None:
    win = np.ones(100, dtype=np.int8)
    split = np.array(["library"] * 50 + ["calibration"] * 20 + ["test"] * 25 + [""] * 5)
    win[90:] = -1
    predictions = predictions_of(100, split=split, win_long=win, win_short=win)
    library, calibration, test = judge(predictions)["spans"]
    assert library == {
        "name": "library",
        "first": "2018-01-08T00:00:00+00:00",
        "last": "2018-01-10T01:00:00+00:00",
        "bars": 50,
        "outcomes": 50,
        "independent": 13,
    }
    assert (calibration["bars"], calibration["independent"]) == (20, 5)
    assert (test["bars"], test["outcomes"], test["independent"]) == (25, 20, 5)


def test_base_rate_is_that_of_the_library_and_break_even_that_of_the_test() -> None:
    split = np.array(["library"] * 4 + ["test"] * 4)
    predictions = predictions_of(
        8, split=split, win_long=[1, 0, 0, 0, 1, 1, 1, 1], break_even_long=[0.9] * 4 + [0.6] * 4
    )
    long = judge(predictions)["sides"]["long"]
    assert long["base_rate"] == 0.25
    assert long["break_even"] == pytest.approx(0.6)


CHARGED = Costs(0.01, 0.002, 0.0, 0.003, financing=Financing(-0.1, 0.02))


def test_a_waterfall_leads_from_gross_to_net() -> None:
    predictions = planted()
    signals, simulation = backtest(predictions, CHARGED)
    summary = summarise(predictions, signals, simulation, horizon=HORIZON)
    first, *steps, last = summary["waterfall"]
    assert (first["name"], last["name"]) == ("gross at mid", "net")
    assert [step["name"] for step in steps] == ["spread", "slippage", "commission", "swap"]
    assert first["gain"] == summary["money"]["gross"]
    assert last["gain"] == summary["money"]["net"]
    assert first["gain"] + sum(s["gain"] for s in steps) == pytest.approx(last["gain"], abs=1e-12)
    assert all(step["gain"] < 0 for step in steps)
    rows = {row["metric"]: row["value"] for row in as_table(summary)}
    names = ("Gross gain", "Spread", "Slippage", "Commission", "Swap", "Net gain")
    assert [name for name in rows if name in names] == [*names]
    assert rows["Swap"] == percent(steps[-1]["gain"], sign=True)


def test_swap_that_is_not_counted_and_spreads_by_the_hour_are_told() -> None:
    about = {**ABOUT, "swap_long": 0.0, "swap_short": 0.0, "spread_source": "by the hour"}
    rows = {row["metric"]: row["value"] for row in as_table(judge(planted(), about=about))}
    assert rows["Swap"].startswith("not counted")
    assert rows["Spread"].endswith(", by the hour")


def test_money_adds_up() -> None:
    predictions = random_predictions(2000, seed=2, skill=1.0)
    signals, simulation = backtest(predictions)
    summary = summarise(predictions, signals, simulation, horizon=HORIZON)
    money, trades = summary["money"], summary["trades"]
    gains = simulation.trades["gain"].to_numpy()
    assert money["gross"] - money["cost"] == pytest.approx(money["net"])
    assert money["growth"] == pytest.approx(np.prod(1 + gains) - 1)
    assert money["profit_factor"] == pytest.approx(-gains[gains > 0].sum() / gains[gains < 0].sum())
    assert money["max_drawdown"] == simulation.equity["drawdown"].min()
    assert trades["wins"] == (gains > 0).sum()
    assert trades["hit_low"] < trades["hit_rate"] < trades["hit_high"]
    assert sum(trades["exits"].values()) == trades["count"] == simulation.trades.height
    assert sum(side["trades"] for side in summary["sides"].values()) == trades["count"]


def test_the_skill_bound_is_reproducible_and_below_the_skill() -> None:
    predictions = random_predictions(2000, seed=3, skill=1.0)
    first, again, other = (judge(predictions, seed=s)["calibration"] for s in (0, 0, 1))
    assert first == again
    assert first["skill_low"] != other["skill_low"]
    assert first["skill_low"] < first["brier_skill"]
    assert first["block"] == 4 * (HORIZON + 1)


def test_a_random_confidence_rarely_looks_skilful() -> None:
    bounds = [
        judge(random_predictions(1200, seed=seed), draws=200)["calibration"]["skill_low"]
        for seed in range(20)
    ]
    assert sum(bound > 0 for bound in bounds) <= 4


def test_in_sample_signals_are_refused() -> None:
    predictions = planted()
    _, simulation = backtest(predictions)
    with pytest.raises(ValueError, match=r"lie outside the test span, the first at 2018-01-08"):
        summarise(predictions, damped(predictions), simulation, horizon=HORIZON)


def test_the_table_and_the_markdown_say_the_same() -> None:
    summary = judge(planted(), about=ABOUT)
    table = as_table(summary)
    assert all(row.keys() == {"metric", "value"} for row in table)
    assert len({row["metric"] for row in table}) == len(table)
    markdown = as_markdown(summary)
    assert markdown.startswith("**EUR\\_USD H1: edge after costs")
    assert "not financial advice" in markdown
    assert markdown.count("\n|") == len(table) + 2
    for row in table:
        assert f"| {row['metric']} | " in markdown
    assert_json(summary)


def test_learners_caution_and_truth_have_lines_where_they_are_known() -> None:
    row = {"name": "neighbours", "weight": 0.31, "brier_skill": 0.061, "skill_low": None}
    tried = [{"caution": 1.0, "test": 0.02, "past": 0.1, "trades": 4}]
    learnt: dict[str, Any] = {
        "learners": [row],
        "caution": {"in_force": 1.0, "chosen_by": "recipe", "tried": tried},
        "truth": {"sentence": "84 % of what could be known, 91 % of what could be earned"},
    }
    plain = judge(planted(), about=ABOUT)
    lines = {line["metric"]: line["value"] for line in as_table(plain | learnt)}
    assert lines["Learner: neighbours"] == "weight 0.31, skill 0.061 alone"
    assert lines["Caution"].startswith("1, as was asked for; most growth on the test span by 1 ")
    assert lines["Of the truth"] == learnt["truth"]["sentence"]
    assert "| Learner: neighbours | weight 0.31" in as_markdown(plain | learnt)
    assert not {"Caution", "Of the truth"} & {line["metric"] for line in as_table(plain)}


def test_markdown_cannot_be_broken_by_a_name() -> None:
    summary = judge(predictions_of(40), about={"pair": "a|b<script>*"})
    first = as_markdown(summary).splitlines()[0]
    assert "a\\|b\\<script>\\*" in first


def test_the_terminal_shows_the_verdict() -> None:
    stream = io.StringIO()
    print_table(judge(planted(), about={"pair": "[red]X"}), Console(file=stream, width=120))
    shown = stream.getvalue()
    assert "[red]X: edge after costs" in shown
    assert "Break-even of the trades" in shown


def test_numbers_are_written_for_people() -> None:
    assert percent(0.1234) == "12.34 %"
    assert percent(-0.1, digits=0, sign=True) == "−10 %"
    assert percent(0.00001, sign=True) == "0.00 %"
    assert percent(-0.00001) == "0.00 %"
    assert percent(None) == number(None) == interval(None, None, None) == "–"
    assert number(-1.5, 1) == "−1.5"
    assert interval(0.5, 0.4, 0.6) == "50.00 % (95 % interval 40.00 to 60.00 %)"


def assert_json(summary: Summary) -> None:
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
