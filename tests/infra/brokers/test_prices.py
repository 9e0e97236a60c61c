"""Sources of prices: the bulk store, the database and arrays tell the same."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from infra.brokers.prices import (
    ArrayPrices,
    DatabasePrices,
    HomePrices,
    PriceError,
    Prices,
    StorePrices,
)
from infra.postgres import models
from infra.postgres.database import copy_frame
from infra.stores.bulk import BarStore
from tests.infra.brokers.room import COSTS, HOUR, START, bars


def sources(folder: Path) -> dict[str, Prices]:
    store = BarStore(folder)
    hours, minutes = bars(1.0, 1.1, 1.2), bars(*[1.0] * 90, length=timedelta(minutes=1))
    for timeframe, frame in (("H1", hours), ("M1", minutes)):
        store.write("EUR_USD", timeframe, frame)
        series = {"pair": pl.lit("EUR_USD"), "timeframe": pl.lit(timeframe)}
        copy_frame(frame.with_columns(**series), models.Bar)
    frames = {("EUR_USD", "H1"): hours, ("EUR_USD", "M1"): minutes}
    return {
        "store": StorePrices(store, costs=lambda _: COSTS),
        "home": HomePrices(BarStore(folder / "none"), costs=lambda _: COSTS),
        "database": DatabasePrices(costs=lambda _: COSTS),
        "memory": ArrayPrices(frames, costs=lambda _: COSTS),
    }


def test_all_sources_tell_the_same(tmp_path: Path, database: str) -> None:
    told = []
    for source in sources(tmp_path).values():
        quotes = [source.quote("EUR_USD", "H1", START + n * HOUR / 4) for n in range(-2, 30)]
        read = list(source.bars("EUR_USD", "H1", START + HOUR, START + 3 * HOUR))
        rates = [
            source.rate(pair, "USD", START + HOUR) for pair in ("EUR_USD", "USD_EUR", "PLANTED")
        ]
        told.append((quotes, read, rates, source.slippage("EUR_USD")))
    assert told[0][0][0] is None
    assert told[0][2] == [1.0, 1.0, 1.0]
    assert all(each == told[0] for each in told)
    assert database


def test_a_damaged_series_is_read_from_the_database(tmp_path: Path, database: str) -> None:
    told = sources(tmp_path)["database"].quote("EUR_USD", "H1", START + HOUR)
    for file in tmp_path.glob("*/*/*.parquet"):
        file.write_bytes(b"damaged")
    home = HomePrices(BarStore(tmp_path), costs=lambda _: COSTS)
    assert told is not None
    assert home.quote("EUR_USD", "H1", START + HOUR) == told
    with pytest.raises(PriceError, match="no price of EUR_USD can be read"):
        StorePrices(home.store).quote("EUR_USD", "H1", START + HOUR)
    assert database
