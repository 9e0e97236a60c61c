"""Properties 6 and 7 in short: no skill where there is none, and most of it where there is some.

What a confidence must fulfil stands in harness.py; a constant one and raw vote shares fail it.
"""

from __future__ import annotations

import numpy as np
import pytest

from kernels.synthetic import planted_walk, random_walk
from tests.kernels.harness import BARS, HORIZON, Judged, judge

SEEDS = (1, 2)


def judged(kind: str, engine: str) -> list[Judged]:
    walk = planted_walk if kind == "planted" else random_walk
    return [
        side
        for seed in SEEDS
        for side in judge(walk(BARS, seed=seed, horizon=HORIZON), seed=seed, engine=engine)
    ]


@pytest.mark.slow
def test_a_random_walk_has_no_skill(engine: str) -> None:
    for side in judged("random", engine):
        assert not list(side.broken_on_null()), side.skill
        assert list(side.shares().broken_on_null()) == ["skill"]


@pytest.mark.slow
def test_a_planted_edge_is_found(engine: str) -> None:
    sides = judged("planted", engine)
    for side in sides:
        assert not list(side.broken_on_planted()), (side.skill, side.true_skill, side.error)
        assert {"skill", "bins", "deviation"} <= set(side.constant().broken_on_planted())
    assert np.mean([side.coverage for side in sides]) >= 0.93
    # Bounds that tell nothing would cover, too: these tell a winner from the average.
    assert all((side.lower > side.base_rate).any() for side in sides)
