"""One process makes a call, the others get its result; the dead are not waited for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from infra import cache as valkey_cache
from infra.flight import FlightError, once
from tests.infra.test_cache import kill_valkey

SPAWN = multiprocessing.get_context("spawn")


class Call:
    """A call that says when it has begun and ends when it is told to."""

    def __init__(self, answer: bytes | Exception = b"\0candles") -> None:
        self.answer, self.calls = answer, 0
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> bytes:
        self.calls += 1
        self.begun.set()
        assert self.may_end.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Asking(threading.Thread):
    def __init__(self, call: Call, name: str = "candles") -> None:
        super().__init__()
        self.call, self.flight = call, name
        self.result: bytes | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = once(self.flight, self.call)
        except Exception as error:
            self.error = error


def wait_for(callers: int) -> None:
    """Until so many have asked since the statistics were reset."""
    client = valkey_cache.client()
    assert client is not None
    while client.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"] < callers:
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def fresh_statistics(cache: str) -> None:
    client = valkey_cache.client()
    assert client is not None
    client.config_resetstat()


def test_those_who_ask_meanwhile_get_the_one_result(cache: str) -> None:
    call = Call()
    first = Asking(call)
    assert call.begun.wait(10)
    others = [Asking(call) for _ in range(3)]
    wait_for(callers=4)
    call.may_end.set()
    for thread in (first, *others):
        thread.join()
    assert [thread.result for thread in (first, *others)] == [b"\0candles"] * 4
    assert call.calls == 1
    assert once("candles", call) == b"\0candles"  # kept for nobody who asks later
    assert call.calls == 2


def test_an_error_reaches_all_and_is_not_kept(cache: str) -> None:
    call = Call(ValueError("no such pair"))
    first = Asking(call)
    assert call.begun.wait(10)
    other = Asking(call)
    wait_for(callers=2)
    call.may_end.set()
    first.join()
    other.join()
    assert first.error is call.answer
    assert isinstance(other.error, FlightError)
    assert "candles failed in another process: ValueError: no such pair" in str(other.error)
    assert call.calls == 1
    assert once("candles", lambda: b"") == b""


def test_names_are_calls_of_their_own(cache: str) -> None:
    call = Call()
    first = Asking(call)
    assert call.begun.wait(10)
    assert once("others", lambda: b"other") == b"other"
    call.may_end.set()
    first.join()


def _hold(begun: Event) -> None:
    def call() -> bytes:
        begun.set()
        time.sleep(600)
        return b"never"

    once("candles", call, seconds=1)


def test_a_holder_that_is_killed_lets_go(cache: str) -> None:
    begun = SPAWN.Event()
    holder = SPAWN.Process(target=_hold, args=(begun,), daemon=True)
    holder.start()
    assert begun.wait(60)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    assert once("candles", lambda: b"mine") == b"mine"
    holder.join()


def test_an_interrupted_call_lets_go_at_once(cache: str) -> None:
    def interrupted() -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        once("candles", interrupted, seconds=600)
    assert once("candles", lambda: b"mine", seconds=600) == b"mine"


def test_where_valkey_is_away_the_call_is_just_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    assert once("candles", lambda: b"mine") == b"mine"


def test_losing_valkey_meanwhile_loses_no_result(home: Path, cache: str) -> None:
    call = Call()
    first = Asking(call)
    assert call.begun.wait(10)
    other = Asking(call)
    wait_for(callers=2)
    kill_valkey(home)
    while call.calls < 2:  # the other one makes the call itself
        time.sleep(0.01)
    call.may_end.set()
    first.join()
    other.join()
    assert [first.result, other.result] == [b"\0candles"] * 2


def test_what_it_leaves_ends_by_itself(cache: str) -> None:
    assert once("candles", lambda: b"mine") == b"mine"
    client = valkey_cache.client()
    assert client is not None
    left = {key.decode(): client.ttl(key) for key in client.scan_iter()}
    assert len(left) == 1, left
    assert all(key.startswith("sep:flight:candles:") and 0 < left[key] <= 10 for key in left), left
