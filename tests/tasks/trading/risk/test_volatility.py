"""Volatility: of hours, in years."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.trading.risk.volatility import volatility
from tests.tasks.trading.risk.cases import situation


def of(*returns: float) -> float | None:
    return volatility("EUR_USD", situation(returns={"EUR_USD": list(returns)}))


def test_a_year_has_the_hours_of_the_forex_week() -> None:
    assert of(*[0.001, -0.001] * 20) == pytest.approx(0.001 * math.sqrt(120 * 365.25 / 7))


def test_closed_hours_of_zero_change_nothing() -> None:
    walk = np.random.default_rng(1).normal(0, 0.001, 200).tolist()
    assert of(*walk, *[0.0] * 48) == of(*walk)


@pytest.mark.parametrize("returns", [[], [0.001] * 29, [0.0] * 100, [0.001] * 40 + [math.nan]])
def test_what_nobody_knows_is_none(returns: list[float]) -> None:
    assert of(*returns) is None
