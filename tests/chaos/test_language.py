"""Texts of strategies: hostile ones end in the language's error, valid ones see no future."""

from __future__ import annotations

import time

from tasks.audit.frames import frames_for
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.formatting import formatted
from tasks.strategy.language.parsing import parse
from tasks.strategy.language.printing import printed
from tasks.strategy.language.program import Program
from tests.chaos.conftest import Proof
from tests.tasks.strategy.language import drawn
from tests.tasks.strategy.language.test_lookahead import assert_blind, assert_incremental

TEXTS = 2_000
"""Random texts a seed: 50 seeds are 100,000."""

PROGRAMS = 5
"""Random programs a seed: 400 seeds are 2,000."""

SECONDS = 10.0
"""No text takes longer."""


def test_random_texts(seeds: Proof) -> None:
    """Whatever the text, it is a program or a fault with its place, and soon."""
    for seed in seeds:
        for number in range(seed * TEXTS, (seed + 1) * TEXTS):
            begin = time.perf_counter()
            try:
                Program.of(drawn.text(number))
                seeds.counts["programs"] += 1
            except DslError:
                seeds.counts["refused"] += 1
            assert time.perf_counter() - begin < SECONDS, number


def test_random_programs(seeds: Proof) -> None:
    """Signals hang on the past alone; texts come back from printing and from their layout."""
    for seed in seeds:
        for number in range(seed * PROGRAMS, (seed + 1) * PROGRAMS):
            text = drawn.program(number)
            script = parse(text)
            assert parse(printed(script)) == script
            assert parse(formatted(text)) == script
            program = Program.of(text)
            frames = frames_for(program, 500, seed=number, holes=0.002)
            seeds.counts["signals"] += assert_blind(program, frames, 300 + number % 190)
            assert_incremental(program, frames, 2)
            seeds.counts["programs"] += 1
