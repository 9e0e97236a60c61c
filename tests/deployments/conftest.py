"""The servers that these tests use."""

from tests.servers import (
    cache,
    database,
    home,
    prefect_server,
    session_home,
)
from tests.stack import session_stack, stack

__all__ = [
    "cache",
    "database",
    "home",
    "prefect_server",
    "session_home",
    "session_stack",
    "stack",
]
