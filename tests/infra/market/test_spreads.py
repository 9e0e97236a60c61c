"""Spreads by hour of New York's week: measured, built in, and what they make of bars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from infra.bars import PRICES, QUOTES, TIME
from infra.market.quotes import Costs, with_quotes
from infra.market.spreads import HOURS, LEAST_QUOTES, SHAPE, hour_of_week, measured

NEW_YORK = ZoneInfo("America/New_York")
START = datetime(2018, 2, 26, tzinfo=UTC)
"""Two weeks before New York's clocks go forward."""
WEEKS = 8


def slow_hour(moment: datetime) -> int:
    local = moment.astimezone(NEW_YORK)
    return 24 * local.weekday() + local.hour


def hours(weeks: int = WEEKS, *, quoted: bool = True, seed: int = 1) -> pl.DataFrame:
    """Hours of Monday to Friday, UTC, their spreads at random."""
    moments = [START + timedelta(hours=i) for i in range(weeks * HOURS)]
    moments = [moment for moment in moments if moment.weekday() < 5]
    spread = np.random.default_rng(seed).integers(1, 40, len(moments)) * 1e-5
    bars = pl.DataFrame({"timestamp": pl.Series(moments, dtype=TIME)})
    bars = bars.with_columns(pl.lit(1.2).alias(price) for price in PRICES)
    sides = (("bid", -1), ("ask", 1)) if quoted else ()
    return bars.with_columns(
        pl.Series(f"{side}_{price}", 1.2 + sign * spread / 2)
        for side, sign in sides
        for price in PRICES
    )


def test_hours_are_new_yorks_in_summer_and_winter() -> None:
    bars = hours()
    slow = [slow_hour(moment) for moment in bars["timestamp"]]
    assert hour_of_week(bars["timestamp"]).tolist() == slow
    assert slow_hour(datetime(2018, 3, 14, 21, tzinfo=UTC)) == 2 * 24 + 17


def test_the_built_in_hours_are_a_week_around_one() -> None:
    assert len(SHAPE) == HOURS
    assert np.median(SHAPE[:96]) == pytest.approx(0.96, abs=0.05)
    by_hour = dict(enumerate(SHAPE))
    assert by_hour[17] > 1.5 > by_hour[4 * 24 + 16] > 1.0 > by_hour[4 * 24 + 15]
    sunday = 6 * 24 + 17
    assert max(SHAPE) == by_hour[sunday] == by_hour[sunday - 1] == by_hour[4 * 24 + 17]
    assert by_hour[sunday + 1] == 3.08


def test_measured_multiples_are_medians() -> None:
    bars = hours()
    table = measured(bars, "EUR_USD H1")
    assert table is not None
    spread = (bars["ask_open"] - bars["bid_open"]).to_numpy()
    assert table.spread == np.median(spread)
    mine: dict[int, list[float]] = {}
    for moment, each in zip(bars["timestamp"], spread, strict=True):
        mine.setdefault(slow_hour(moment), []).append(each)
    for hour, multiple in enumerate(table.hours):
        if len(mine.get(hour, ())) >= LEAST_QUOTES:
            assert multiple == pytest.approx(np.median(mine[hour]) / table.spread)
        else:
            assert multiple == SHAPE[hour]
    assert table.source.endswith("of EUR_USD H1, 2018-02-26 to 2018-04-20")


def test_what_nobody_quoted_measures_nothing() -> None:
    assert measured(hours(quoted=False), "x") is None
    assert measured(hours(3), "x") is None
    bars = hours()
    crossed = bars.with_columns(ask_open=pl.col("bid_open"))
    assert measured(crossed, "x") is None
    empty = bars.with_columns(pl.lit(None, pl.Float64).alias("ask_open"))
    assert measured(empty, "x") is None


def test_bars_without_quotes_have_the_spread_of_their_hour() -> None:
    bars, table = hours(quoted=False), tuple(1 + i / 10 for i in range(HOURS))
    quoted = with_quotes(bars, Costs(2e-4, spread_share=1e-4, hours=table))
    expected = [(2e-4 + 1.2e-4) * table[slow_hour(moment)] for moment in bars["timestamp"]]
    for price in PRICES:
        spread, mid = (f"{side}_{price}" for side in ("ask", "bid"))
        assert (quoted[spread] - quoted[mid]).to_list() == pytest.approx(expected)
        assert ((quoted[spread] + quoted[mid]) / 2).to_list() == pytest.approx(bars[price])


def test_bars_with_quotes_keep_them() -> None:
    bars = hours()
    half = bars.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(name).alias(name) for name in QUOTES
    )
    quoted = with_quotes(half, Costs(2e-4, hours=SHAPE))
    kept = pl.int_range(pl.len()) % 2 == 0
    assert quoted.filter(kept)["ask_open"].equals(bars.filter(kept)["ask_open"])
    others = quoted.filter(~kept)
    expected = [2e-4 * SHAPE[slow_hour(moment)] for moment in others["timestamp"]]
    assert (others["ask_open"] - others["bid_open"]).to_list() == pytest.approx(expected)


@pytest.mark.parametrize("table", [(1.0,) * (HOURS - 1), (-1.0,) * HOURS, (float("nan"),) * HOURS])
def test_a_table_is_a_week_of_multiples(table: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="168 multiples"):
        Costs(hours=table)
