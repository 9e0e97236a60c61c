"""Rounds of an account on paper: the lease, exits, and who lives."""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.clock import VirtualClock, WallClock
from infra.postgres.database import read_frame
from infra.settings import settings
from tasks.trading import brokers, heartbeat
from tasks.trading.brokers import NoBroker
from tasks.trading.execution import cycle
from tasks.trading.lease import LeaseHeld, acquire
from tasks.trading.rounds import accounts, executor_of, exits, holder, leased
from tests.tasks.trading.desk import positions
from tests.tasks.trading.walk import HOUR, due, run, signal, this_hour

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def no_bars(home: Path) -> None:
    shutil.rmtree(home / "bars", ignore_errors=True)


def test_a_round_closes_what_is_due_and_says_that_it_lives(home: Path) -> None:
    due(home)
    executor = executor_of(settings(), "paper", WallClock())
    report = exits(executor, "a test")
    assert [row["reason"] for row in report.left] == ["time"]
    (held,) = positions()
    assert held.closed_at is not None
    age = heartbeat.age(heartbeat.EXECUTOR, datetime.now(UTC))
    assert age is not None
    assert age < timedelta(minutes=1)
    assert exits(executor, "a test").to_dict() == {
        "entered": [], "left": [], "refused": [], "findings": [],
    }  # fmt: skip
    assert read_frame("SELECT * FROM equity WHERE open_trades = 0").height >= 1


@pytest.mark.parametrize("text", ["max_risk = ", "max_risk = nan", "max_trades = " + "1" * 5000])
def test_limits_that_cannot_be_read_bar_entries_alone(home: Path, text: str) -> None:
    due(home)
    (home / "risk.toml").write_text(text)
    try:
        executor = executor_of(settings(), "paper", WallClock())
        assert [row["reason"] for row in exits(executor, "a test").left] == ["time"]
        signal(this_hour() - HOUR)
        with leased("paper", holder("a test")) as lease:
            report = cycle(executor, lease)
    finally:
        (home / "risk.toml").unlink()
    assert report.entered == []
    assert any("risk.toml" in sentence for sentence in report.findings)


def test_two_at_once_do_not_both_act(home: Path) -> None:
    due(home)
    with leased("paper", holder("another")), pytest.raises(LeaseHeld, match="another"):
        exits(executor_of(settings(), "paper", WallClock()), "a test")
    assert len(exits(executor_of(settings(), "paper", WallClock()), "a test").left) == 1


def test_a_lease_is_given_back_whatever_happens() -> None:
    with pytest.raises(ZeroDivisionError), leased("paper", "one"):
        raise ZeroDivisionError
    acquire("execute:paper", "two").release()
    assert holder("x") != holder("x")


def test_a_short_round_of_another_is_waited_for() -> None:
    first = acquire("execute:paper", "one")
    threading.Timer(0.7, first.release).start()
    with pytest.raises(LeaseHeld), leased("paper", "two"):
        pass
    with leased("paper", "two", patience=10) as held:
        assert held.token > first.token


def test_a_replay_and_the_present_share_one_lease(home: Path) -> None:
    due(home, account="replay")
    assert len(exits(executor_of(settings(), "replay", WallClock()), "a test").left) == 1
    signal(this_hour() - 6 * HOUR)
    run("replay", this_hour() - 5 * HOUR)  # in its past nothing happens, and it is not kept out
    assert len(positions()) == 1


def test_the_signal_side_is_not_waited_for_in_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_DEAD_MAN_MINUTES", "7")
    assert executor_of(settings(), "replay", VirtualClock(this_hour())).dead_man == 0
    assert executor_of(settings(), "paper", WallClock()).dead_man == 7


def test_silence_keeps_the_present_from_entering(home: Path) -> None:
    due(home)
    signal(this_hour() - HOUR)
    with leased("paper", "a test") as lease:
        report = cycle(executor_of(settings(), "paper", WallClock()), lease)
    assert len(report.left) == 1
    assert report.entered == []
    assert any("never given a sign of life" in sentence for sentence in report.findings)


def test_each_account_has_its_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert brokers.account_of(settings()) == "paper"
    assert accounts(settings()) == ["paper"]
    monkeypatch.setenv("SEP_BROKER", "oanda")
    monkeypatch.setenv("SEP_OANDA_ACCOUNT", "101-004-1-001")
    with pytest.raises(NoBroker, match="SEP_OANDA_TRADING_TOKEN"):
        brokers.broker_of(settings(), "101-004-1-001", WallClock())
    monkeypatch.setenv("SEP_OANDA_TRADING_TOKEN", "t")
    assert accounts(settings()) == ["101-004-1-001", "shadow:101-004-1-001"]
    names = [brokers.broker_of(settings(), each, WallClock()).name for each in accounts(settings())]
    assert names == ["oanda practice", "paper"]
    brokers.require_paper(settings(), "replay-1")
    with pytest.raises(NoBroker, match="a replay is on paper"):
        brokers.require_paper(settings(), "101-004-1-001")
    monkeypatch.setenv("SEP_SHADOW", "false")
    assert accounts(settings()) == ["101-004-1-001"]
