"""Every fault, in process and over sockets: what the client sees, and what was done."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from infra.brokers.simulator.faults import DRAWN, Fault, Hostile
from infra.brokers.simulator.server import ACCOUNT, Market, Simulator
from infra.brokers.simulator.transport import InProcess
from infra.clock import VirtualClock
from tests.infra.brokers.simulator.desk import FLAT, NOON, Desk, desk, minutes

ROOT = f"/v3/accounts/{ACCOUNT}"
ORDER = {"order": {"type": "MARKET", "instrument": "EUR_USD", "units": "1000"}}
CUT = (httpx.NetworkError, httpx.RemoteProtocolError)
WAYS = ("in process", "over sockets")


@contextmanager
def client(simulator: Simulator, way: str, timeout: float = 0.3) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {simulator.token}"}
    if way == "in process":
        assert simulator.clock is not None
        transport = InProcess(simulator, simulator.clock)
        with httpx.Client(
            transport=transport, headers=headers, base_url="http://venue", timeout=timeout
        ) as http:
            yield http
    else:
        with (
            simulator.serve(),
            httpx.Client(
                headers=headers, base_url=simulator.url, timeout=timeout, trust_env=False
            ) as http,
        ):
            yield http


@pytest.fixture
def simulator() -> Simulator:
    market = Market({"EUR_USD": minutes(*[FLAT] * 600)}, NOON)
    return Simulator(market, clock=VirtualClock(NOON), strict=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("fault", "seen", "done"),
    [
        (Fault("drop"), CUT, 0),
        (Fault("drop", applied=True), CUT, 1),
        (Fault("unreachable"), CUT, 0),
        (Fault("status", 503), 503, 0),
        (Fault("status", 500, applied=True), 500, 1),
        (Fault("html", 502), 502, 0),
        (Fault("html", 502, applied=True), 502, 1),
        (Fault("html", 200, applied=True), ValueError, 1),
        (Fault("status", 429), 429, 0),
        (Fault("status", 401), 401, 0),
        (Fault("truncate"), httpx.RemoteProtocolError, 1),
        (Fault("garble"), ValueError, 1),
        (Fault("pack"), httpx.DecodingError, 1),
        (Fault("late", seconds=0.6, applied=True), httpx.ReadTimeout, 1),
        (Fault("late", seconds=0.6), httpx.ReadTimeout, 0),
        (Fault("late", seconds=0.05), 201, 1),
        (Fault("late", seconds=0.05, applied=True), 201, 1),
        (Fault("stray"), CUT, 0),
    ],
    ids=lambda value: f"{value.kind} {value.status} {value.applied} {value.seconds}"
    if isinstance(value, Fault) else "",
)  # fmt: skip
def test_a_fault_is_seen_and_done_or_not(
    simulator: Simulator, way: str, fault: Fault, seen: Any, done: int
) -> None:
    simulator.faults.append(fault)
    with client(simulator, way) as http:
        if isinstance(seen, int):
            answer = http.post(f"{ROOT}/orders", json=ORDER)
            assert answer.status_code == seen
            assert answer.json() if fault.kind != "html" else "<html>" in answer.text
        else:
            with pytest.raises(seen):
                http.post(f"{ROOT}/orders", json=ORDER).json()
        assert len(simulator.book.trades) == done
        assert simulator.fired == Counter([fault.kind])
        assert http.get(f"{ROOT}/summary").status_code == 200


def test_no_connection_is_told_apart_in_process(simulator: Simulator) -> None:
    simulator.faults.append(Fault("unreachable"))
    with client(simulator, WAYS[0]) as http, pytest.raises(httpx.ConnectError):
        http.get(f"{ROOT}/summary")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_late_is_done_later(simulator: Simulator, way: str) -> None:
    simulator.faults.append(Fault("late", seconds=0.7, on="POST"))
    with client(simulator, way) as http:
        assert http.get(f"{ROOT}/summary").status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            http.post(f"{ROOT}/orders", json=ORDER)
        assert not simulator.book.trades
        if way == "in process":
            assert isinstance(simulator.clock, VirtualClock)
            assert simulator.clock.elapsed == pytest.approx(0.3)
            simulator.clock.advance(timedelta(seconds=1))
            http.get(f"{ROOT}/summary")
        else:
            deadline = time.monotonic() + 5
            while not simulator.book.trades and time.monotonic() < deadline:
                time.sleep(0.02)
        assert len(simulator.book.trades) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_stray_request_comes_after_an_empty_scan(simulator: Simulator, way: str) -> None:
    simulator.faults.append(Fault("stray", scans=2))
    with client(simulator, way) as http:
        with pytest.raises(httpx.TransportError):
            http.post(f"{ROOT}/orders", json=ORDER)
        scans = [
            http.get(f"{ROOT}/transactions/sinceid", params={"id": 2}).json()["transactions"]
            for _ in range(3)
        ]
        assert [len(scan) for scan in scans] == [0, 0, 2]
        assert simulator.fired["stray applied"] == 1


def test_a_short_page_is_less_than_it_says(simulator: Simulator) -> None:
    with client(simulator, WAYS[0]) as http:
        http.post(f"{ROOT}/orders", json=ORDER)
        simulator.faults.append(Fault("short"))
        told = http.get(f"{ROOT}/transactions/sinceid", params={"id": 0}).json()
        assert ([t["id"] for t in told["transactions"]], told["lastTransactionID"]) == (
            ["1", "2"], "4",
        )  # fmt: skip


def test_a_fault_waits_for_its_request(simulator: Simulator) -> None:
    simulator.faults.extend([Fault("status", 401, on="/orders"), Fault("status", 429)])
    with client(simulator, WAYS[0]) as http:
        paths = ("summary", "orders", "summary", "summary")
        assert [http.get(f"{ROOT}/{path}").status_code for path in paths] == [200, 401, 429, 200]


def hostile_run(seed: int) -> tuple[Counter[str], list[Any], Desk]:
    at = desk(minutes(*[FLAT] * 2000), hostile=Hostile(seed, dict.fromkeys(DRAWN, 0.03)))
    at.simulator.strict = False
    seen: list[Any] = []
    for n in range(150):
        scan = f"/transactions/sinceid?id={at.simulator.book.last}"
        path, body = ("/orders", ORDER) if n % 3 else (scan, None)
        try:
            answer = at.http.request("POST" if body else "GET", at.root + path, json=body)
            seen.append((answer.status_code, len(answer.content)))
        except httpx.HTTPError as error:
            seen.append(type(error).__name__)
        at.clock.advance(timedelta(seconds=1))
    at.simulator.book.check()
    return at.simulator.fired, seen, at


def test_a_seed_draws_every_fault_and_the_same_again() -> None:
    total: Counter[str] = Counter()
    for seed in range(6):
        fired, seen, _ = hostile_run(seed)
        total += fired
        assert (fired, seen) == hostile_run(seed)[:2]
    print(dict(total))
    assert set(DRAWN) <= set(total)
    assert total["stray applied"]


def test_fills_are_those_that_were_done() -> None:
    _, _, at = hostile_run(5)
    orders = [path for method, path, _ in at.simulator.mutations if method == "POST"]
    assert len(orders) == sum(line.type == "MARKET_ORDER" for line in at.simulator.book.log)


def test_too_many_are_refused_in_a_row() -> None:
    at = desk(minutes(FLAT), hostile=Hostile(0, {"burst": 1.0}, burst=3))
    assert [at.http.get(f"{at.root}/summary").status_code for _ in range(4)] == [429] * 4
    assert at.simulator.fired == Counter({"burst": 4})


def test_no_fault_goes_by_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="novel"):
        Hostile(1, {"novel": 0.5})


def test_requests_at_once_are_done_one_after_the_other(simulator: Simulator) -> None:
    with client(simulator, "over sockets", timeout=10.0) as http:

        def send() -> None:
            for _ in range(10):
                assert http.post(f"{ROOT}/orders", json=ORDER).status_code == 201

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ids = [line["id"] for line in simulator.venue.records.lines]
    assert len(simulator.book.trades) == 80
    assert ids == [str(n + 1) for n in range(len(ids))]
    simulator.book.check()


def test_a_plain_request_in_process_is_quick(simulator: Simulator) -> None:
    with client(simulator, WAYS[0]) as http:
        best = 1.0
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(100):
                http.get(f"{ROOT}/transactions/sinceid", params={"id": 2})
            best = min(best, (time.perf_counter() - began) / 100)
    print(f"{best * 1e3:.2f} ms a request")
    assert best < 1.5e-3
