"""The part that makes rounds of exits without Prefect."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from deployments import exits, exits_main
from deployments.environment import plain_environment
from infra.records import alive, log_path
from infra.servers import postgres
from infra.site import DROPLET_POOL
from tasks.trading.lease import LeaseHeld, acquire
from tests.stack import Stack
from tests.tasks.trading.desk import positions
from tests.tasks.trading.walk import due


def rounds(stack: Stack) -> float:
    """When the last round began."""
    return exits.beat_path(stack.home).stat().st_mtime


def test_a_full_disk_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as left_open:  # closing it fails, too
        full = left_open.enter_context(Path("/dev/full").open("w"))
        monkeypatch.setattr(sys, "stdout", full)
        exits_main.say("begins")
        exits_main.say("ends")
        left_open.pop_all()
    with suppress(OSError):
        full.close()


@pytest.fixture
def quick(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Rounds twice a second, until the next `sep up`."""
    monkeypatch.setenv("SEP_EXITS_SECONDS", "0.5")
    environment = plain_environment(stack.settings, role="executor", pool=DROPLET_POOL)
    exits.start(stack.home, environment)
    assert exits.start(stack.home, environment) == "found"
    return stack


def test_rounds_go_on(quick: Stack) -> None:
    assert str(exits.find(quick.home)).startswith("last round at")
    before = rounds(quick)
    quick.wait_until(lambda: rounds(quick) > before + 1, seconds=30)
    assert "last round at" in quick.sep("status").stdout
    assert "begins" in log_path(quick.home, exits.NAME).read_text()


def test_they_outlast_the_death_of_the_database(quick: Stack) -> None:
    pid = quick.pids()[exits.NAME]
    quick.kill("postgres")
    before = rounds(quick)
    quick.wait_until(lambda: rounds(quick) > before + 1, seconds=60)
    postgres.start(quick.home)
    log = log_path(quick.home, exits.NAME)
    quick.wait_until(lambda: log.read_text().strip().endswith("all is well"), seconds=60)
    assert quick.pids()[exits.NAME] == pid


def test_it_ends_after_its_round(quick: Stack) -> None:
    begin = time.monotonic()
    exits.stop(quick.home)
    assert time.monotonic() - begin < 15
    assert alive(quick.home, exits.NAME) is None
    assert exits.find(quick.home) is None
    assert log_path(quick.home, exits.NAME).read_text().strip().endswith("ends")


@pytest.mark.slow
def test_exits_happen_though_flow_and_worker_are_killed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at its worst, a flow leaves the lease taken: it ends in time."""
    exits.stop(stack.home)
    stack.empty()
    due(stack.home)
    run = stack.begin("execute/droplet")
    stack.wait(run, "PENDING", "RUNNING")
    stack.kill("worker-droplet")
    with suppress(LeaseHeld):
        acquire("execute:paper", "the run that was killed")
    assert positions()[0].closed_at is None
    monkeypatch.setenv("SEP_EXITS_SECONDS", "5")
    environment = plain_environment(stack.settings, role="executor", pool=DROPLET_POOL)
    exits.start(stack.home, environment)
    stack.wait_until(lambda: positions()[0].closed_at is not None, seconds=115)
    log, said = log_path(stack.home, exits.NAME), "paper: left pair PLANTED, side long, reason time"
    stack.wait_until(lambda: said in log.read_text(), seconds=30)
