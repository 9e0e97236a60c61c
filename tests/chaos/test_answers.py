"""Answers of OANDA with parts that are others, gone, doubled, or come from nowhere."""

from __future__ import annotations

from tests.chaos.conftest import Proof
from tests.infra.brokers.oanda.test_fuzz import Fuzz

ANSWERS = 1000


def test_mangled_answers_of_oanda(seeds: Proof) -> None:
    """None crashes the client, none counts as a fill that does not tell of our order."""
    fuzz = Fuzz(seeds.counts)
    for seed in seeds:
        for number in range(ANSWERS):
            fuzz.once(seed * ANSWERS + number)
