"""Distances of price as people write them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from infra.market.distances import Distance, distance
from infra.market.quotes import Costs, with_quotes
from infra.market.table import shipped

EURO, YEN, GOLD = (shipped()[name] for name in ("EUR_USD", "USD_JPY", "XAU_USD"))


@pytest.mark.parametrize(
    "written",
    ["1.4 pips", "1.4pips", "1.4 PIP", "14 points", "14 Point", "0.00014", "1.4e-4", ".00014"],
)
def test_one_distance_in_many_words(written: str) -> None:
    assert distance(written, EURO).price == pytest.approx(0.00014, rel=1e-12)


def test_units_are_the_instruments() -> None:
    assert distance("1.4 pips", YEN).price == 1.4 * 0.01
    assert distance("35 points", GOLD).price == pytest.approx(0.035)
    assert distance("35 points", replace(GOLD, precision=2)).price == pytest.approx(0.35)
    assert distance(0.35, GOLD) == Distance(0.35)
    assert distance("0.01%", GOLD) == distance("0.01 per cent", GOLD) == Distance(share=0.0001)


@pytest.mark.parametrize(
    "written", ["", "pips", "-1 pips", "1,4 pips", "1.4 dollars", "nan", "inf", "1e999", -0.1, "%"]
)
def test_what_is_no_distance_is_refused(written: str | float) -> None:
    with pytest.raises(ValueError, match=r"is no distance of price: write it as '1\.4 pips'"):
        distance(written, EURO)


def test_a_share_goes_with_the_price() -> None:
    stamps = [datetime(2025, 1, day, tzinfo=UTC) for day in (1, 2)]
    flat = {name: [100.0, 4000.0] for name in ("open", "high", "low", "close")}
    bars = with_quotes(pl.DataFrame({"timestamp": stamps, **flat}), Costs(0.5, 0.0, 0.001))
    spread = (bars["ask_open"] - bars["bid_open"]).to_list()
    assert spread == pytest.approx([0.5 + 0.1, 0.5 + 4.0])
