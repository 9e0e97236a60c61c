"""Streams of prices and transactions: a line each, heartbeats between, nothing is said twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, Protocol

from infra.brokers.simulator import pricing
from infra.brokers.simulator.calls import Call
from infra.brokers.simulator.connection import Connection
from infra.brokers.simulator.faults import Fault
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import ACCOUNT, Body, moment

PAUSE: Final = 0.25
"""Seconds between prices of an instrument, at least."""

_ROOT: Final = f"/v3/accounts/{ACCOUNT}"
PATHS: Final = (f"{_ROOT}/pricing/stream", f"{_ROOT}/transactions/stream")


class Source(Protocol):
    """The simulator, as a stream needs it."""

    heartbeat: float

    def look(self) -> Venue:
        """Return the venue as it is now."""
        ...

    def fault_of_line(self) -> Fault | None:
        """Return what goes wrong with the next line."""
        ...


async def stream(source: Source, call: Call, connection: Connection) -> None:
    """Answer with a stream, until the client goes or a fault ends it.

    Parameters
    ----------
    source : Source
    call : Call
    connection : Connection

    Raises
    ------
    Refusal
        Before anything is sent.
    """
    feed = _Prices(source, call) if call.path == PATHS[0] else _Transactions(source)
    await connection.begin(200, [("Content-Type", "application/octet-stream")])
    silent = source.heartbeat
    while not connection.transport.is_closing():
        for body in feed.news():
            if not await _told(source, connection, body):
                return
        if silent >= source.heartbeat:
            await connection.go_on(_line(feed.heartbeat()))
            silent = 0.0
        await connection.wait(PAUSE)
        silent += PAUSE


async def _told(source: Source, connection: Connection, body: Body) -> bool:
    """Send a line, or what a fault makes of it; return whether the stream goes on."""
    line, fault = _line(body), source.fault_of_line()
    match fault.kind if fault else "":
        case "miss":
            return True
        case "repeat":
            await connection.go_on(line + line)
        case "cut":
            await connection.go_on(line[: len(line) // 2])
            await connection.hang_up()
            return False
        case "stall":
            while not connection.transport.is_closing():
                await connection.wait(PAUSE)
            return False
        case _:
            await connection.go_on(line)
    return True


def _line(body: Body) -> bytes:
    return json.dumps(body).encode() + b"\n"


class _Prices:
    """Prices that changed, four a second of an instrument at most."""

    def __init__(self, source: Source, call: Call) -> None:
        self._source = source
        self._pairs = pricing.asked(source.look(), call)
        self._told: dict[str, object] = {}
        if call.query.get("snapshot", "true").lower() == "false":
            [*self.news()]

    def news(self) -> Iterator[Body]:
        venue = self._source.look()
        for pair in self._pairs:
            body = pricing.told(venue, pair)
            known = body and (body["bids"], body["asks"], body["status"])
            if body is not None and self._told.get(pair) != known:
                self._told[pair] = known
                yield body

    def heartbeat(self) -> Body:
        return {"type": "HEARTBEAT", "time": moment(self._source.look().market.now)}


class _Transactions:
    """Transactions since the stream began."""

    def __init__(self, source: Source) -> None:
        self._source, self._last = source, source.look().book.last

    def news(self) -> Iterator[Body]:
        lines = self._source.look().records.lines[self._last :]
        self._last += len(lines)
        yield from lines

    def heartbeat(self) -> Body:
        venue = self._source.look()
        told = {"type": "HEARTBEAT", "lastTransactionID": str(venue.book.last)}
        return {**told, "time": moment(venue.market.now)}
