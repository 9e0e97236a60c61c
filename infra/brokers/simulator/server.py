"""The simulated venue over HTTP, on loopback or in process: OANDA's paths, and faults on demand."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import urlencode

from infra.brokers.book import Book
from infra.brokers.simulator import serving, streams
from infra.brokers.simulator.calls import Call, Refusal, Reply, moment
from infra.brokers.simulator.connection import Connection
from infra.brokers.simulator.faults import MESSAGES, Fault, Hostile, headers, spoilt
from infra.brokers.simulator.market import Market
from infra.brokers.simulator.routes import answered
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import ACCOUNT
from infra.brokers.simulator.wire import moment as spelt
from infra.clock import Clock

__all__ = ["ACCOUNT", "Fault", "Hostile", "Market", "Simulator"]

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@dataclass
class Simulator:
    """A market, an account at it, the faults to come and the requests that came.

    Attributes
    ----------
    market : Market
    token : str
    faults : deque of Fault
        The next request that suits takes the first.
    requests : list of (float, str)
        Monotonic time and path with query of each request.
    changes : dict of str to dict
        Fields of an instrument, by its name, that the venue describes otherwise than usual.
    url : str
        Base address, without ``/v3``; set while the server runs.
    clock : Clock or None
        The venue's; None: it stands where `market.now` is set.
    balance : Decimal
        What the account begins with.
    currency : str
    hostile : Hostile or None
        Draws faults when none is in `faults`.
    line_faults : deque of Fault
        The next line of a stream takes the first.
    fired : Counter
        How often each fault came.
    mutations : list of (str, str, bytes)
        Method, path and content of all that asked for a change and was done.
    parked : deque of [Call, int]
        Stray requests, and how many times the log is still read before they are done.
    heartbeat : float
        Seconds between those of streams.
    strict : bool
        Look after each change whether the account agrees with itself.
    """

    market: Market
    token: str = "simulated-token"  # noqa: S105
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[float, str]] = field(default_factory=list)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    url: str = ""
    clock: Clock | None = None
    balance: Decimal = Decimal(10_000)
    currency: str = "USD"
    hostile: Hostile | None = None
    line_faults: deque[Fault] = field(default_factory=deque)
    fired: Counter[str] = field(default_factory=Counter)
    mutations: list[tuple[str, str, bytes]] = field(default_factory=list)
    parked: deque[list[Any]] = field(default_factory=deque)
    heartbeat: float = 5.0
    strict: bool = False

    def __post_init__(self) -> None:
        if self.clock is not None:
            self.market.now = self.clock.now()
        self.venue = Venue(self.market, self.changes, self.currency, self.balance)
        self._lock = threading.RLock()

    @property
    def book(self) -> Book:
        """The account as the venue keeps it."""
        return self.venue.book

    def look(self) -> Venue:
        """Return the venue, whose market has moved on to the present."""
        with self._lock:
            self.venue.market, self.venue.changes = self.market, self.changes
            if self.clock is not None:
                self.market.now = max(self.clock.now(), self.venue.walked)
            self.venue.walk(self.market.now)
            return self.venue

    def jump(self, pair: str, by: float) -> None:
        """Let a price jump now: stops fill at what there is then.

        Parameters
        ----------
        pair : str
        by : float
        """
        with self._lock:
            venue = self.look()
            self.market.shift(pair, by)
            venue.gap(pair)

    def halt(self, pair: str, *, on: bool = True) -> None:
        """Let an instrument trade no more from now on, or again.

        Parameters
        ----------
        pair : str
        on : bool
        """
        with self._lock:
            self.look()
            (self.market.halted.add if on else self.market.halted.discard)(pair)

    @contextmanager
    def serve(self, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Simulator]:
        """Answer on loopback until the context ends.

        Parameters
        ----------
        tls : ssl.SSLContext, optional
            With a certificate: answers are by https alone.
        port : int
            0: a free one.
        """
        with serving.served(self, tls, port) as taken:
            self.url = f"http{'s' * (tls is not None)}://127.0.0.1:{taken}"
            yield self

    def answer(self, path: str, query: Mapping[str, str], token: str) -> Reply:
        """Return status and body of a question without a fault.

        Parameters
        ----------
        path : str
            Without the query: `/v3/instruments/EUR_USD/candles`.
        query : dict of str to str
        token : str
            Header `Authorization`, with its `Bearer`.
        """
        return self.apply(Call("GET", path, query, token=token))

    def apply(self, call: Call) -> Reply:
        """Do what a request asks for and return status and body.

        Parameters
        ----------
        call : Call
        """
        if call.token != f"Bearer {self.token}":
            return 401, {"errorMessage": MESSAGES[401]}
        with self._lock:
            venue = self.look()
            venue.request += 1
            reply = answered(venue, call)
            if call.changes:
                self.mutations.append((call.method, call.path, call.content))
                if self.strict:
                    venue.book.check()
            elif call.path.endswith("/sinceid") and reply[1].get("transactions") == []:
                self._scanned()
            return reply

    def _scanned(self) -> None:
        """The log was read without a find: stray requests come nearer."""
        for waiting in [*self.parked]:
            waiting[1] -= 1
            if waiting[1] <= 0:
                self.parked.remove(waiting)
                self.fired["stray applied"] += 1
                self.apply(waiting[0])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that an ASGI server brings.

        Parameters
        ----------
        scope : mapping
        receive, send : callable
        """
        connection = Connection(scope, receive, send)
        if (call := await connection.call()) is None:
            return
        query = f"?{urlencode(call.query, safe=',:')}" if call.query else ""
        self.requests.append((time.monotonic(), call.path + query))
        fault = self._fault(call)
        if fault is not None:
            self.fired[fault.label] += 1
        if fault is None and call.path in streams.PATHS:
            await self._stream(call, connection)
        elif fault is None:
            await self._send(connection, call, self.apply(call))
        else:
            await self._spoil(fault, call, connection)

    def _fault(self, call: Call) -> Fault | None:
        if self.faults and self.faults[0].on in f"{call.method} {call.path}":
            return self.faults.popleft()
        return self.hostile.draw(call) if self.hostile is not None else None

    def fault_of_line(self) -> Fault | None:
        """Return what goes wrong with the next line of a stream."""
        drawn = self.hostile.draw_line() if self.hostile is not None else None
        fault = self.line_faults.popleft() if self.line_faults else drawn
        if fault is not None:
            self.fired[fault.label] += 1
        return fault

    async def _stream(self, call: Call, connection: Connection) -> None:
        if call.token != f"Bearer {self.token}":
            await self._send(connection, call, (401, {"errorMessage": MESSAGES[401]}))
            return
        try:
            await streams.stream(self, call, connection)
        except Refusal as refusal:
            await self._send(connection, call, refusal.reply)

    async def _spoil(self, fault: Fault, call: Call, connection: Connection) -> None:
        reply: Reply = 500, {}
        whole = fault.kind not in ("drop", "late", "status", "html", "stray", "unreachable")
        if fault.applied or whole:
            reply = self.apply(call)
        if fault.kind in ("drop", "stray", "unreachable"):
            if fault.kind == "stray" and call.changes:
                self.parked.append([call, fault.scans])
            connection.scope["state"]["refused"] = fault.kind == "unreachable"
            await connection.abort()
            return
        if fault.kind == "late":
            await connection.wait(fault.seconds)
            reply = reply if fault.applied else self.apply(call)
        await self._send(connection, call, reply, fault)

    async def _send(
        self, connection: Connection, call: Call, reply: Reply, fault: Fault | None = None
    ) -> None:
        status, body = reply
        told = _in_seconds(body) if call.style == "UNIX" else body
        content = json.dumps(told).encode()
        if fault is not None:
            status, content = spoilt(fault, status, content, call.token)
        date = format_datetime(self.market.now.astimezone(UTC), usegmt=True)
        number = ("RequestID", str(self.venue.request))
        head = [*headers(fault), ("Date", date), number]
        if fault is not None and fault.kind == "truncate":
            await connection.begin(status, [*head, ("Content-Length", str(len(content)))])
            await connection.go_on(content[: len(content) // 2])
            await connection.hang_up()
            return
        await connection.answer(status, content, head)


def _in_seconds(told: Any) -> Any:
    """Return a body with its times as seconds since 1970."""
    if isinstance(told, dict):
        return {name: _in_seconds(value) for name, value in told.items()}
    if isinstance(told, list):
        return [_in_seconds(value) for value in told]
    if isinstance(told, str) and _TIME.fullmatch(told):
        return spelt(moment(told), "UNIX")
    return told
