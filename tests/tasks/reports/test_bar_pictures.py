"""Pictures of bars: few and many, whole and with holes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from infra.sources import sample
from tasks.intake import validation
from tasks.reports.bar_pictures import CANDLES, completeness, draw_bars
from tests.tasks.reports.test_pictures import ink, opened

PAIR = ("EUR_USD", "H1")


@pytest.fixture(scope="module")
def hours() -> pl.DataFrame:
    rows = sample.read_sample()
    return validation.validate(rows, timeframe="H1", clock=sample.CLOCK).bars


@pytest.mark.parametrize("n", [1, 2, CANDLES, CANDLES + 1, 5_000])
def test_any_number_of_bars_is_drawn_and_the_same_again(hours: pl.DataFrame, n: int) -> None:
    picture = draw_bars(hours.head(n), *PAIR)
    assert 0.005 < ink(picture) < 0.6
    assert opened(picture).height > 500
    assert draw_bars(hours.head(n), *PAIR) == picture


def test_bars_of_one_price_are_drawn(hours: pl.DataFrame) -> None:
    flat = hours.head(20).with_columns(pl.lit(1.2).alias(name) for name in ("open", "high", "low"))
    assert ink(draw_bars(flat.with_columns(close=pl.lit(1.2)), *PAIR)) > 0.005


def test_a_hole_is_seen(hours: pl.DataFrame) -> None:
    bars = hours.head(1_000)
    holed = pl.concat([bars.head(400), bars.tail(400)])
    assert completeness(bars, "H1")["there"].mean() == 1.0
    there = completeness(holed, "H1")
    missing = there.filter(~pl.col("there"))["timestamp"]
    assert missing.is_between(holed["timestamp"][399], holed["timestamp"][400]).all()
    assert 150 < len(missing) <= 200
    assert draw_bars(holed, *PAIR) != draw_bars(bars, *PAIR)


def test_bars_in_closed_time_alone_are_drawn(hours: pl.DataFrame) -> None:
    saturday = datetime(2018, 1, 6, 10, tzinfo=UTC)
    times = [saturday + timedelta(hours=hour) for hour in range(3)]
    bars = hours.head(3).with_columns(timestamp=pl.Series(times, dtype=pl.Datetime("us", "UTC")))
    assert ink(draw_bars(bars, *PAIR)) > 0.005
