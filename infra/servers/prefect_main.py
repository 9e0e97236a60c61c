"""The command `prefect`, its SQLite transactions begun as writers.

Prefect opens deferred transactions that read first and write later; where another write comes
between, SQLite answers "database is locked" at once, whatever the timeout, and the server logs an
ERROR or replies 503. Begun as writers they wait for one another.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from prefect.server.database.configurations import AioSqliteConfiguration

Begin = Callable[..., AbstractAsyncContextManager[Any]]


def begin_as_writer() -> None:
    """Make every transaction of a server on SQLite begin as one that writes."""
    begin: Begin = AioSqliteConfiguration.begin_transaction

    def begin_transaction(
        self: AioSqliteConfiguration, session: Any, with_for_update: bool = False
    ) -> AbstractAsyncContextManager[Any]:
        return begin(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin_transaction  # type: ignore[assignment]


if __name__ == "__main__":
    begin_as_writer()
    runpy.run_module("prefect", run_name="__main__")
