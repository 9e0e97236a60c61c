"""The servers that these tests use."""

from tests.servers import (
    cache,
    database,
    home,
    prefect_server,
    session_home,
)

__all__ = [
    "cache",
    "database",
    "home",
    "prefect_server",
    "session_home",
]
