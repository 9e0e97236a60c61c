"""Trades that meet a hole in the bars or a closure of the market."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.market.hours import calendar_of
from tasks.research.measure import closing_of, segments_of
from tests.tasks.frames import bars_of, flat_bars
from tests.tasks.research.test_simulation import FLAT, only_trade, rising, run

HOLED = np.repeat(np.array([0, 1], dtype=np.int32), [5, 7])
"""A hole between bars 4 and 5."""


@pytest.mark.parametrize(
    ("signal", "leave", "reason"),
    [(0, 4, "time"), (1, 5, "hole"), (2, 5, "hole"), (3, 5, "hole"), (5, 9, "time")],
)
def test_a_hole_closes_at_the_first_open_after_it(signal: int, leave: int, reason: str) -> None:
    bars = rising(12)
    for side in ("long", "short"):
        simulation = run(bars, {signal: side}, segments=HOLED)
        trade = only_trade(simulation)
        assert (trade["exit_reason"], trade["bars_held"]) == (reason, leave - signal - 1)
        assert trade["exit_time"] == bars["timestamp"][leave]
        half = -0.1 if side == "long" else 0.1
        assert trade["exit_price"] == pytest.approx(99.0 + leave + half)
        marked = simulation.equity["equity"][leave:]
        assert marked.to_list() == pytest.approx([1 + trade["gain"]] * (12 - leave))


def test_a_hole_fills_beyond_the_barriers_at_its_open() -> None:
    for after in (50.0, 150.0):
        bars = bars_of([*[FLAT] * 5, *[(after,) * 4] * 7])
        trade = only_trade(run(bars, {2: "long"}, segments=HOLED, stop=1.0, target=1.0))
        assert (trade["exit_reason"], trade["exit_price"]) == ("hole", pytest.approx(after - 0.1))


def test_a_signal_right_before_a_hole_has_died_and_the_next_is_taken() -> None:
    bars = rising(12)
    trade = only_trade(run(bars, {4: "long", 5: "short"}, segments=HOLED))
    assert trade["signal_time"] == bars["timestamp"][5]


@pytest.mark.parametrize(
    ("opposite", "leave", "reason"), [(3, 4, "opposite"), (4, 5, "hole"), (5, 5, "hole")]
)
def test_an_opposite_signal_never_closes_beyond_the_hole(
    opposite: int, leave: int, reason: str
) -> None:
    bars = rising(12)
    trades = run(bars, {2: "long", opposite: "short"}, segments=HOLED, horizon=5).trades
    first = trades.row(0, named=True)
    assert (first["exit_reason"], first["exit_time"]) == (reason, bars["timestamp"][leave])
    assert trades.height == 1 + (opposite == 5)  # the first bar after the hole may signal again


def week(**prices: tuple[float, ...]) -> pl.DataFrame:
    """Hours of a winter week of forex and the next one; `monday` is what comes after Friday."""
    hours = flat_bars(14 * 24)
    opened = hours.filter(calendar_of("EUR_USD").is_open(hours["timestamp"]))
    after = opened["timestamp"] > datetime(2018, 1, 13, tzinfo=UTC)
    names = ("open", "high", "low", "close")
    late = dict(zip(names, prices.get("monday", FLAT), strict=True))
    return opened.with_columns(
        pl.when(after).then(late[name]).otherwise(name).alias(name) for name in names
    )


def over_friday(bars: pl.DataFrame, marks: Mapping[datetime, str], **options: Any) -> pl.DataFrame:
    rows = {int(bars["timestamp"].index_of(moment)): side for moment, side in marks.items()}  # type: ignore[arg-type]
    given = {
        "segments": segments_of(bars, "EUR_USD", "H1"),
        "closing": closing_of(bars, "EUR_USD", "H1"),
    } | options
    return run(bars, rows, **given).trades


FRIDAY = [datetime(2018, 1, 12, hour, tzinfo=UTC) for hour in range(24)]
SUNDAY = datetime(2018, 1, 14, 22, tzinfo=UTC)


def test_friday_evening_enters_nothing_unless_it_may() -> None:
    bars, last = week(), FRIDAY[21]
    assert over_friday(bars, {last: "long"}).is_empty()
    asked = over_friday(bars, {last: "long"}, closing=None)
    assert asked["entry_time"].to_list() == [SUNDAY]
    next_one = over_friday(bars, {last: "long", SUNDAY: "short"})
    assert next_one["signal_time"].to_list() == [SUNDAY]


def test_a_position_over_a_weekend_pays_its_gap() -> None:
    bars = week(monday=(97.0, 97.0, 97.0, 97.0))
    kept = over_friday(bars, {FRIDAY[20]: "long"}).row(0, named=True)
    assert (kept["entry_time"], kept["exit_reason"]) == (FRIDAY[21], "time")
    assert kept["exit_time"] == SUNDAY + timedelta(hours=2)
    stopped = over_friday(bars, {FRIDAY[20]: "long"}, stop=1.0).row(0, named=True)
    assert (stopped["exit_time"], stopped["exit_reason"]) == (SUNDAY, "stop")
    assert stopped["exit_price"] == pytest.approx(97.0 - 0.1)


def test_a_signal_before_a_closure_is_as_good_as_none() -> None:
    marks = {FRIDAY[18]: "long", FRIDAY[21]: "short"}
    trade = over_friday(week(), marks, horizon=8).row(0, named=True)
    assert (trade["exit_reason"], trade["bars_held"]) == ("time", 8)
    also = over_friday(week(), marks, horizon=8, closing=None).row(0, named=True)
    assert (also["exit_reason"], also["exit_time"]) == ("opposite", SUNDAY)


def test_distances_stay_with_their_signals_where_some_are_left_out() -> None:
    bars = week(monday=(97.0, 97.0, 97.0, 97.0))
    marks, stop = {FRIDAY[21]: "long", SUNDAY: "long"}, pl.Series([0.01, 5.0])
    trade = over_friday(bars, marks, stop=stop).row(0, named=True)
    assert (trade["signal_time"], trade["exit_reason"]) == (SUNDAY, "time")
