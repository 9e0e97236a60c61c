"""The command `prefect`, for a server that is careful with its callers and its database.

A page whose name was made to mean 127.0.0.1 (DNS rebinding) is of the server's own origin to a
browser. The name it asks by gives it away: only names of loopback are answered.

Its SQLite transactions are begun as writers. Prefect opens deferred ones that read first and write
later; where another write comes between, SQLite answers "database is locked" at once, whatever the
timeout, and the server logs an ERROR or replies 503. Begun as writers they wait for one another.
Prefect's issues 10188 and 18934; once they are closed, `begin_as_writer` may go.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from prefect.server.api import server
from prefect.server.database.configurations import AioSqliteConfiguration
from starlette.middleware.trustedhost import TrustedHostMiddleware

from infra.servers.patches import require_parameters

HOSTS = ("127.0.0.1", "localhost", "[::1]", "prefect-in-memory")
"""Names that are answered; the last is what the server's own services call it."""

_KNOWN = ("self", "session", "with_for_update")
"""Parameters of the function that is replaced."""

Begin = Callable[..., AbstractAsyncContextManager[Any]]


def begin_as_writer() -> None:
    """Make every transaction of a server on SQLite begin as one that writes."""
    begin: Begin = AioSqliteConfiguration.begin_transaction
    require_parameters(begin, _KNOWN, here="infra/servers/prefect_main.py")

    def begin_transaction(
        self: AioSqliteConfiguration, session: Any, with_for_update: bool = False
    ) -> AbstractAsyncContextManager[Any]:
        return begin(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin_transaction  # type: ignore[assignment]


def answer_to_loopback_alone() -> None:
    """Make the server refuse requests that name another host than `HOSTS`."""
    create = server.create_app

    def create_app(*arguments: Any, **options: Any) -> Any:
        app = create(*arguments, **options)
        layers: list[Any] = [layer.cls for layer in app.user_middleware]
        if TrustedHostMiddleware not in layers:
            hosts = list(HOSTS)  # an app comes again from Prefect's cache, once it answers
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
        return app

    server.create_app = create_app


if __name__ == "__main__":
    begin_as_writer()
    answer_to_loopback_alone()
    runpy.run_module("prefect", run_name="__main__")
