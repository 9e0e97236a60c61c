"""What the doctor says of a cache that may take all memory there is."""

from __future__ import annotations

from deployments.sep.doctor import examine
from infra.settings import settings
from infra.stores import cache as valkey_cache


def told() -> tuple[str, str]:
    (found,) = (finding for finding in examine(settings()) if finding.topic == "cache")
    return found.state, f"{found.text}; {found.advice}"


def test_bounds_of_the_cache(cache: str) -> None:
    level, text = told()
    assert level == "ok"
    assert "of 256 MiB, allkeys-lru" in text
    client = valkey_cache.client()
    assert client is not None
    client.config_set("maxmemory", 0)
    try:
        level, text = told()
    finally:
        client.config_set("maxmemory", 256 << 20)
    assert level == "note"
    assert "without a limit" in text
    assert "set maxmemory" in text
