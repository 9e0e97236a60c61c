"""Confidence and gain beside the truth of a planted walk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.market.quotes import Costs
from kernels.outcomes import SIDES, outcomes
from kernels.synthetic import PlantedWalk, draw
from tasks.intake.request import IngestRequest
from tasks.intake.rows import walk_rows
from tasks.intake.truth import keep_truth, read_truth
from tasks.reports.truth import against_truth, speaks_of
from tasks.research.recipe import Recipe
from tasks.research.simulation import Simulation, quotes, simulate
from tasks.strategy.strategies import damped
from tests.tasks.frames import one_segment, predictions_of

N, HORIZON, SEED = 20_000, 8, 1
FREE = Costs(spread=0.0)
RECIPE = Recipe.default("PLANTED", "H1", slippage=0.0)


def bars_of(walk: PlantedWalk) -> pl.DataFrame:
    return walk_rows(walk).drop("source_row")


@pytest.fixture(scope="module")
def walk() -> PlantedWalk:
    return draw("drift", N, seed=SEED, horizon=HORIZON)


@pytest.fixture
def truth(walk: PlantedWalk, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    assert read_truth("PLANTED", "H1") is None
    request = IngestRequest(pair="PLANTED", source="planted", seed=SEED, bars=N, size=1.0)
    keep_truth(walk, request, HORIZON)
    kept = read_truth("PLANTED", "H1")
    assert kept is not None
    return kept


def predictions(walk: PlantedWalk, share: float) -> pl.DataFrame:
    """Believe the base rate, and so much of what the truth says beyond it."""
    bars = bars_of(walk)
    columns: dict[str, Any] = {}
    resolved = outcomes(
        quotes(bars, FREE), one_segment(N), horizon=HORIZON, slippage=0.0, engine="cpu"
    )
    for side, name in enumerate(SIDES):
        base = float(walk.true_probability[:, side].mean())
        belief = base + share * (walk.true_probability[:, side] - base)
        columns |= {f"confidence_{name}": belief, f"lower_{name}": belief, f"upper_{name}": belief}
        columns |= {f"win_{name}": np.asarray(resolved.win)[:, side]}
        columns |= {f"margin_{name}": share * walk.true_gain[:, side] - (share == 0)}
    columns |= {name: bars[name] for name in ("open", "high", "low", "close")}
    columns["split"] = np.repeat(["library", "calibration", "test"], [N // 4, N // 4, N // 2])
    frame = predictions_of(N, **columns).with_columns(timestamp=bars["timestamp"])
    return frame.with_columns(pl.col("^win_.*$").replace(-1, None))


def trader(walk: PlantedWalk) -> Any:
    bars = bars_of(walk)[N // 2 :]

    def trade(told: pl.DataFrame) -> Simulation:
        signals = damped(told.filter(pl.col("split") == "test"))
        return simulate(
            bars, signals, segments=one_segment(bars.height), horizon=HORIZON, costs=FREE
        )

    return trade


def told(walk: PlantedWalk, truth: pl.DataFrame, share: float) -> dict[str, Any]:
    believed, trade = predictions(walk, share), trader(walk)
    return against_truth(believed, trade(believed), truth, trade, horizon=HORIZON)


def test_who_knows_the_truth_knows_and_earns_all_of_it(
    walk: PlantedWalk, truth: pl.DataFrame
) -> None:
    result = told(walk, truth, 1.0)
    assert (result["skill_share"], result["net_share"]) == pytest.approx((1.0, 1.0))
    assert result["brier_skill"] > 0.05
    assert result["trades"] > 50
    assert result["sentence"] == ("100 % of what could be known, 100 % of what could be earned")


def test_who_knows_half_of_it_knows_less(walk: PlantedWalk, truth: pl.DataFrame) -> None:
    assert 0.5 < told(walk, truth, 0.5)["skill_share"] < 0.95
    nothing = told(walk, truth, 0.0)
    assert nothing["net_share"] == 0.0
    assert "0 % of what could be earned" in nothing["sentence"]


def test_where_there_is_nothing_to_know_no_share_is_told(truth: pl.DataFrame) -> None:
    walk = draw("none", N, seed=SEED, horizon=HORIZON)
    sides = {
        f"{name}_{side}": getattr(walk, name)[:, column]
        for name in ("true_probability", "true_gain")
        for column, side in enumerate(SIDES)
    }
    result = told(walk, truth.with_columns(**sides, close=walk.close), 1.0)
    assert (result["skill_share"], result["net_share"]) == (None, None)
    assert result["sentence"].startswith("too little could be known to tell a share of it (a skill")
    assert "too little could be earned to tell a share of it (0.00 %)" in result["sentence"]


def test_it_speaks_of_its_own_bars_and_trades_alone(walk: PlantedWalk, truth: pl.DataFrame) -> None:
    believed = predictions(walk, 1.0)
    assert speaks_of(truth, RECIPE, believed)
    assert speaks_of(truth, replace(RECIPE, stop_deviations=None), believed)
    assert speaks_of(truth.tail(N // 2), RECIPE, believed)
    for recipe in (
        replace(RECIPE, horizon=9),
        replace(RECIPE, stop_deviations=1.0),
        replace(RECIPE, target_deviations=1.0),
        replace(RECIPE, slippage=1e-5),
        replace(RECIPE, commission=1e-5),
        replace(RECIPE, swap_short=1e-3),
    ):
        assert not speaks_of(truth, recipe, believed)
    other = truth.with_columns(close=pl.col("close") * 1.0001)
    assert not speaks_of(other, RECIPE, believed)
    assert not speaks_of(truth.head(N - 1), RECIPE, believed)
    assert not speaks_of(truth, RECIPE, believed.filter(pl.col("split") != "test"))
