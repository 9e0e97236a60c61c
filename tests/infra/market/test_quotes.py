"""Bid and ask of bars: their own, or mid and half the usual spread."""

from __future__ import annotations

import polars as pl
import pytest

from infra.bars import PRICES, QUOTES
from infra.market.quotes import Costs, with_quotes


def bars(spread: float | None) -> pl.DataFrame:
    mid = dict.fromkeys(PRICES, 1.1)
    if spread is None:
        return pl.DataFrame([mid])
    sides = {name: 1.1 + (spread / 2 if name.startswith("ask") else -spread / 2) for name in QUOTES}
    return pl.DataFrame([{**mid, **sides}])


@pytest.mark.parametrize(("own", "counted"), [(None, 0.0002), (0.0004, 0.0004), (0.0, 0.0002)])
def test_a_spread_of_zero_costs_the_usual_one(own: float | None, counted: float) -> None:
    quoted = with_quotes(bars(own), Costs(spread=0.0002))
    for price in PRICES:
        spread = quoted[f"ask_{price}"] - quoted[f"bid_{price}"]
        assert spread.to_list() == pytest.approx([counted])
