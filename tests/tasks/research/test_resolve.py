"""Where a recipe enters trades: not before the market closes, unless it says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from infra.market.hours import calendar_of
from tasks.research.recipe import Recipe
from tasks.research.resolve import closing, resolve, with_distances
from tests.tasks.frames import random_bars

HOUR = timedelta(hours=1)
HORIZON = 8
LAST = [datetime(2018, 1, day, 21, tzinfo=UTC) for day in (12, 19)]
"""The hours from Monday 8 January 2018 on before a weekend of forex."""


def forex_hours() -> pl.DataFrame:
    """Bars of two weeks and a half with what `measure` would say of them that counts here."""
    bars = random_bars(17 * 24, seed=1).with_columns(sigma=1e-3, segment=pl.lit(0, pl.Int32))
    return bars.filter(calendar_of("EUR_USD").is_open(bars["timestamp"]))


def recipe(pair: str = "EUR_USD", *, weekend: bool = False) -> Recipe:
    return Recipe.default(pair, "H1", horizon=HORIZON, weekend=weekend)


@pytest.mark.parametrize(
    ("made", "last"),
    [
        (recipe(), LAST),
        (recipe(weekend=True), []),
        (recipe("BTC_USD"), []),
        (recipe("PLANTED"), []),
    ],
)
def test_no_trade_is_entered_before_the_market_closes(made: Recipe, last: list[datetime]) -> None:
    bars = forex_hours()
    told = with_distances(bars, made)
    assert told["closing"].dtype == pl.Boolean
    assert told.filter("closing")["timestamp"].to_list() == last
    assert closing(bars, made).tolist() == told["closing"].to_list()
    out = resolve(bars, bars, made, engine="cpu")
    null = np.isnan(out.gain).all(axis=1)[: -HORIZON - 1]
    assert bars["timestamp"].head(null.size).filter(null).to_list() == last
    assert np.isnan(out.gain[-HORIZON - 1 :]).all()


def test_a_hole_makes_only_its_own_bar_null() -> None:
    bars = forex_hours().with_columns(segment=(pl.int_range(pl.len()) >= 50).cast(pl.Int32))
    out = resolve(bars, bars, recipe(weekend=True), engine="cpu")
    assert np.flatnonzero(out.exit_bar[: -HORIZON - 1, 0] < 0).tolist() == [49]
    assert (out.exit_bar[:49] <= 50).all()
