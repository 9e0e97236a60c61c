"""Risk by coverage, by hand and by a slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.statistics.coverage import risk_coverage
from tests.kernels.statistics import naive


def test_risk_by_hand() -> None:
    found = risk_coverage([0.9, 0.5, 0.7, 0.7], [0, 1, 0, 1])
    np.testing.assert_allclose(found.threshold, [0.9, 0.7, 0.5])
    np.testing.assert_allclose(found.coverage, [0.25, 0.75, 1.0])
    np.testing.assert_allclose(found.risk, [0, 1 / 3, 0.5])
    assert found.area == pytest.approx(0.5 / 3 + 0.25 * 0.5)


@pytest.mark.parametrize("rows", [1, 2, 63, 64])
@pytest.mark.parametrize("digits", [1, 8])
def test_points_are_those_of_the_twin(rows: int, digits: int) -> None:
    rng = np.random.default_rng(rows)
    confidence, loss = rng.random(rows).round(digits), rng.standard_normal(rows)
    found = risk_coverage(confidence, loss)
    points = list(zip(found.threshold, found.coverage, found.risk, strict=True))
    np.testing.assert_allclose(points, naive.risk_coverage(confidence, loss))
    assert found.risk[-1] == pytest.approx(loss.mean())


def test_area_is_less_where_confidence_tells_and_the_mean_where_it_does_not() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 4000)
    lost = (rng.random(4000) > p).astype(float)
    assert risk_coverage(p, lost).area < 0.7 * lost.mean()
    assert risk_coverage(rng.random(4000), lost).area == pytest.approx(lost.mean(), abs=0.03)
    assert risk_coverage(np.full(4000, 0.7), lost).area == pytest.approx(lost.mean())


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="0 rows of at least 1"):
        risk_coverage([], [])
    with pytest.raises(ValueError, match="2 confidences and 1 losses"):
        risk_coverage([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="1 of 2 values of confidence are NaN"):
        risk_coverage([0.1, np.nan], [1, 0])
