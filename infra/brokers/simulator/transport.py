"""The simulator without sockets or threads: an httpx transport that calls it in process.

Waiting is a clock's matter: a late answer lets the clock run to the client's patience, and what
was not done by then goes on when the clock has come to it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterator
from typing import Any, Final

import httpx

from infra.brokers.simulator.server import Simulator
from infra.brokers.simulator.streams import PATHS
from infra.clock import Clock

_PATIENCE: Final = 5.0
_GONE: Final = "Server disconnected without sending a response."
_CUT: Final = "peer closed connection without sending complete message body"


class _Pause:
    """A wait that whoever drives the coroutine sees."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self.seconds


class _Exchange:
    """A request on its way through the app, driven by hand."""

    def __init__(self, app: Simulator, request: httpx.Request) -> None:
        self.status, self.headers, self.body = 0, [], bytearray()  # type: ignore[var-annotated]
        self.over = self.closing = self.complete = False
        self.state: dict[str, Any] = {"transport": self, "wait": _Pause, "refused": False}
        self._content = request.read()
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "state": self.state,
        }
        self._running: Coroutine[Any, Any, None] = app(scope, self._receive, self._send)

    def step(self) -> float | None:
        """Go on, and return for how long it wants to wait; None when it is over."""
        try:
            seconds: float = self._running.send(None)
        except StopIteration:
            self.over = True
            return None
        return seconds

    def abort(self) -> None:
        """Cut the connection."""
        self.closing = True

    close = abort

    def is_closing(self) -> bool:
        """Say whether the client is gone."""
        return self.closing

    def end(self) -> None:
        """Go away as a client does."""
        self.closing = True
        self._running.close()

    async def _receive(self) -> dict[str, Any]:
        if self.closing:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._content, "more_body": False}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body += message["body"]
            self.complete = not message.get("more_body", False)


class _Half(httpx.SyncByteStream):
    """What came before the connection broke."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise httpx.RemoteProtocolError(_CUT)


class _Flow(httpx.SyncByteStream):
    """A stream, driven on as it is read."""

    def __init__(self, exchange: _Exchange, clock: Clock, patience: float) -> None:
        self._exchange, self._clock, self._patience = exchange, clock, patience

    def __iter__(self) -> Iterator[bytes]:
        silent = 0.0
        while not self._exchange.over:
            if self._exchange.body:
                yield bytes(self._exchange.body)
                self._exchange.body.clear()
                silent = 0.0
            if silent >= self._patience:
                raise httpx.ReadTimeout("timed out")
            seconds = self._exchange.step()
            self._clock.sleep(seconds or 0.0)
            silent += seconds or 0.0
        if self._exchange.body:
            yield bytes(self._exchange.body)
        raise httpx.RemoteProtocolError(_CUT)

    def close(self) -> None:
        self._exchange.end()


class InProcess(httpx.BaseTransport):
    """Calls a simulator as if over the network.

    Parameters
    ----------
    simulator : Simulator
    clock : Clock
        Which the client waits by; as a rule the simulator's own.
    latency : float
        Seconds that each request takes.
    """

    def __init__(self, simulator: Simulator, clock: Clock, latency: float = 0.0) -> None:
        self.simulator, self.clock, self.latency = simulator, clock, latency
        self._late: list[tuple[float, _Exchange]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer.

        Parameters
        ----------
        request : httpx.Request

        Raises
        ------
        httpx.TransportError
            If there is none: too late, cut off, or never connected.
        """
        if self.latency:
            self.clock.sleep(self.latency)
        self.catch_up()
        exchange = _Exchange(self.simulator, request)
        patience = request.extensions.get("timeout", {}).get("read") or _PATIENCE
        if request.url.path in PATHS:
            return self._flow(exchange, patience)
        self._drive(exchange, patience)
        return self._answer(exchange)

    def catch_up(self) -> None:
        """Let requests go on whose clients gave up, if their time has come."""
        now = self.clock.monotonic()
        due = [each for each in self._late if each[0] <= now]
        self._late = [each for each in self._late if each[0] > now]
        for _, exchange in sorted(due, key=lambda each: each[0]):
            while (seconds := exchange.step()) is not None:
                if seconds > 0:
                    self._late.append((now + seconds, exchange))
                    break

    def _drive(self, exchange: _Exchange, patience: float) -> None:
        while (seconds := exchange.step()) is not None:
            if seconds >= patience:
                self._late.append((self.clock.monotonic() + seconds, exchange))
                self.clock.sleep(patience)
                raise httpx.ReadTimeout("timed out")
            self.clock.sleep(seconds)
            patience -= seconds

    def _answer(self, exchange: _Exchange) -> httpx.Response:
        if exchange.state["refused"]:
            raise httpx.ConnectError("[Errno 111] Connection refused")
        if not exchange.status:
            raise httpx.RemoteProtocolError(_GONE)
        content = bytes(exchange.body)
        if not exchange.complete:
            return httpx.Response(exchange.status, headers=exchange.headers, stream=_Half(content))
        return httpx.Response(exchange.status, headers=exchange.headers, content=content)

    def _flow(self, exchange: _Exchange, patience: float) -> httpx.Response:
        while not exchange.status and (seconds := exchange.step()) is not None:
            self.clock.sleep(seconds)
        if exchange.over:
            return self._answer(exchange)
        flow = _Flow(exchange, self.clock, patience)
        return httpx.Response(exchange.status, headers=exchange.headers, stream=flow)

    def close(self) -> None:
        """Forget what is still on its way."""
        for _, exchange in self._late:
            exchange.end()
        self._late.clear()
