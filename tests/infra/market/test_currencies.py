"""Money of one currency in another, at the time, or a sentence that says why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.market.currencies import OLDEST, rate
from infra.market.instrument import NO_CURRENCY

START = datetime(2025, 3, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
TIME = pl.Datetime("us", "UTC")
Opens = dict[datetime, float]


class Bars:
    """Bars of some pairs; it notes what was asked for."""

    def __init__(self, **pairs: Opens) -> None:
        self.pairs = pairs
        self.asked: list[str] = []

    def __call__(self, pair: str, start: datetime, end: datetime) -> pl.DataFrame:
        self.asked.append(pair)
        rows = {t: p for t, p in self.pairs.get(pair, {}).items() if start <= t < end}
        columns = {"timestamp": list(rows), "open": list(rows.values())}
        schema: dict[str, Any] = {"timestamp": TIME, "open": pl.Float64}
        # the close is never looked at: it is not known when the bar begins
        return pl.DataFrame(columns, schema=schema).with_columns(close=pl.lit(float("nan")))


def times(*moments: datetime) -> pl.Series:
    return pl.Series(moments, dtype=TIME)


def naive(opens: Opens, moment: datetime) -> float | None:
    known = [t for t in opens if moment - OLDEST <= t <= moment]
    return opens[max(known)] if known else None


def test_the_same_currency_and_none_need_no_rate() -> None:
    bars = Bars()
    for quote in ("USD", NO_CURRENCY):
        assert rate(quote, "USD", times(START, START), bars).values.to_list() == [1.0, 1.0]
    assert bars.asked == []


def test_yen_are_dollars_by_the_inverse_of_that_time() -> None:
    bars = Bars(USD_JPY={START: 150.0, START + HOUR: 151.5, START + 2 * HOUR: 152.0})
    values, missing = rate("JPY", "USD", times(START + HOUR, START, START + 1.5 * HOUR), bars)
    assert values.to_list() == [1 / 151.5, 1 / 150.0, 1 / 151.5]
    assert missing is None


def test_euros_are_dollars_by_the_pair_itself() -> None:
    bars = Bars(EUR_USD={START: 1.08}, USD_EUR={START: 5.0})
    assert rate("EUR", "USD", times(START + HOUR), bars).values.to_list() == [1.08]


def test_yen_are_euros_by_way_of_the_dollar() -> None:
    bars = Bars(USD_JPY={START: 150.0}, EUR_USD={START: 1.25})
    values, missing = rate("JPY", "EUR", times(START), bars)
    assert values.to_list() == pytest.approx([1 / 150 / 1.25])
    assert missing is None


def test_a_cross_that_is_there_comes_before_the_dollar() -> None:
    bars = Bars(EUR_JPY={START: 160.0}, USD_JPY={START: 150.0}, EUR_USD={START: 1.25})
    assert rate("JPY", "EUR", times(START), bars).values.to_list() == [1 / 160]


def test_the_freshest_counts() -> None:
    old, now = START, START + 4 * timedelta(days=1)
    legs = {"USD_JPY": {now: 150.0}, "EUR_USD": {now: 1.25}}
    stale = Bars(EUR_JPY={old: 160.0}, **legs)
    assert rate("JPY", "EUR", times(now, old), stale).values.to_list() == pytest.approx(
        [1 / 150 / 1.25, 1 / 160]
    )
    # by way of the dollar it is as old as the older of both
    half = Bars(EUR_JPY={old + HOUR: 160.0}, USD_JPY={now: 150.0}, EUR_USD={old: 1.25})
    assert rate("JPY", "EUR", times(now), half).values.to_list() == [1 / 160]
    turned = Bars(JPY_USD={old: 0.007}, USD_JPY={now: 200.0})
    assert rate("JPY", "USD", times(now), turned).values.to_list() == [1 / 200]


def test_each_time_takes_what_it_can_get() -> None:
    late = START + 10 * OLDEST
    bars = Bars(JPY_USD={START: 0.007}, USD_JPY={late: 200.0})
    values, missing = rate("JPY", "USD", times(START, late, late + 2 * OLDEST), bars)
    assert values.to_list() == [0.007, 1 / 200, None]
    assert missing is not None
    assert f"{late + 2 * OLDEST:%Y-%m-%d %H:%M}" in missing


def test_the_future_and_the_distant_past_are_no_rate() -> None:
    bars = Bars(USD_JPY={START: 150.0})
    before, last = START - timedelta.resolution, START + OLDEST
    values, missing = rate("JPY", "USD", times(before, last, last + timedelta.resolution), bars)
    assert values.to_list() == [None, 1 / 150, None]
    assert missing is not None
    assert "JPY cannot be told in USD at 2025-03-02 23:59" in missing
    assert "JPY_USD or USD_JPY" in missing


def test_without_bars_it_says_what_to_ingest() -> None:
    values, missing = rate("JPY", "EUR", times(START), Bars())
    assert values.to_list() == [None]
    assert missing is not None
    assert "JPY_USD and EUR_USD" in missing or "of JPY_USD" in missing
    assert rate("JPY", "EUR", times(), Bars()).missing is None


def test_it_is_the_naive_search() -> None:
    rng = np.random.default_rng(4)
    opens = {START + int(n) * HOUR: float(100 + n % 7) for n in rng.integers(0, 900, 60)}
    moments = [START + float(n) * HOUR for n in rng.uniform(-50, 950, 300)]
    values, _ = rate("USD", "JPY", times(*moments), Bars(USD_JPY=opens))
    assert values.to_list() == [naive(opens, moment) for moment in moments]
    assert values.null_count() > 0
