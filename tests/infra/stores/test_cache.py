"""The cache: keeps for a while, within bounds, and is never missed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from infra import records
from infra.servers import valkey
from infra.stores import cache as valkey_cache


def kill_valkey(home: Path) -> None:
    record = records.alive(home, valkey.NAME)
    assert record is not None
    server = psutil.Process(record.pid)  # before: any thread may take note of its end
    server.kill()
    psutil.wait_procs([server], timeout=10)


def test_value_is_kept_for_a_while(cache: str) -> None:
    assert valkey_cache.remember("long", b"\0bytes", seconds=600)
    assert valkey_cache.remember("short", b"\0bytes", seconds=0.05)
    time.sleep(0.1)
    assert valkey_cache.recall("short") is None
    assert valkey_cache.recall("long") == b"\0bytes"


def test_keys_have_the_prefix_and_an_end(cache: str) -> None:
    assert valkey_cache.remember("key", b"value", seconds=100)
    client = valkey_cache.client()
    assert client is not None
    assert client.keys() == [b"sep:key"]
    assert 0 < client.ttl("sep:key") <= 100


def test_everything_runs_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    assert valkey_cache.remember("key", b"value", seconds=1) is False
    assert valkey_cache.recall("key") is None
    assert valkey_cache.memory() is None
    assert caplog.messages == []  # where there never was one, none is missed


@pytest.mark.parametrize("named", [False, True])
def test_each_outage_is_told_once_and_so_is_its_end(
    cache: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    named: bool,
) -> None:
    if named:
        monkeypatch.setenv("SEP_VALKEY_URL", cache)
    assert valkey_cache.remember("key", b"value", seconds=10)
    for outage in (1, 2):
        kill_valkey(home)
        for _ in range(5):
            assert valkey_cache.recall("key") is None
            assert valkey_cache.remember("key", b"value", seconds=10) is False
        assert sum("going on without it" in message for message in caplog.messages) == outage
        assert valkey.start(home) == cache
        for _ in range(5):
            assert valkey_cache.remember("key", b"value", seconds=10)
        assert sum("answers again" in message for message in caplog.messages) == outage
    assert len(caplog.messages) == 4
    assert all(records.secret(home, valkey.NAME) not in message for message in caplog.messages)


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def test_one_that_keeps_silent_is_waited_for_once(
    deaf: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SEP_VALKEY_URL", deaf)
    asked = 0

    def question(client: object) -> None:
        nonlocal asked
        asked += 1
        client.get("key")  # type: ignore[attr-defined]

    monkeypatch.setattr(valkey_cache, "_PAUSE", 600.0)
    for _ in range(5):
        assert valkey_cache.ask(question) is None
    assert asked == 1
    assert len(caplog.messages) == 1


def test_threads_may_share_it_while_it_dies_and_comes_back(cache: str, home: Path) -> None:
    found: list[bytes | None] = []
    over = threading.Event()

    def use() -> None:
        while not over.is_set():
            valkey_cache.remember("key", b"value", seconds=10)
            found.append(valkey_cache.recall("key"))
            time.sleep(0.001)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        kill_valkey(home)
        valkey.start(home)
        while found[-8:] != [b"value"] * 8:
            time.sleep(0.01)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert set(found) == {b"value", None}


def test_the_embedded_one_is_bounded_and_forgets_what_was_used_least(cache: str) -> None:
    found = valkey_cache.memory()
    assert found is not None
    assert (found.limit, found.policy, found.bounded) == (256 << 20, "allkeys-lru", True)
    client = valkey_cache.client()
    assert client is not None
    client.config_set("maxmemory", 16 << 20)
    try:
        for i in range(32):
            assert valkey_cache.remember(f"big:{i}", bytes(1 << 20), seconds=60)
        assert valkey_cache.recall("big:31") == bytes(1 << 20)
        assert valkey_cache.recall("big:0") is None
    finally:
        client.config_set("maxmemory", found.limit)


def test_one_that_is_full_refuses_and_is_told_of_once(
    cache: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = valkey_cache.client()
    assert client is not None
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    try:
        found = valkey_cache.memory()
        assert found is not None
        assert not found.bounded
        for i in range(3):
            assert valkey_cache.remember(f"key:{i}", b"value", seconds=60) is False
            assert valkey_cache.recall(f"key:{i}") is None
    finally:
        client.config_set("maxmemory", 256 << 20)
        client.config_set("maxmemory-policy", "allkeys-lru")
    assert len([message for message in caplog.messages if "refuses" in message]) == 1
