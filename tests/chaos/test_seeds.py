"""The seeds themselves: a proof goes on where it stopped, and at the seed that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import conftest
from tests.chaos.conftest import Proof, _progress


@pytest.fixture(autouse=True)
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "PROGRESS", tmp_path / "chaos.json")


def test_a_range_is_gone_through() -> None:
    assert list(Proof("one", 3, 6, seconds=60, remembered=False)) == [3, 4, 5]
    assert _progress() == {}


def test_without_time_there_is_one_seed() -> None:
    assert list(Proof("one", 7, None, seconds=0, remembered=True)) == [7]
    assert _progress() == {"one": 8}


def test_the_seed_that_failed_comes_again() -> None:
    proof = Proof("one", 0, None, seconds=60, remembered=True)
    with pytest.raises(ZeroDivisionError):
        [1 / (seed - 2) for seed in proof]
    assert (_progress(), proof.done) == ({"one": 2}, 2)
