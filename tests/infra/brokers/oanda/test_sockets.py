"""Changes over real sockets: each is sent once, whatever the other side does with the line."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from infra.brokers.broker import Done, Refused, Reply, Terms, Unknown
from infra.brokers.oanda import client
from infra.brokers.oanda.broker import OandaBroker
from infra.clock import WallClock
from tests.infra.brokers.oanda import replies
from tests.infra.brokers.oanda.replies import ACCOUNT, ENTRY, TOKEN

RESET = struct.pack("ii", 1, 0)


@dataclass
class Line:
    """A connection, and what came over it."""

    connection: socket.socket
    asked: list[bytes] = field(default_factory=list)

    def hear(self) -> bytes:
        """Wait for one request with its body."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._more()
        text, _, body = head.partition(b"\r\n\r\n")
        sizes = [row for row in text.lower().split(b"\r\n") if row.startswith(b"content-length:")]
        size = int(sizes[0].split(b":")[1]) if sizes else 0
        while len(body) < size:
            body += self._more()
        self.asked.append(text + b"\r\n\r\n" + body)
        return text

    def _more(self) -> bytes:
        if not (piece := self.connection.recv(65536)):
            raise OSError("gone")
        return piece

    def say(self, body: Any, status: str = "201 Created", *, cut: int = 0, head: str = "") -> None:
        content = json.dumps(body).encode()
        told = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{head}\r\n".encode()
        self.connection.sendall(told + content[: len(content) - cut])


Talk = Callable[[Line], None]


@contextmanager
def venue(*talks: Talk) -> Iterator[tuple[OandaBroker, list[bytes]]]:
    """A venue that talks so on its connections, one after another; what it heard."""
    listening, heard = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        for talk in talks:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    talk(Line(connection, heard))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    broker = OandaBroker(SecretStr(TOKEN), address, ACCOUNT, WallClock())
    told = replies.instruments()["instruments"][0]
    broker._terms = {told["name"]: Terms(told["name"], 5, 0, *map(Decimal, (1, 10**8, 1)))}
    broker._terms_until = float("inf")
    try:
        yield broker, heard
    finally:
        broker.client.close()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def posts(heard: list[bytes]) -> int:
    return sum(request.startswith(b"POST ") for request in heard)


def silence(line: Line) -> None:
    line.hear()


def reset(line: Line) -> None:
    line.hear()
    line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def half(line: Line) -> None:
    line.hear()
    line.say(replies.filled(), cut=20)


def garbage(line: Line) -> None:
    line.hear()
    line.connection.sendall(b"\x00\x01\x02 not HTTP\r\n\r\n")


def error(line: Line) -> None:
    line.hear()
    line.say(replies.filled(), "500 Internal Server Error")


def redirect(line: Line) -> None:
    line.hear()
    line.say({}, "307 Temporary Redirect", head="Location: /v3/elsewhere\r\n")


def fill(line: Line) -> None:
    line.hear()
    line.say(replies.filled())


def trickle(line: Line) -> None:
    line.hear()
    line.connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(200):
        line.connection.sendall(b" ")
        time.sleep(0.02)


TALKS = [silence, reset, half, garbage, error, redirect, trickle]


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.__name__)
def test_what_goes_wrong_behind_the_first_byte_is_unknown_and_sent_once(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST", 0.3)
    with venue(talk, fill, fill) as (broker, heard):
        assert isinstance(broker.enter(ENTRY), Unknown)
        assert posts(heard) == 1


def test_where_nobody_listens_nothing_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with venue() as (broker, _):
        broker.client.venue = type(broker.venue).of(address)
        reply = broker.enter(ENTRY)
    assert isinstance(reply, Refused)
    assert "ConnectError" in reply.reason


def summary(line: Line, *, then: Talk | None = None) -> None:
    line.hear()
    line.say({"account": {}, "lastTransactionID": "6356"}, "200 OK")
    if then is not None:
        then(line)


def test_the_checkpoint_warms_the_line_of_the_order() -> None:
    with venue(lambda line: summary(line, then=fill)) as (broker, heard):
        assert broker.last() == 6356
        assert isinstance(broker.enter(ENTRY), Done)
        assert [request[:4] for request in heard] == [b"GET ", b"POST"]


def test_a_line_that_was_closed_meanwhile_is_not_used() -> None:
    with venue(summary, fill) as (broker, heard):
        assert broker.last() == 6356
        time.sleep(0.2)
        reply: Reply = broker.enter(ENTRY)
        assert isinstance(reply, Done), reply
        assert posts(heard) == 1


def test_a_line_that_breaks_under_the_order_is_not_tried_again() -> None:
    with venue(lambda line: summary(line, then=reset), fill) as (broker, heard):
        assert broker.last() == 6356
        assert isinstance(broker.enter(ENTRY), Unknown)
        assert posts(heard) == 1


def test_the_token_goes_to_the_venue_alone() -> None:
    with venue(redirect, fill) as (broker, heard):
        broker.enter(ENTRY)
        assert len(heard) == 1
        assert f"Authorization: Bearer {TOKEN}".encode() in heard[0]
        assert heard[0].startswith(f"POST /v3/accounts/{ACCOUNT}/orders HTTP/1.1\r\n".encode())
