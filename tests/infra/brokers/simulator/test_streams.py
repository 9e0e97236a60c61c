"""Streams: lines, heartbeats, and what goes missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any

import httpx
import pytest

from infra.brokers.simulator.faults import Fault
from tests.infra.brokers.simulator.desk import Desk, desk, minutes

STEPS = (1.1, 1.2, 1.1, 1.15)
PRICES = "/pricing/stream?instruments=EUR_USD"


@contextmanager
def lines(at: Desk, path: str) -> Iterator[Iterator[Any]]:
    with at.http.stream("GET", at.root + path) as answer:
        assert answer.status_code == 200
        yield (json.loads(line) for line in answer.iter_lines())


@pytest.fixture
def at() -> Desk:
    return desk(minutes(*[STEPS] * 60))


def test_prices_come_with_heartbeats_between(at: Desk) -> None:
    with lines(at, PRICES) as stream:
        found = [*islice(stream, 8)]
    assert [(each["type"], each["time"][17:19]) for each in found] == [
        ("PRICE", "00"), ("HEARTBEAT", "00"), ("HEARTBEAT", "05"), ("HEARTBEAT", "10"),
        ("HEARTBEAT", "15"), ("HEARTBEAT", "20"), ("HEARTBEAT", "25"), ("PRICE", "30"),
    ]  # fmt: skip
    assert found[0]["bids"][0]["price"] == "1.09990"


def test_there_may_be_no_snapshot(at: Desk) -> None:
    with lines(at, PRICES + "&snapshot=false") as stream:
        assert next(stream)["type"] == "HEARTBEAT"


def test_transactions_are_those_after_the_beginning(at: Desk) -> None:
    at.buy()
    with lines(at, "/transactions/stream") as stream:
        first = next(stream)
        assert (first["type"], first["lastTransactionID"]) == ("HEARTBEAT", "4")
        at.buy()
        assert [next(stream)["id"] for _ in range(2)] == ["5", "6"]
        assert next(stream)["lastTransactionID"] == "6"


def test_a_line_may_be_missed_that_the_log_holds(at: Desk) -> None:
    at.simulator.line_faults.append(Fault("miss"))
    with lines(at, "/transactions/stream") as stream:
        next(stream)
        at.buy()
        assert next(stream)["id"] == "4"
        assert next(stream)["lastTransactionID"] == "4"
    told = at.get("/transactions/sinceid", id=2)["transactions"]
    assert [line["id"] for line in told] == ["3", "4"]


def test_a_line_may_come_twice(at: Desk) -> None:
    at.simulator.line_faults.append(Fault("repeat"))
    with lines(at, "/transactions/stream") as stream:
        next(stream)
        at.buy()
        assert [next(stream)["id"] for _ in range(3)] == ["3", "3", "4"]


def test_a_line_may_end_in_its_middle(at: Desk) -> None:
    at.simulator.line_faults.append(Fault("cut"))
    with (
        pytest.raises((json.JSONDecodeError, httpx.RemoteProtocolError)),
        lines(at, PRICES) as stream,
    ):
        list(stream)


def test_a_stream_may_fall_silent(at: Desk) -> None:
    at.simulator.line_faults.extend([Fault("stall")])
    with pytest.raises(httpx.ReadTimeout), lines(at, PRICES) as stream:
        next(stream)
    assert 5.0 <= at.clock.elapsed <= 5.5
    assert at.simulator.fired["stall"] == 1


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/pricing/stream?instruments=AAA_BBB", None, 400),
        ("/pricing/stream", None, 400),
        (PRICES, "wrong", 401),
    ],
)
def test_a_stream_may_be_refused(at: Desk, path: str, token: str | None, status: int) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert at.http.get(at.root + path, headers=headers).status_code == status


@pytest.mark.parametrize("kind", ["", "cut", "stall"])
def test_over_sockets_it_is_the_same(at: Desk, kind: str) -> None:
    at.simulator.heartbeat = 0.5
    if kind:
        at.simulator.line_faults.append(Fault(kind))
    with (
        at.simulator.serve(),
        httpx.Client(base_url=at.simulator.url, timeout=1.0, trust_env=False) as http,
        http.stream(
            "GET", at.root + PRICES, headers={"Authorization": f"Bearer {at.simulator.token}"}
        ) as answer,
    ):
        stream = answer.iter_lines()
        if kind == "cut":
            with pytest.raises(httpx.RemoteProtocolError):
                list(stream)
            return
        if kind == "stall":
            with pytest.raises(httpx.ReadTimeout):
                next(stream)
            return
        found = [json.loads(line)["type"] for line in islice(stream, 3)]
        assert found == ["PRICE", "HEARTBEAT", "HEARTBEAT"]
        at.clock.advance(timedelta(seconds=30))
        assert "PRICE" in [json.loads(line)["type"] for line in islice(stream, 2)]
