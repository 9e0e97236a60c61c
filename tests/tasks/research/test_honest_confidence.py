"""`python -m tests.benchmarks confidence` in short: what the whole stack reaches of the truth.

Bounds are looser than the benchmark's: two seeds of three walks are no study.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.tasks.research.judging import judged
from tests.tasks.research.walks import study

SEEDS = (1, 2)
SHARES = {"drift": 0.85, "regime": 0.7}
"""Least share of the truth's skill."""


@cache
def figures(name: str) -> list[dict[str, float]]:
    return [judged(study(name, seed), peers=False) for seed in SEEDS]


def total(name: str, figure: str) -> float:
    return sum(each[figure] for each in figures(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["drift", pytest.param("regime", marks=pytest.mark.proof)])
def test_most_of_what_can_be_known_is_told(name: str) -> None:
    assert total(name, "stack") >= SHARES[name] * total(name, "truth")
    assert total(name, "truth") > 0.1
    assert max(each["calibration"] for each in figures(name)) <= 0.035
    assert all(each["edge"] for each in figures(name))


@pytest.mark.proof
def test_most_of_what_can_be_earned_is_earned() -> None:
    assert total("drift", "net") >= 0.7 * total("drift", "oracle")
    assert total("regime", "net") >= 0.7 * total("regime", "oracle")
    assert min(total(name, "oracle") for name in SHARES) > 0.05


@pytest.mark.proof
def test_bounds_hold() -> None:
    assert np.mean([each["coverage"] for each in figures("drift")]) >= 0.93
    assert np.mean([each["coverage"] for each in figures("regime")]) >= 0.88


@pytest.mark.slow
def test_where_there_is_nothing_nothing_is_told() -> None:
    for each in figures("none"):
        assert each["stack"] >= -0.003
        assert not each["edge"]
        assert each["calibration"] <= 0.035
        assert each["net"] >= -0.01
