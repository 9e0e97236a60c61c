"""Paper in memory, driven by the executor's decisions, trades as the simulation does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from infra.market.hours import calendar_of
from infra.market.quotes import Costs
from kernels.synthetic import WALKS, draw
from tasks.research.measure import closing_of, segments_of
from tasks.research.simulation import simulate
from tasks.trading.replay import Refusal, Rule, replay
from tests.tasks.frames import HOUR, random_bars, random_signals, signals_of
from tests.tasks.research.walks import bars_of

SAME = (
    "signal_time",
    "entry_time",
    "exit_time",
    "side",
    "entry_price",
    "exit_price",
    "exit_reason",
)


def both(
    bars: pl.DataFrame, signals: pl.DataFrame, rule: Rule, **distances: Any
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades of the simulation and of the replay."""
    closing = None if rule.weekend else closing_of(bars, rule.pair, rule.timeframe)
    simulation = simulate(
        bars,
        signals,
        segments=segments_of(bars, rule.pair, rule.timeframe),
        horizon=rule.horizon,
        costs=rule.costs,
        closing=closing,
        **distances,
    )
    none = pl.lit(None, pl.Float64)
    columns = {f"{name}_distance": distances.get(name, none) for name in ("stop", "target")}
    replayed = replay(bars, signals.with_columns(**columns), rule)
    assert replayed.refused == []
    return simulation.trades.select(SAME), replayed.trades.select(SAME)


def agree(bars: pl.DataFrame, signals: pl.DataFrame, rule: Rule, **distances: Any) -> pl.DataFrame:
    simulated, replayed = both(bars, signals, rule, **distances)
    assert_frame_equal(replayed, simulated, check_exact=True)
    return simulated


@pytest.mark.parametrize("name", WALKS)
def test_the_zoo_is_traded_as_simulated(name: str) -> None:
    bars = bars_of(draw(name, 2000, seed=7))
    signals = random_signals(bars, seed=3, share=0.1)
    unit = float(np.std(np.diff(bars["close"].to_numpy()))) * 3
    rule = Rule(WALKS[name].instrument, "H1", 8, costs=Costs(slippage=unit / 50))
    trades = agree(bars, signals, rule, stop=unit, target=1.2 * unit)
    assert set(trades["exit_reason"]) >= {"stop", "target", "opposite"}
    calm = agree(bars, signals, rule)
    assert set(calm["exit_reason"]) >= {"time", "opposite"}


def gappy(seed: int, start: datetime, hours: int) -> pl.DataFrame:
    """Hours of forex from Monday on, less a long hole and a few that are missing."""
    whole = random_bars(hours, seed=seed)
    times = pl.Series([start + n * HOUR for n in range(hours)], dtype=pl.Datetime("us", "UTC"))
    rng = np.random.default_rng(seed)
    kept = rng.random(hours) > 0.04
    for hole in rng.integers(0, hours, 4):
        kept[hole : hole + rng.integers(8, 40)] = False
    opened = calendar_of("EUR_USD").is_open(times)
    return whole.with_columns(timestamp=times).filter(pl.Series(kept) & opened)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([datetime(2018, 1, 8, tzinfo=UTC), datetime(2017, 12, 11, tzinfo=UTC)]),
    st.integers(1, 30),
    st.sampled_from([0.1, 0.5]),
    st.none() | st.floats(0.15, 1.5),
    st.none() | st.floats(0.05, 1.5),
    st.booleans(),
)
def test_hours_with_weekends_holes_and_missing_bars_agree(
    seed: int,
    start: datetime,
    horizon: int,
    share: float,
    stop: float | None,
    target: float | None,
    weekend: bool,
) -> None:
    bars = gappy(seed, start, 24 * 35)
    rule = Rule("EUR_USD", "H1", horizon, weekend, Costs(0.02, 0.005))
    agree(bars, random_signals(bars, seed=seed, share=share), rule, stop=stop, target=target)


def test_all_ends_of_a_trade_are_seen() -> None:
    bars = gappy(5, datetime(2018, 1, 8, tzinfo=UTC), 24 * 200)
    rule = Rule("EUR_USD", "H1", 9, weekend=True, costs=Costs(0.02, 0.005))
    trades = agree(bars, random_signals(bars, seed=1, share=0.1), rule, stop=0.5, target=0.4)
    assert set(trades["exit_reason"]) == {"time", "stop", "target", "opposite", "hole"}


def test_a_stop_within_the_spread_is_refused_as_at_a_venue() -> None:
    bars = random_bars(20, seed=1)
    signals = signals_of({3: "long"}, bars).with_columns(stop_distance=0.1, target_distance=None)
    costs = Costs(spread=0.2)
    replayed = replay(
        bars, signals.cast({"target_distance": pl.Float64}), Rule("PLANTED", "H1", 4, costs=costs)
    )
    assert replayed.refused == [Refusal(bars["timestamp"][3], "STOP_LOSS_ON_FILL_LOSS")]
    assert replayed.trades.is_empty()


def test_a_signal_on_no_bar_is_refused() -> None:
    bars = random_bars(20, seed=1)
    signals = signals_of({3: "long"}, bars).with_columns(
        pl.col("timestamp") + timedelta(minutes=1),
        stop_distance=pl.lit(None, pl.Float64),
        target_distance=pl.lit(None, pl.Float64),
    )
    with pytest.raises(ValueError, match="lies on no bar"):
        replay(bars, signals, Rule("PLANTED", "H1", 4))
