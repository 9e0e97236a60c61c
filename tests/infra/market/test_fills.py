"""The rules of fills: one by one, and all of them together against the kernel of outcomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.bars import TIME
from infra.market import fills
from infra.market.timeframes import bar_length
from kernels.outcomes import SIDES, Outcomes, Quotes, outcomes
from tasks.research.measure import closing_of, segments_of

HOUR = timedelta(hours=1)
FRIDAY = datetime(2018, 1, 12, tzinfo=UTC)
SUNDAY = datetime(2018, 1, 14, 22, tzinfo=UTC)


def test_an_entry_pays_the_worse_side_and_slippage() -> None:
    assert fills.entry_price("long", 1.0, 1.5, 0.25) == 1.75
    assert fills.entry_price("short", 1.0, 1.5, 0.25) == 0.75
    assert fills.entry_price("long", *map(Decimal, ("1.1", "1.2", "0.01"))) == Decimal("1.21")
    assert (fills.leaving_price("long", 1, 2), fills.leaving_price("short", 1, 2)) == (1, 2)


@pytest.mark.parametrize(
    ("side", "opened", "low", "high", "told"),
    [
        ("long", 10.0, 9.5, 10.5, None),
        ("long", 8.5, 8.0, 12.0, (8.5, "stop")),
        ("long", 9.0, 9.0, 9.0, (9.0, "stop")),
        ("long", 10.0, 8.0, 12.0, (9.0, "stop")),
        ("long", 10.0, 10.0, 12.0, (11.0, "target")),
        ("long", 12.0, 12.0, 12.0, (11.0, "target")),
        ("short", 11.5, 8.0, 12.0, (11.5, "stop")),
        ("short", 10.0, 8.0, 11.0, (11.0, "stop")),
        ("short", 10.0, 9.0, 10.0, (9.0, "target")),
    ],
    ids=[
        *("neither", "gap", "at it", "both", "target", "gap beyond the target"),
        *("short gap", "short both", "short target"),
    ],
)
@pytest.mark.parametrize("kind", [float, Decimal])
def test_stop_and_target_of_one_bar(
    side: str, opened: float, low: float, high: float, told: Any, kind: Any
) -> None:
    stop, target = (9.0, 11.0) if side == "long" else (11.0, 9.0)
    opened, low, high, stop, target = map(kind, (opened, low, high, stop, target))
    found = fills.at_open(side, opened, stop) or fills.within(side, low, high, stop, target)
    assert found == told
    assert fills.at_open(side, opened, None) is fills.within(side, low, high, None, None) is None


@pytest.mark.parametrize(
    ("bar", "timeframe", "dies"),
    [
        (FRIDAY + 9 * HOUR, "H1", FRIDAY + 11 * HOUR),
        (FRIDAY + 20 * HOUR, "H1", FRIDAY + 22 * HOUR),
        (FRIDAY + 21 * HOUR, "H1", SUNDAY + HOUR),
        (FRIDAY + 21.75 * HOUR, "M15", SUNDAY + HOUR / 4),
        (FRIDAY + 22 * HOUR - 24 * HOUR, "D1", SUNDAY + 24 * HOUR),
        (datetime(2018, 7, 6, 20, tzinfo=UTC), "H1", datetime(2018, 7, 8, 22, tzinfo=UTC)),
    ],
    ids=["morning", "to the close", "Friday's last", "its last quarter", "its day", "summer"],
)
def test_a_signal_dies_by_the_markets_time(bar: datetime, timeframe: str, dies: datetime) -> None:
    assert fills.valid_until(bar, "EUR_USD", timeframe) == dies
    alive = bar + 2 * bar_length(timeframe)
    assert fills.valid_until(bar, "PLANTED", timeframe) == alive
    assert fills.closes_market(bar, "EUR_USD", timeframe) == (dies > alive)
    assert not fills.closes_market(bar, "BTC_USD", timeframe)


@given(st.integers(0, 400), st.sampled_from(["EUR_USD", "PLANTED"]), st.sampled_from(["M15", "H1"]))
def test_the_market_closes_after_the_bars_that_the_simulation_leaves_out(
    hours: int, pair: str, timeframe: str
) -> None:
    bars = pl.DataFrame({"timestamp": [datetime(2017, 12, 20, tzinfo=UTC) + hours * HOUR]})
    expected = closing_of(bars.cast(TIME), pair, timeframe)[0]
    assert fills.closes_market(bars["timestamp"][0], pair, timeframe) == expected


def test_a_time_exit_counts_bars_and_a_hole_ends_at_the_first_after_it() -> None:
    starts = [FRIDAY + n * HOUR for n in (*range(18, 22), *range(70, 74))]
    due = [fills.exit_due(starts[:n], 3, "EUR_USD", "H1") for n in range(1, 9)]
    assert due == [None] * 4 + [(SUNDAY, "time")] * 4
    assert fills.exit_due(starts[:5], 5, "BTC_USD", "H1") == (SUNDAY, "hole")
    assert fills.exit_due(starts, 5, "EUR_USD", "H1") == (SUNDAY + 2 * HOUR, "time")
    assert fills.exit_due([FRIDAY, SUNDAY], 5, "EUR_USD", "H1") == (SUNDAY, "hole")
    assert fills.exit_due(starts, 3, "BTC_USD", "H1") == (SUNDAY, "hole")  # by both


@pytest.mark.parametrize(
    ("bar", "horizon", "due"), [(9, 3, 13), (20, 1, 70), (18, 3, 70), (21, 2, 72)]
)
def test_without_bars_the_calendar_says_when_to_leave(bar: int, horizon: int, due: int) -> None:
    computed = fills.exit_due_by_calendar(FRIDAY + bar * HOUR, horizon, "EUR_USD", "H1")
    assert computed == FRIDAY + due * HOUR
    hours = [FRIDAY + n * HOUR for n in (*range(bar, 22), *range(70, 80))]
    assert fills.exit_due(hours, horizon, "EUR_USD", "H1") == (computed, "time")


def test_an_exit_is_as_late_as_the_clock() -> None:
    assert fills.lateness(FRIDAY, SUNDAY) == SUNDAY - FRIDAY
    assert fills.lateness(SUNDAY, FRIDAY) == timedelta(0)


def test_only_hours_in_which_no_venue_trades_are_halted() -> None:
    eve = datetime(2017, 12, 22, 20, tzinfo=UTC)
    assert fills.halted("EUR_USD", FRIDAY + 22 * HOUR)
    assert not fills.halted("EUR_USD", eve)
    assert not fills.halted("PLANTED", FRIDAY + 22 * HOUR)


@st.composite
def histories(draw: Any) -> tuple[pl.DataFrame, Quotes, str]:
    """Bars with weekends, holes and missing hours; prices lie close, so that barriers tie."""
    gaps = draw(st.lists(st.sampled_from([1] * 12 + [2, 5, 13, 14, 30]), min_size=2, max_size=60))
    hours = np.cumsum([draw(st.integers(0, 200)), *gaps]).tolist()
    times = [datetime(2018, 1, 8, tzinfo=UTC) + hour * HOUR for hour in hours]
    seed = draw(st.integers(0, 2**32 - 1))
    step = draw(st.sampled_from([0.01, 0.1, 1 / 3]))
    ticks = 100 + step * np.random.default_rng(seed).integers(-6, 7, (len(times), 4, 2))
    bid, ask = ticks[:, :, 0], ticks[:, :, 0] + step * np.abs(ticks[:, :, 1] - 100)
    sides = [(p[:, 0], p.max(1), p.min(1), p[:, 3]) for p in (bid, ask)]
    columns = [np.ascontiguousarray(column) for side in sides for column in side]
    pair = draw(st.sampled_from(["EUR_USD", "PLANTED", "BTC_USD"]))
    return pl.DataFrame({"timestamp": times}, schema={"timestamp": TIME}), Quotes(*columns), pair


distances = st.sampled_from([0.05, 0.1, 1 / 3, 1.0, float("inf")])


@settings(max_examples=300, deadline=None)
@given(
    histories(),
    st.integers(1, 9),
    st.none() | distances,
    st.none() | distances,
    st.sampled_from([0.0, 0.05, 1 / 7]),
    st.booleans(),
)
def test_a_slow_replay_by_the_rules_is_the_kernel_bit_for_bit(
    history: tuple[pl.DataFrame, Quotes, str],
    horizon: int,
    stop: float | None,
    target: float | None,
    slippage: float,
    weekend: bool,
) -> None:
    bars, quotes, pair = history
    n = bars.height
    computed = outcomes(
        quotes,
        segments_of(bars, pair, "H1"),
        horizon=horizon,
        stop=None if stop is None else np.full(n, stop),
        target=None if target is None else np.full(n, target),
        slippage=slippage,
        closing=None if weekend else closing_of(bars, pair, "H1"),
        engine="cpu",
    )
    starts = bars["timestamp"].to_list()
    for t in range(n):
        for column, side in enumerate(SIDES):
            told = trade(t, side, starts, quotes, pair, horizon, stop, target, slippage, weekend)
            assert outcome(computed, t, column) == told


def outcome(computed: Outcomes, t: int, column: int) -> tuple[Any, ...] | None:
    if computed.exit_bar[t, column] < 0:
        assert np.isnan(computed.gain[t, column])
        assert computed.win[t, column] == -1
        return None
    names = ("exit_bar", "entry_price", "exit_price", "gain", "win")
    return tuple(getattr(computed, name)[t, column].item() for name in names)


def trade(
    t: int, side: str, starts: list[datetime], quotes: Quotes, pair: str, horizon: int,
    stop: float | None, target: float | None, slippage: float, weekend: bool,
) -> tuple[Any, ...] | None:  # fmt: skip
    """Follow one trade bar by bar, as an executor would."""
    if t + horizon + 1 >= len(starts) or fills.is_hole(starts[t], starts[t + 1], pair, "H1"):
        return None
    if not weekend and fills.closes_market(starts[t], pair, "H1"):
        return None
    paid = fills.entry_price(side, quotes.bid_open[t + 1], quotes.ask_open[t + 1], slippage)
    stop = None if stop is None else fills.stop_level(side, paid, stop)
    target = None if target is None else fills.target_level(side, paid, target)
    leaving = "bid" if side == "long" else "ask"
    opened, high, low = (getattr(quotes, f"{leaving}_{p}") for p in ("open", "high", "low"))
    for u in range(t + 1, len(starts)):
        if fills.exit_due(starts[t : u + 1], horizon, pair, "H1"):
            return ended(u, side, paid, opened[u])
        fill = fills.at_open(side, opened[u], stop)
        if fill := fill or fills.within(side, low[u], high[u], stop, target):
            return ended(u, side, paid, fill.price)
    raise AssertionError("no end")


def ended(bar: int, side: str, paid: float, left: float) -> tuple[Any, ...]:
    gain = (left - paid) / paid if side == "long" else -(left - paid) / paid
    return bar, paid, left, gain, int(gain > 0)
