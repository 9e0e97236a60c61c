"""A client's connection as an ASGI server hands it over: read, answered, left silent or cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

from infra.brokers.simulator.calls import Call

MOST_BYTES: Final = 64 * 1024

Message = MutableMapping[str, Any]


class Transport(Protocol):
    """What carries a connection."""

    def abort(self) -> None:
        """Cut it."""
        ...

    def close(self) -> None:
        """End it once all is sent."""
        ...

    def is_closing(self) -> bool:
        """Say whether it is over."""
        ...


class Connection:
    """One request and its answer.

    Parameters
    ----------
    scope : mapping
        With `transport` and `wait` (of seconds) in its state.
    receive, send : callable
    """

    def __init__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.transport: Transport = scope["state"]["transport"]
        self.wait: Callable[[float], Awaitable[None]] = scope["state"]["wait"]

    async def call(self) -> Call | None:
        """Return the request that came; None if it is too long or its client is gone."""
        content = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            content += message.get("body", b"")
            if len(content) > MOST_BYTES:
                await self.answer(413, b'{"errorMessage":"Request entity too large"}', ())
                return None
            if not message.get("more_body"):
                break
        headers = dict(self.scope["headers"])  # their names are in small letters
        query = parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return Call(
            self.scope["method"],
            self.scope["path"],
            {name: values[-1] for name, values in query.items()},
            bytes(content),
            headers.get(b"authorization", b"").decode("latin-1"),
            headers.get(b"accept-datetime-format", b"RFC3339").decode("latin-1").upper(),
        )

    async def answer(self, status: int, content: bytes, headers: Iterable[tuple[str, str]]) -> None:
        """Send a whole answer.

        Parameters
        ----------
        status : int
        content : bytes
        headers : iterable of (str, str)
        """
        await self.begin(status, [*headers, ("Content-Length", str(len(content)))])
        await self._send({"type": "http.response.body", "body": content})

    async def begin(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send the head of an answer.

        Parameters
        ----------
        status : int
        headers : iterable of (str, str)
        """
        told = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": told})

    async def go_on(self, content: bytes) -> None:
        """Send a part of an answer."""
        await self._send({"type": "http.response.body", "body": content, "more_body": True})

    async def abort(self) -> None:
        """Cut the connection; what was not sent is lost."""
        self.transport.abort()
        await self._gone()

    async def hang_up(self) -> None:
        """End the connection in the middle of an answer."""
        self.transport.close()
        await self._gone()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
