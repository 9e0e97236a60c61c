"""Streams that fall silent, break, repeat and leave out: each transaction comes once, in order."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from infra.brokers.broker import BrokerRefused, Price, Transaction
from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.oanda.streams import Streams
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Fault, Simulator
from infra.brokers.simulator.transport import InProcess
from infra.clock import VirtualClock, WallClock
from tests.infra.brokers.oanda import replies
from tests.infra.brokers.oanda.replies import TOKEN, broker
from tests.infra.brokers.oanda.test_reads import Log

LINES = replies.lines()
BEAT = {"type": "HEARTBEAT", "lastTransactionID": "6367", "time": replies.AT}
GARBAGE = [b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"type":"HEARTBEAT"}', b"7"]


class Pieces(httpx.SyncByteStream):
    """What a stream tells, in pieces, and how it ends."""

    def __init__(self, pieces: list[bytes], end: Exception | None = None) -> None:
        self.pieces, self.end = pieces, end

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.end is not None:
            raise self.end


def streaming(*streams: httpx.SyncByteStream) -> OandaBroker:
    """A broker whose log is `LINES`, and whose streams come one after another, then for ever."""
    left, log = list(streams), Log(LINES)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/stream"):
            return httpx.Response(200, stream=left.pop(0) if left else Pieces([line(BEAT)]))
        return log(request)

    return broker(answer)


def line(told: Any) -> bytes:
    return json.dumps(told).encode() + b"\n"


def numbers(venue: OandaBroker, after: int = 6356) -> list[int]:
    return list(islice(Streams(venue).watch(after), 6367 - after))


@pytest.mark.parametrize("seed", range(50))
def test_each_transaction_comes_once_in_order(seed: int) -> None:
    chance = random.Random(seed)
    streams = []
    for _ in range(chance.randrange(1, 6)):
        told = [line(each) for each in LINES if chance.random() < 0.7 for _ in range(2)]
        told += [chance.choice(GARBAGE) + b"\n", line(BEAT)]
        chance.shuffle(told)
        whole = b"".join(told)
        cuts = sorted(chance.randrange(len(whole)) for _ in range(8))
        ends = zip([0, *cuts], [*cuts, chance.choice((len(whole), cuts[-1]))], strict=True)
        error = chance.choice((None, httpx.ReadError("cut"), httpx.ReadTimeout("silent")))
        streams.append(Pieces([whole[a:b] for a, b in ends], error))
    assert numbers(streaming(*streams)) == list(range(6357, 6368))


def test_what_a_stream_left_out_its_heartbeat_tells() -> None:
    log = Log(LINES[:1])

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/stream"):
            return log(request)
        log.lines |= {int(each["id"]): each for each in LINES}  # after the first look
        return httpx.Response(200, stream=Pieces([line(BEAT)]))

    assert numbers(broker(answer)) == list(range(6357, 6368))
    assert log.asked.count("sinceid") == 1


def test_a_break_is_told_as_none_and_pauses_grow() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/stream"):
            return httpx.Response(503)
        return httpx.Response(503)

    venue = broker(answer)
    before = venue.clock.monotonic()
    assert list(islice(Streams(venue).transactions(1), 20)) == [None] * 20
    assert venue.clock.monotonic() - before > 20 * 10


def test_a_refused_stream_is_an_error() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/stream"):
            return httpx.Response(401, json={"errorMessage": TOKEN})
        return Log(LINES)(request)

    with pytest.raises(BrokerRefused, match="401"):
        next(Streams(broker(answer)).watch(6366))


def test_prices_come_with_what_is_not_one_passed_over() -> None:
    price = replies.pricing()["prices"][0]
    pieces = [
        line(price),
        line({"type": "HEARTBEAT", "time": replies.AT}),
        line({**price, "asks": 5}),
    ]
    venue = broker(lambda _: httpx.Response(200, stream=Pieces([*pieces, line(price)])))
    told = list(islice(Streams(venue).prices(["EUR_USD"]), 6))
    assert [type(each) for each in told] == [
        *(type(None), Price),
        *(type(None),) * 2,
        Price,
        type(None),
    ]
    assert isinstance(told[1], Price)
    assert told[1].bid == Decimal("1.08515")


@contextmanager
def stalling() -> Iterator[tuple[str, list[bytes]]]:
    """A venue on a socket that begins streams and then says nothing, with the line held open."""
    asked: list[bytes] = []
    held: list[socket.socket] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            held.append(connection)
            asked.append(connection.recv(65536))
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            body = line(BEAT)
            connection.sendall(head + f"{len(body):x}\r\n".encode() + body + b"\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
        for connection in held:
            connection.close()


def test_a_silent_stream_is_opened_anew() -> None:
    with stalling() as (address, asked):
        venue = OandaBroker(SecretStr(TOKEN), address, replies.ACCOUNT, WallClock())
        stream = Streams(venue, prices_silent=0.2, pause=0.01).prices(["EUR_USD"])
        assert list(islice(stream, 9)) == [None] * 9  # opened, a heartbeat, broken: three times
        stream.close()  # type: ignore[attr-defined]
        venue.client.close()
    assert len(asked) == 3


FAULTS: dict[str, Callable[[], list[Fault]]] = {
    "none": list,
    "all": lambda: [Fault(kind) for kind in ("repeat", "miss", "cut", "miss", "stall", "repeat")],
}


@pytest.mark.parametrize("faults", FAULTS)
def test_the_simulator_s_streams(faults: str) -> None:
    now = datetime(2026, 7, 1, 11, tzinfo=UTC)
    minutes = {"EUR_USD": random_minutes(now - timedelta(hours=1), 240, seed=3)}
    clock = VirtualClock(now)
    simulator = Simulator(Market(minutes, now), clock=clock)
    simulator.line_faults.extend(FAULTS[faults]())
    transport = InProcess(simulator, clock)
    venue = OandaBroker(SecretStr(simulator.token), "http://127.0.0.1:1", None, clock, transport)
    begin, seen = venue.last(), list[Transaction]()
    stream = Streams(venue).transactions(begin)
    for turn in range(60):
        if turn % 10 == 3:
            venue.client.once(
                "PATCH", f"/accounts/{venue.account_id}/configuration", body={"alias": "x"}
            )
        told = next(stream)
        seen += [told] if told is not None else []
    assert [each.id for each in seen] == list(range(begin + 1, venue.last() + 1))
    assert len(seen) == 6
    assert simulator.fired.total() == len(FAULTS[faults]())
