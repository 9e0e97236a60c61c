"""The spread by hour of the week looks at no bar of the test span, and says what it looked at."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.bars import QUOTES
from infra.market.spreads import BUILT_IN, SHAPE, measured
from infra.stores.bulk import BarStore
from tasks.research.recipe import Recipe
from tasks.research.spans import TooShort, before_test, split
from tasks.research.spreads import with_spreads
from tests.tasks.frames import random_bars, with_quotes

ASKS = Recipe.default("EUR_USD", "H1", spread_hours=SHAPE, spread_source=BUILT_IN)
WEEKS = 10
END = before_test(WEEKS * 168)


def quoted(seed: int = 1) -> pl.DataFrame:
    bars = with_quotes(random_bars(WEEKS * 168, seed=seed, price=1.2), 0.0)
    half = pl.Series(random_bars(len(bars), seed=seed + 1)["close"].to_numpy() % 1 * 1e-4 + 1e-5)
    return bars.with_columns(
        pl.col(name) + (half if name.startswith("ask") else -half) for name in QUOTES
    )


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(tmp_path / "bars")


def test_bars_of_the_test_span_change_nothing(store: BarStore, tmp_path: Path) -> None:
    bars = quoted()
    end = bars["timestamp"][END]
    store.write("EUR_USD", "H1", bars)
    whole = with_spreads(ASKS, store, end)
    assert whole.spread_source.startswith("medians by hour of the week of EUR_USD H1, 2018-01-08")
    later = pl.int_range(pl.len()) >= END
    cut, poisoned = (BarStore(tmp_path / name) for name in ("cut", "poisoned"))
    cut.write("EUR_USD", "H1", bars.head(END))
    wide = pl.when(later).then(pl.col("ask_open") * 1.5).otherwise("ask_open")
    poisoned.write("EUR_USD", "H1", bars.with_columns(ask_open=wide))
    assert with_spreads(ASKS, cut, end) == with_spreads(ASKS, poisoned, end) == whole
    assert with_spreads(ASKS, poisoned, bars["timestamp"][-1]) != whole


def test_the_nearest_timeframe_with_quotes_tells(store: BarStore) -> None:
    bars = quoted()
    end = bars["timestamp"][-1] + timedelta(hours=1)
    store.write("EUR_USD", "H1", bars.drop(QUOTES))
    store.write("GBP_USD", "H1", bars)
    store.write("EUR_USD", "D1", bars)
    assert with_spreads(ASKS, store, end) == ASKS
    store.write("EUR_USD", "M1", bars)
    store.write("EUR_USD", "M30", quoted(5))
    found, table = with_spreads(ASKS, store, end), measured(quoted(5), "EUR_USD M30")
    assert table is not None
    assert (found.spread, found.spread_hours, found.spread_source) == table


@given(st.integers(100, 3_000), st.integers(0, 600), st.integers(1, 40))
def test_what_is_before_the_test_span_is(bars: int, first: int, horizon: int) -> None:
    try:
        spans = split(first, bars, horizon)
    except TooShort:
        return
    assert 0 < before_test(bars) <= spans.test.start
