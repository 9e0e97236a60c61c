"""Stress: the same signals a bar later, the same trades at a wider spread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from infra.bars import PRICES, QUOTES
from infra.market.quotes import Costs, with_quotes
from tasks.gate.stress import later, wider

HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
TIMES = pl.Series([BEGIN + n * HOUR for n in range(6)])


def test_each_signal_comes_a_bar_later_and_the_last_one_not_at_all() -> None:
    times = TIMES.gather([0, 1, 4, 5])
    moved = later(pl.DataFrame({"timestamp": times, "n": [0, 1, 4, 5]}), TIMES)
    assert moved["timestamp"].to_list() == TIMES.gather([1, 2, 5]).to_list()
    assert moved["n"].to_list() == [0, 1, 4]


def bars() -> pl.DataFrame:
    prices = {name: [1.1, 1.2, 1.3, 1.2, 1.1, 1.0] for name in PRICES}
    return pl.DataFrame({"timestamp": TIMES, **prices})


@pytest.mark.parametrize("quoted", [True, False])
def test_the_spread_is_wider_by_the_factor_and_mids_stay(quoted: bool) -> None:
    costs = Costs(0.0002, 0.0001, 0.0001)
    plain = with_quotes(bars(), costs) if quoted else bars()
    more, dearer = wider(plain, costs, 1.5)
    before, after = with_quotes(plain, costs), with_quotes(more, dearer)
    for price in PRICES:
        spreads = [each[f"ask_{price}"] - each[f"bid_{price}"] for each in (before, after)]
        assert spreads[1].to_list() == pytest.approx((1.5 * spreads[0]).to_list())
        mids = [each[f"ask_{price}"] + each[f"bid_{price}"] for each in (before, after)]
        assert mids[1].to_list() == pytest.approx(mids[0].to_list())
    assert dearer.slippage == costs.slippage
    assert set(QUOTES) & set(more.columns) == (set(QUOTES) if quoted else set())
