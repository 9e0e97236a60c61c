"""A rate limit holds over all processes, and in each by itself when Valkey is away."""

from __future__ import annotations

import multiprocessing
import threading
import time
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import pytest

from infra.servers import valkey
from infra.stores import cache as valkey_cache
from infra.stores.limits import RateLimit
from tests.infra.stores.test_cache import kill_valkey


def seconds_of(limit: RateLimit, calls: int) -> float:
    begin = time.monotonic()
    for _ in range(calls):
        limit.wait()
    return time.monotonic() - begin


def _call(name: str, rate: float, calls: int, ready: Barrier, begin: Event) -> None:
    limit = RateLimit(name, rate)
    ready.wait()
    begin.wait()
    for _ in range(calls):
        limit.wait()


def test_processes_share_the_rate(cache: str) -> None:
    context = multiprocessing.get_context("spawn")
    ready, begin = context.Barrier(4), context.Event()
    arguments = ("shared", 10.0, 4, ready, begin)
    callers = [context.Process(target=_call, args=arguments, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    ready.wait()
    start = time.monotonic()
    begin.set()
    for caller in callers:
        caller.join()
    assert time.monotonic() - start >= 11 / 10  # each by itself would take 0.3 s
    assert [caller.exitcode for caller in callers] == [0, 0, 0]


def test_a_turn_that_another_process_took_is_gone(cache: str) -> None:
    """What a process reserves is seen by the next one, however soon it asks."""
    limit = RateLimit("turns", 1.0)
    limit.wait()
    client = valkey_cache.client()
    assert client is not None
    free = int(client.get("sep:rate:turns") or b"0")
    seconds, micros = client.time()
    assert 0 < free - (seconds * 1_000_000 + micros) <= 1_000_000
    assert 0 < client.pttl("sep:rate:turns") <= 1_002


def test_names_do_not_wait_for_each_other(cache: str) -> None:
    slow, other = RateLimit("slow", 0.01), RateLimit("other", 1000.0)
    slow.wait()
    assert seconds_of(other, 3) < 60


def test_threads_of_a_process_keep_it_together(home: Path, cache: str) -> None:
    limit = RateLimit("threads", 20.0)
    threads = [threading.Thread(target=seconds_of, args=(limit, 3)) for _ in range(4)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begin >= 11 / 20


def test_losing_valkey_does_not_lift_it(
    home: Path, cache: str, caplog: pytest.LogCaptureFixture
) -> None:
    limit = RateLimit("lost", 20.0)
    begin = time.monotonic()
    seconds_of(limit, 3)
    kill_valkey(home)
    seconds_of(limit, 4)
    valkey.start(home)
    seconds_of(limit, 3)
    assert time.monotonic() - begin >= 9 / 20
    assert [m for m in caplog.messages if "without it" in m] == caplog.messages[:1]


def test_a_process_without_valkey_keeps_it_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    assert seconds_of(RateLimit("alone", 40.0), 5) >= 4 / 40


def test_a_clock_set_back_makes_nobody_wait_for_hours(cache: str) -> None:
    client = valkey_cache.client()
    assert client is not None
    seconds, _ = client.time()
    client.set("sep:rate:clock", (seconds + 7200) * 1_000_000, px=60_000)
    assert seconds_of(RateLimit("clock", 100.0), 2) < 60


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        RateLimit("never", 0.0)
