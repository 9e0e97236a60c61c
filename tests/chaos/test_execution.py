"""The executor at a venue that fails: worlds of seeds, most in process, some over real sockets."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.chaos.conftest import Proof
from tests.servers import empty_tables
from tests.tasks.trading import seeds as worlds
from tests.tasks.trading import test_crash_matrix as matrix
from tests.tasks.trading.crash_case import program

__all__ = ["program"]

ENOUGH = 1000
"""Seeds after which all that may happen has happened often."""


@pytest.fixture
def quick(database: str) -> Iterator[None]:
    with worlds.quick():
        yield


@pytest.mark.usefixtures("quick")
def test_worlds(seeds: Proof) -> None:
    """No order is filled twice, nothing is without a stop, the journal is the venue's at rest."""
    for seed in seeds:
        seeds.counts += worlds.check_simulated(seed).counts
    if seeds.done >= ENOUGH:
        assert not worlds.rare(seeds.done, seeds.counts)


@pytest.mark.usefixtures("quick")
def test_worlds_over_sockets(seeds: Proof) -> None:
    """The same with requests on real sockets."""
    for seed in seeds:
        seeds.counts += worlds.check_served(seed).counts


@pytest.mark.usefixtures("quick")
def test_worlds_at_the_cheap_venue(seeds: Proof) -> None:
    """The same at a venue that is nothing but an account book."""
    for seed in seeds:
        seeds.counts += worlds.check(seed).counts


def test_crash_matrix(
    seeds: Proof, program: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Executors killed at each step, whatever the venue made of the order."""
    for _ in seeds:
        empty_tables()
        shown = matrix.kill(program, matrix.CELLS if seeds.seconds else matrix.SHARE[:1])
        seeds.counts["kills"] += len(shown)
    with capsys.disabled():
        print("\n" + "\n".join(shown))
