"""Skills of many forecasts at once, against those of one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.evaluation import Floats, brier_skill
from kernels.statistics.calibration import skill_interval
from kernels.statistics.skills import GROUPS, skills

BASE = 0.45


def told(n: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Two forecasts, one of skill and one of none, and what came."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.2, 0.7, n)
    won = (rng.random(n) < true).astype(float)
    return np.column_stack([true, rng.uniform(0.2, 0.7, n)]), won, (BASE - won) ** 2


@pytest.mark.parametrize("n", [20, 63, 500, GROUPS, GROUPS + 1, 5 * GROUPS + 3])
def test_skill_is_that_of_each_alone(n: int) -> None:
    said, won, usual = told(n)
    found = skills((said - won[:, None]) ** 2, usual, draws=20)
    alone = [brier_skill(each, won, BASE) for each in said.T]
    np.testing.assert_allclose(found.estimate, alone)
    assert (found.low <= found.high).all()


def test_few_rows_are_drawn_as_one_forecast_alone_is() -> None:
    said, won, usual = told(800)
    found = skills((said - won[:, None]) ** 2, usual, least=9, draws=200, seed=3)
    for row, each in enumerate(said.T):
        one = skill_interval(each, won, BASE, length=found.length, draws=200, seed=3)
        assert (found.low[row], found.high[row]) == pytest.approx((one.low, one.high))


def test_stretches_of_many_rows_leave_the_interval() -> None:
    said, won, usual = told(3 * GROUPS)
    found = skills((said - won[:, None]) ** 2, usual, draws=400)
    one = skill_interval(said[:, 0], won, BASE, length=found.length, draws=400)
    assert found.low[0] == pytest.approx(one.low, abs=0.005)
    assert found.high[0] == pytest.approx(one.high, abs=0.005)
    assert found.low[0] > 0 > found.high[1]


def test_the_reference_has_no_skill_and_blocks_are_as_long_as_asked() -> None:
    _, _, usual = told(400)
    found = skills(usual[:, None], usual, least=25, draws=50)
    assert (found.estimate[0], found.low[0], found.high[0]) == (0, 0, 0)
    assert 25 <= found.length <= 400


def test_rows_that_do_not_count_change_nothing() -> None:
    said, won, usual = told(400)
    lost = (said - won[:, None]) ** 2
    found = skills(np.vstack([lost, np.zeros_like(lost)]), np.append(usual, 0 * usual), draws=20)
    np.testing.assert_allclose(found.estimate, skills(lost, usual, draws=20).estimate)


def test_bad_input_is_refused() -> None:
    said, won, usual = told(100)
    lost = (said - won[:, None]) ** 2
    with pytest.raises(ValueError, match="1 are missing"):
        skills(lost[:19], usual[:19])
    with pytest.raises(ValueError, match="100 rows of losses and 99"):
        skills(lost, usual[:99])
    with pytest.raises(ValueError, match="never wrong"):
        skills(lost, 0 * usual)
    with pytest.raises(ValueError, match="NaN"):
        skills(lost, np.where(usual > 0.25, np.nan, usual))
