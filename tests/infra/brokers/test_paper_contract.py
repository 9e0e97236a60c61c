"""The paper broker keeps the contract of all brokers, in memory and in the database."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from infra.brokers.broker import Broker
from infra.brokers.keeping import Database, Keeping, Memory
from infra.brokers.paper import PaperBroker
from infra.brokers.prices import ArrayPrices
from infra.clock import VirtualClock
from infra.market.quotes import Costs
from tests.infra.brokers.contract import PAIR, TIMEFRAME, Contract
from tests.infra.brokers.room import START, bars
from tests.tasks.frames import random_bars

MINUTE = timedelta(minutes=1)
NOW = START + timedelta(hours=10)


def paper(keeping: Keeping) -> Broker:
    walk = random_bars(700, seed=3, sigma=5e-5, price=1.1)
    times = bars(*[1.0] * 700, length=MINUTE)["timestamp"]
    minutes = walk.with_columns(timestamp=times, volume=pl.lit(None, pl.Float64))
    source = ArrayPrices({(PAIR, TIMEFRAME): minutes}, costs=lambda _: Costs(1e-4, 1e-5))
    return PaperBroker(source, keeping, VirtualClock(NOW))


class TestPaperInMemory(Contract):
    @pytest.fixture
    def broker(self) -> Broker:
        return paper(Memory())


class TestPaperInTheDatabase(Contract):
    @pytest.fixture
    def broker(self, database: str) -> Broker:
        assert database
        return paper(Database("paper"))
