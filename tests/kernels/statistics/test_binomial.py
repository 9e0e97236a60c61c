"""The exact interval: that of SciPy, its closed forms at the ends, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from kernels.statistics.binomial import clopper_pearson


@pytest.mark.parametrize(("count", "trials"), [(0, 1), (1, 1), (0, 200), (7, 200), (19, 25)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_that_of_scipy(count: int, trials: int, level: float) -> None:
    peer = binomtest(count, trials).proportion_ci(level)
    assert clopper_pearson(count, trials, level=level) == pytest.approx((peer.low, peer.high))


def test_none_of_two_hundred() -> None:
    assert clopper_pearson(0, 200) == pytest.approx((0.0, 1 - 0.025 ** (1 / 200)))
    assert clopper_pearson(200, 200) == pytest.approx((0.025 ** (1 / 200), 1.0))


@pytest.mark.parametrize("true", [0.01, 0.05, 0.5])
def test_it_covers_as_often_as_it_says(true: float) -> None:
    counts = np.arange(31)
    low, high = np.array([clopper_pearson(int(count), 30) for count in counts]).T
    covered = binom.pmf(counts, 30, true)[(low <= true) & (true <= high)].sum()
    assert covered >= 0.95


@pytest.mark.parametrize(("count", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_is_refused(count: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        clopper_pearson(count, trials)
