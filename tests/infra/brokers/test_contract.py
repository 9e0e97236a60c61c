"""Every broker keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from infra.brokers.broker import Broker
from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Simulator
from infra.brokers.simulator.transport import InProcess
from infra.clock import VirtualClock
from tests.infra.brokers.contract import PAIR, Contract

START = datetime(2026, 7, 1, 10, tzinfo=UTC)  # a Wednesday
NOW = START + timedelta(hours=2, seconds=20)
MINUTES = {PAIR: random_minutes(START, 240, seed=3)}


class TestOandaInProcess(Contract):
    @pytest.fixture
    def broker(self) -> Broker:
        clock = VirtualClock(NOW)
        simulator = Simulator(Market(MINUTES, NOW), clock=clock, strict=True)
        token, transport = SecretStr(simulator.token), InProcess(simulator, clock, 0.01)
        return OandaBroker(token, "http://127.0.0.1:1", None, clock, transport)


class TestOandaOverSockets(Contract):
    @pytest.fixture
    def broker(self) -> Iterator[Broker]:
        clock = VirtualClock(NOW)
        simulator = Simulator(Market(MINUTES, NOW), clock=clock, strict=True)
        with simulator.serve() as venue:
            broker = OandaBroker(SecretStr(venue.token), venue.url, None, clock)
            yield broker
            broker.client.close()
