"""The part that makes rounds of exits without Prefect."""

from __future__ import annotations

import time

import pytest

from deployments import exits
from deployments.environment import plain_environment
from infra.records import alive, log_path
from infra.servers import postgres
from infra.site import DROPLET_POOL
from tests.stack import Stack


def rounds(stack: Stack) -> float:
    """When the last round began."""
    return exits.beat_path(stack.home).stat().st_mtime


@pytest.fixture
def quick(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Rounds twice a second, until the next `sep up`."""
    monkeypatch.setenv("SEP_EXITS_SECONDS", "0.5")
    environment = plain_environment(stack.settings, role="executor", pool=DROPLET_POOL)
    assert exits.start(stack.home, environment) == "started"
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
