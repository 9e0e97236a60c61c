"""The heat map of a sweep: the plane through the best set, on light and dark paper."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from infra.market.quotes import Costs
from tasks.reports.sweep_pictures import draw_sweep, others_label, plane
from tasks.rules.grid import Grid
from tasks.rules.swept import Swept, swept
from tests.tasks.frames import one_segment, random_bars
from tests.tasks.reports.test_pictures import ink, opened

GRID = Grid((0.0, 0.1, 0.2), (4, 8), (1.0, math.inf), (2.0,))


@pytest.fixture(scope="module")
def found() -> Swept:
    bars = random_bars(600, seed=1)
    metrics = bars.select("timestamp", "close").with_columns(sigma=1e-3, segment=one_segment(600))
    score = np.random.default_rng(1).normal(0, 0.15, (600, 2))
    return swept(bars, metrics, score, GRID, Costs(), engine="cpu")


def test_a_plane_goes_through_the_best_set(found: Swept) -> None:
    sharpe = np.arange(12.0)
    sharpe[5] = 20.0  # threshold 0.1, horizon 4, no stop
    found = replace(found, sharpe=sharpe, best=5)
    assert plane(found, ("threshold", "horizon")).tolist() == [[1, 20, 9], [3, 7, 11]]
    assert plane(found, ("horizon", "threshold")).tolist() == [[1, 3], [20, 7], [9, 11]]
    assert plane(found, ("stop", "target")).tolist() == [[4, 20]]
    assert others_label(found, ("threshold", "horizon")) == "stop none, target 2"


@pytest.mark.parametrize("axes", [("threshold", "horizon"), ("target", "stop")])
def test_it_is_drawn_for_light_and_dark(found: Swept, axes: tuple[str, str]) -> None:
    light, dark = (draw_sweep(found, axes, dark=dark) for dark in (False, True))
    assert opened(light).getpixel((2, 2)) == (255, 255, 255)
    assert np.asarray(opened(dark))[2, 2].max() < 50
    assert 0.1 < ink(light) < 0.95
    assert len(light) < 100_000


def test_sets_that_never_traded_have_no_colour(found: Swept) -> None:
    nothing = replace(found, sharpe=np.full(12, np.nan))
    colours = np.asarray(opened(draw_sweep(nothing))).reshape(-1, 3)
    spread = (colours.max(axis=1).astype(int) - colours.min(axis=1)) > 60
    assert spread.mean() < 0.2  # the scale beside it alone
