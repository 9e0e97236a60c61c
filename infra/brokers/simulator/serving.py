"""An ASGI app on a socket of loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_PATIENCE: Final = 10.0


class _Protocol(H11Protocol):
    """Hands its transport to the app, which may cut it."""

    def connection_made(self, transport: Any) -> None:
        """Take note of the transport."""
        self.app_state = {**self.app_state, "transport": transport, "wait": asyncio.sleep}
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


@contextmanager
def served(app: Any, tls: ssl.SSLContext | None, port: int) -> Iterator[int]:
    """Serve an app until the context ends; the port is what it gives.

    Parameters
    ----------
    app : ASGI app
    tls : ssl.SSLContext or None
    port : int
        0: a free one.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
    )
    config.load()
    config.ssl = tls
    server = _Server(config)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        _started(server, thread)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            thread.join(_PATIENCE)


def _started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise OSError("the simulator does not start")
        time.sleep(0.002)
