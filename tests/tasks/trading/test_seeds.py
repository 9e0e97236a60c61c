"""Worlds of seeds: the executor at a venue that fails. `make chaos` goes through many more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.tasks.trading import seeds

SHARE = 40
BOTH = (11, 17, 23)


@pytest.fixture
def worlds(database: str) -> Iterator[None]:
    with seeds.quick():
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("worlds")
def test_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for seed in range(SHARE):
        print(f"seed {seed}")  # shown if it fails
        counts += seeds.check_simulated(seed).counts
    with capsys.disabled():
        print(f"\n{seeds.told(SHARE, counts)}")
    for name in ("entry filled", "exit filled", "killed", "! drop after", "! late after"):
        assert counts[name] > 0, f"{name} never came"


@pytest.mark.usefixtures("worlds")
@pytest.mark.parametrize("seed", BOTH)
def test_a_seed_is_lived_through_twice_in_the_same_way(seed: int) -> None:
    assert seeds.check_simulated(seed) == seeds.check_simulated(seed)


@pytest.mark.usefixtures("worlds")
@pytest.mark.parametrize("seed", BOTH)
def test_the_cheap_venue(seed: int) -> None:
    assert seeds.check(seed) == seeds.check(seed)
