"""Published signals and what became of them: as a backtest has it, each told, none twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import event, text

import tasks.upkeep.outcomes
from infra.postgres import database as db
from tasks.folder import bar_store
from tasks.intake.rows import planted_rows
from tasks.research.measure import segments_of
from tasks.research.simulation import follow, quotes, simulate
from tasks.upkeep.outcomes import resolve_signals, resolved
from tests.tasks.upkeep.published import (
    HOUR,
    RECIPE,
    outcomes,
    publish,
    random_signals,
    record_model,
)

BARS = planted_rows(1_500, timeframe="H1", seed=2).drop("source_row")
END: datetime = BARS["timestamp"][-1]
NONE = dict.fromkeys(("resolved", "void", "missing", "refused", "waiting"), 0)
WHAT = "signal_id, state, reason, won, gain, gross, entry_price, exit_price, entry_at, exit_at"


@pytest.fixture(autouse=True)
def emptied(home: Path, database: str) -> None:
    shutil.rmtree(home / "bars", ignore_errors=True)


def numbered(signals: pl.DataFrame) -> pl.DataFrame:
    return signals.with_row_index("signal_id").with_columns(pl.col("signal_id").cast(pl.Int64))


def told(signals: pl.DataFrame, bars: pl.DataFrame = BARS) -> pl.DataFrame:
    return resolved(numbered(signals), bars, RECIPE, now=END)


def by_hand(bars: pl.DataFrame, signal: dict[str, Any]) -> tuple[float, str, datetime] | None:
    """Walk from bar to bar: net gain, reason and bar of the exit."""
    prices = quotes(bars, RECIPE.costs)
    row = bars["timestamp"].to_list().index(signal["bar_ts"])
    long, last = signal["side"] == "long", row + 1 + signal["horizon"]
    if last >= len(bars):
        return None
    sign = 1 if long else -1
    entry = float(prices.ask_open[row + 1] if long else prices.bid_open[row + 1])
    entry += sign * RECIPE.slippage
    out, worst, best = (
        (prices.bid_open, prices.bid_low, prices.bid_high)
        if long
        else (prices.ask_open, prices.ask_high, prices.ask_low)
    )
    stop, target = entry - sign * signal["stop_distance"], signal["target_distance"]
    for bar in range(row + 1, last + 1):
        left, why = None, ""
        if bar == last:
            left, why = out[bar], "time"
        elif bar > row + 1 and sign * (out[bar] - stop) <= 0:
            left, why = out[bar], "stop"
        elif sign * (worst[bar] - stop) <= 0:
            left, why = stop, "stop"
        elif not np.isnan(target) and sign * (best[bar] - entry) >= target:
            left, why = entry + sign * target, "target"
        if left is not None:
            return float(sign * (left - entry) / entry), why, bars["timestamp"][bar]
    return None


def test_each_signal_ends_as_it_does_by_hand() -> None:
    signals = random_signals(BARS, 250, seed=1)
    found = told(signals)
    same, reasons = 0, set()
    for row, signal in zip(found.iter_rows(named=True), signals.iter_rows(named=True), strict=True):
        expected = by_hand(BARS, signal)
        if expected is None:
            assert (row["state"], row["gain"]) == ("waiting", None)
            continue
        gain, why, left = expected
        assert row["state"] == "resolved"
        assert row["gain"] == pytest.approx(gain, abs=1e-12)
        assert (row["won"], row["exit_reason"], row["exit_at"]) == (gain > 0, why, left)
        assert row["entry_at"] == signal["bar_ts"] + HOUR
        same += 1
        reasons.add(why)
    assert same > 230
    assert reasons == {"time", "stop", "target"}


def test_signals_apart_end_as_their_simulation() -> None:
    """Where no other is open: the same columns, bit for bit."""
    signals = random_signals(BARS, 1_400, seed=3)[::12].rename({"bar_ts": "timestamp"})
    given: dict[str, Any] = {
        "segments": segments_of(BARS, "PLANTED", "H1"),
        "horizon": signals["horizon"],
        "costs": RECIPE.costs,
        "stop": signals["stop_distance"],
        "target": signals["target_distance"].fill_nan(None),
    }
    simulated = simulate(BARS, signals, **given).trades
    followed = follow(BARS, signals, **given)
    assert len(simulated) > 90
    assert_frame_equal(followed, simulated, check_exact=True)


def test_every_signal_is_told_once_whoever_asks_how_often() -> None:
    bar_store().write("PLANTED", "H1", BARS)
    record_model()
    closed = pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("CLOSE"))
    signals = random_signals(BARS, 300, seed=4)
    publish(signals.with_columns(action=closed.otherwise("action")))
    lines: list[str] = []
    first = resolve_signals(now=END, tell=lines.append)
    assert first == NONE | {"resolved": 280 - first["waiting"], "waiting": first["waiting"]}
    assert lines == ["m: 280 of 280 signals looked at"]
    kept = outcomes()
    assert len(kept) == first["resolved"]
    assert resolve_signals(now=END) == NONE | {"waiting": first["waiting"]}
    assert_frame_equal(outcomes(), kept)
    assert db.read_frame("SELECT DISTINCT mode FROM signal")["mode"].to_list() == ["live"]


class Killed(BaseException):
    """What ends a process."""


@contextmanager
def killed_at(number: int) -> Iterator[list[int]]:
    """End before a statement or commit of the number."""
    left, engine = [number], db.engine()

    def count(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    for name in ("before_cursor_execute", "commit"):
        event.listen(engine, name, count)
    try:
        yield left
    finally:
        for name in ("before_cursor_execute", "commit"):
            event.remove(engine, name, count)


def test_killed_between_any_two_statements_the_rows_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks.upkeep.outcomes, "PAGE", 30)
    bar_store().write("PLANTED", "H1", BARS)
    record_model()
    publish(random_signals(BARS, 60, seed=5))
    resolve_signals(now=END)
    expected, number, kills = outcomes(WHAT), 0, 0
    assert len(expected) > 50
    while number == kills:
        with db.engine().begin() as connection:
            connection.execute(text("TRUNCATE signal_outcome"))
        number += 1
        with killed_at(number):
            try:
                resolve_signals(now=END)
            except Killed:
                kills += 1
        resolve_signals(now=END)
        assert_frame_equal(outcomes(WHAT), expected)
    assert kills >= 5


def test_what_is_not_there_is_told_and_comes_later(home: Path) -> None:
    signals = random_signals(BARS[:1_000], 40, seed=6)
    record_model()
    publish(signals)
    assert resolve_signals() == NONE, "a home without bars says nothing"
    bar_store().write("EUR_USD", "H1", BARS)
    assert resolve_signals()["missing"] == 40
    assert "is not in the store" in outcomes()["reason"][0]
    last = signals["bar_ts"][-1]
    bar_store().write("PLANTED", "H1", BARS.filter(pl.col("timestamp") <= last + HOUR))
    late = resolve_signals(now=last + timedelta(days=9))
    assert 0 < late["missing"] < 5
    assert late["resolved"] == 40 - late["missing"]
    assert "the bars end at" in outcomes()["reason"].drop_nulls()[0]
    bar_store().write("PLANTED", "H1", BARS)
    assert resolve_signals() == NONE | {"resolved": late["missing"]}
    assert outcomes()["state"].unique().to_list() == ["resolved"]
    assert outcomes()["reason"].null_count() == 40


def test_bars_are_waited_for_until_they_are_late() -> None:
    signals = random_signals(BARS, 1, seed=7).with_columns(bar_ts=pl.lit(END))
    assert told(signals)["state"].to_list() == ["waiting"]
    (row,) = resolved(numbered(signals), BARS, RECIPE, now=END + timedelta(days=9)).to_dicts()
    assert row["state"] == "missing"
    assert "its exit was due at" in row["reason"]


def test_a_hole_right_behind_leaves_nothing_to_enter() -> None:
    holed = pl.concat([BARS[:101], BARS[141:]])
    bar = BARS["timestamp"][100]
    signals = random_signals(BARS, 2, seed=8).with_columns(
        bar_ts=pl.Series([BARS["timestamp"][97], bar]), horizon=8, stop_distance=None
    )
    before, behind = told(signals.with_columns(target_distance=None), holed).to_dicts()
    assert (before["exit_reason"], before["exit_at"]) == ("hole", BARS["timestamp"][141])
    assert behind["state"] == "void"


@pytest.mark.parametrize(
    "change", [{"horizon": 0}, {"stop_distance": 0.0}, {"stop_distance": -1.0}]
)
def test_a_rule_that_is_none_is_refused_and_holds_up_no_other(change: dict[str, float]) -> None:
    signals = random_signals(BARS, 30, seed=9)
    name, value = next(iter(change.items()))
    wrong = pl.when(pl.int_range(pl.len()) == 4).then(value).otherwise(pl.col(name))
    states = told(signals.with_columns(wrong.cast(signals.schema[name]).alias(name)))["state"]
    assert states[4] == "refused"
    assert (states == "resolved").sum() >= 28


def test_a_model_whose_record_cannot_be_read_is_told() -> None:
    bar_store().write("PLANTED", "H1", BARS)
    record_model()
    record_model("n", recipe=replace(RECIPE, horizon=3), champion=False)
    publish(random_signals(BARS[:700], 10, seed=10))
    publish(random_signals(BARS[700:1_400], 10, seed=11, model="n"))
    with db.engine().begin() as connection:
        connection.execute(text("UPDATE model SET parameters = '{}' WHERE model_id = 'n'"))
    assert resolve_signals() == NONE | {"resolved": 10, "refused": 10}
    refused = outcomes().filter(pl.col("state") == "refused")
    assert "horizon" in refused["reason"][0]


def test_a_price_that_is_no_number_is_refused() -> None:
    bars = BARS[:50].with_columns(close=float("nan"))
    with pytest.raises(ValueError, match="is no number"):
        told(random_signals(bars, 1, seed=1), bars)
