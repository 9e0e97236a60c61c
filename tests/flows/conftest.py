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
from tests.stack import session_stack, stack

__all__ = [
    "cache",
    "database",
    "home",
    "prefect_server",
    "session_cache",
    "session_database",
    "session_home",
    "session_prefect",
    "session_stack",
    "stack",
]
