"""The executor with its journal, on paper in the database, trades as the simulation does."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from infra.brokers.keeping import Database
from infra.brokers.paper import PaperBroker
from infra.brokers.prices import ArrayPrices
from infra.clock import VirtualClock
from infra.market.fills import closes_market, valid_until
from infra.market.hours import calendar_of
from infra.market.quotes import Costs
from infra.postgres.database import session
from tasks.research.measure import closing_of, segments_of
from tasks.research.simulation import simulate
from tasks.trading.execution import Executor, cycle
from tasks.trading.report import Report
from tasks.trading.risk.limits import Limits
from tasks.trading.rounds import leased
from tasks.trading.sizing import Units
from tests.tasks.frames import HOUR, random_bars, random_signals
from tests.tasks.trading.desk import model, positions, publish

PAIR, HORIZON, STOP = "PLANTED_GAPS", 6, 0.3
THURSDAY = datetime(2018, 1, 11, tzinfo=UTC)
COSTS = Costs(spread=0.02)
OFF = Limits(
    max_risk=Decimal("0.2"), max_entries=500, cool_down_after=None, weekend_hours=None,
    daily_loss=None, trailing_drawdown=None,
)  # fmt: skip


def hours() -> pl.DataFrame:
    """Hours of forex over a weekend, less a few and a whole half day."""
    n = 24 * 7
    times = pl.Series([THURSDAY + k * HOUR for k in range(n)], dtype=pl.Datetime("us", "UTC"))
    kept = np.ones(n, np.bool_)
    kept[[5, 13, 14, 100, 130, 131]] = False
    kept[112:128] = False
    opened = calendar_of(PAIR).is_open(times)
    return random_bars(n, seed=4).with_columns(timestamp=times).filter(pl.Series(kept) & opened)


def test_journal_and_simulation_agree_over_weekend_holes_and_missing_hours(database: str) -> None:
    bars = hours()
    signals = random_signals(bars, seed=8, share=0.2)
    # a stop stands before its order is filled: only a fill at the quote has the simulation's
    follows = bars["timestamp"].diff().shift(-1) == HOUR
    signals = signals.filter(
        signals["timestamp"].is_in(bars["timestamp"].filter(follows).implode())
    )
    trades = simulate(
        bars,
        signals,
        segments=segments_of(bars, PAIR, "H1"),
        horizon=HORIZON,
        costs=COSTS,
        stop=STOP,
        closing=closing_of(bars, PAIR, "H1"),
    ).trades
    report = executed(bars, signals)
    done = [each for each in positions() if each.closed_at is not None]
    assert [each.side for each in done] == trades["side"].to_list(), report
    assert [each.opened_at for each in done] == trades["entry_time"].to_list()
    assert [each.closed_at for each in done] == trades["exit_time"].to_list()
    for each, reason in zip(done, trades["exit_reason"], strict=True):
        assert each.exit_reason in (reason, "stop")  # at one open the broker's stop comes first
    for ours, theirs in (("entry_price", "entry_price"), ("exit_price", "exit_price")):
        told = [float(getattr(each, ours)) for each in done]
        assert told == pytest.approx(trades[theirs].to_list(), rel=1e-12)
    assert {each.exit_reason for each in done} >= {"time", "stop", "opposite"}
    assert "hole" in trades["exit_reason"]
    assert database


def executed(bars: pl.DataFrame, signals: pl.DataFrame) -> Report:
    """Publish the signals and let the clock go from bar to bar."""
    starts = bars["timestamp"].to_list()
    tellable = starts[: -HORIZON - 1]
    with session() as opened:
        opened.add(model())
    for bar, side in signals.select("timestamp", "side").iter_rows():
        if bar in tellable and not closes_market(bar, PAIR, "H1"):
            told = {"bar_ts": bar, "valid_until": valid_until(bar, PAIR, "H1"), "pair": PAIR}
            publish(0, side, stop_distance=STOP, horizon=HORIZON, **told)
    source = ArrayPrices({(PAIR, "H1"): bars}, costs=lambda _: COSTS)
    clock, report = VirtualClock(THURSDAY), Report()
    broker = PaperBroker(source, Database("paper"), clock, currency="USD")
    executor = Executor("paper", broker, clock, OFF, Units(units=Decimal(100)))
    for moment in sorted({*starts, *(start + HOUR for start in starts)}):
        clock.moment = moment
        with leased("paper", "a test") as lease:
            report.add(cycle(executor, lease))
    return report
