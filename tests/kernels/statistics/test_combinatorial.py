"""Combinatorial cross-validation: its twin, its paths, and what noise and an edge come to."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.statistics.combinatorial import combinatorial_paths
from tests.kernels.statistics import naive


def noise(rows: int, trials: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, trials))


@pytest.mark.parametrize(
    ("groups", "tested", "purge", "embargo"), [(6, 2, 0, 0), (5, 1, 2, 1), (4, 3, 1, 3)]
)
def test_it_is_its_twin(groups: int, tested: int, purge: int, embargo: int) -> None:
    returns = noise(101, 7, seed=groups)
    found = combinatorial_paths(returns, groups=groups, tested=tested, purge=purge, embargo=embargo)
    ratios, chosen = naive.combinatorial_paths(returns, groups, tested, purge, embargo)
    np.testing.assert_allclose(found.sharpe, ratios, rtol=1e-12)
    assert found.chosen.tolist() == chosen


def test_six_groups_make_five_paths_over_all_rows() -> None:
    found = combinatorial_paths(noise(120, 3))
    assert found.returns.shape == (5, 120)
    assert len(found.chosen) == 15
    assert (found.returns != 0).all()


def test_noise_brings_nothing_and_an_edge_what_it_is_worth() -> None:
    of_noise = [combinatorial_paths(noise(240, 50, seed)).sharpe.mean() for seed in range(40)]
    assert abs(np.mean(of_noise)) < 0.03
    edge = noise(240, 50, 1)
    edge[:, 7] += 0.5
    found = combinatorial_paths(edge)
    assert (found.chosen == 7).all()
    assert found.sharpe == pytest.approx(edge[:, 7].mean() / edge[:, 7].std(ddof=1))


def test_what_lies_beside_a_tested_group_has_no_say() -> None:
    """A trial that shines in the rows before and after the tested group alone is not chosen."""
    returns = noise(100, 2, 3) * 0.1
    returns[:, 0] += 0.02
    returns[20:25, 1] += 5  # of the group before
    returns[50:55, 1] += 5
    edges = combinatorial_paths(returns, groups=4, tested=1)
    assert 1 in edges.chosen
    apart = combinatorial_paths(returns, groups=4, tested=1, purge=5, embargo=5)
    assert apart.chosen[1] == 0


@pytest.mark.parametrize("wrong", [{"groups": 2, "tested": 2}, {"tested": 0}, {"purge": -1}])
def test_what_does_not_fit_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="tested"):
        combinatorial_paths(noise(100, 3), **wrong)


def test_too_wide_a_purge_is_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing"):
        combinatorial_paths(noise(60, 3), purge=60)
