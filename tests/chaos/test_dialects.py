"""Bars in dialects without end, and files of them after accidents."""

from __future__ import annotations

from tests.chaos.conftest import Proof
from tests.infra.sources import mutations, test_dialects

ENOUGH = 500
"""Files from which on a share says something."""


def test_dialects_of_bars(seeds: Proof) -> None:
    """The same bars come back, or a refusal names the option; with all declared hardly ever."""
    for seed in seeds:
        seeds.counts += test_dialects.check(seed)
    if seeds.counts["files"] >= ENOUGH:
        assert seeds.counts["refused"] < test_dialects.REFUSED * seeds.counts["files"]


def test_false_words_on_dialects(seeds: Proof) -> None:
    """What the whole file contradicts is refused."""
    for seed in seeds:
        seeds.counts += test_dialects.check_false(seed)


def test_mutated_dialects(seeds: Proof) -> None:
    """There are bars, quarantine or a word on it, soon."""
    for seed in seeds:
        seeds.counts += mutations.check(seed)
