"""The servers that these tests use."""

from tests.servers import (
    cache,
    database,
    home,
    prefect_server,
    session_cache,
    session_database,
    session_home,
    session_prefect,
)

__all__ = [
    "cache",
    "database",
    "home",
    "prefect_server",
    "session_cache",
    "session_database",
    "session_home",
    "session_prefect",
]
