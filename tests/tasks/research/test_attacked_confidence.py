"""Confidence under attack: one class, long trades, ruin, strides, damaged and foreign models."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from flows.backtest import BacktestRequest
from infra.stores.bulk import BarStore
from kernels.synthetic import draw
from tasks import document
from tasks.backtest import take_bars
from tasks.document import DocumentError
from tasks.research.gains import RUIN, growth
from tasks.research.learners import boosted
from tasks.research.measure import BarsError
from tasks.research.model import Model
from tasks.research.recipe import Recipe
from tests.tasks.research.judging import summary
from tests.tasks.research.walks import Study, by_side, run, study
from tests.tasks.research.walks import bars_of as bars_of_walk


def bars_of(close: Any) -> pl.DataFrame:
    """Return hours of mid prices."""
    start, opened = datetime(2015, 1, 5, tzinfo=UTC), np.concatenate([close[:1], close[:-1]])
    times = [start + timedelta(hours=hour) for hour in range(len(close))]
    return pl.DataFrame(
        {
            "timestamp": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "open": opened,
            "high": np.maximum(opened, close),
            "low": np.minimum(opened, close),
            "close": close,
            "volume": np.ones(len(close)),
        }
    )


def drawn(bars: int = 3_000, seed: int = 0) -> Any:
    return np.exp(np.cumsum(np.random.default_rng(seed).standard_normal(bars) * 1e-3))


def recipe_of(**changes: Any) -> Recipe:
    usual = Recipe.default("PLANTED_NONE", "H1", spread=1e-4, slippage=0.0)
    return replace(usual, **changes)


@pytest.fixture(scope="module")
def told() -> Study:
    return run(bars_of(drawn()), recipe_of())


def test_where_every_trade_loses_the_base_rate_is_said() -> None:
    ruinous = run(bars_of(drawn()), recipe_of(spread=0.2))
    assert by_side(ruinous.test, "confidence").max() < 0.01
    assert np.isfinite(by_side(ruinous.test, "lower")).all()
    assert not summary(ruinous)["signals"]


def test_bounds_of_long_trades_hold_the_doubt_of_the_base_rate() -> None:
    """75 trades of 200 bars say little of how many win in the mean: 6 walks without any edge."""
    above = []
    for seed in range(6):
        walk = draw("none", 20_000, seed=seed, horizon=200)
        each = run(bars_of_walk(walk), recipe_of(horizon=200, stop_deviations=None))
        truth = walk.true_probability[each.test["position"].to_numpy()]
        above.append((truth >= by_side(each.test, "lower")).mean())
    assert np.mean(above) > 0.9


@pytest.mark.proof
def test_an_edge_that_died_is_not_confirmed_by_weights_that_saw_it_die() -> None:
    """The drift ends with the library span: the calibration span must speak for itself."""
    for name, least, most in (("dying", 0.0, 0.5), ("regime", 0.9, 1.1)):
        stacks = [study(name, seed, 12_000).model.confidence.stack for seed in (0, 2)]
        assert least < np.mean([stack.slope for stack in stacks]) < most


def test_a_learnt_model_survives_its_file(told: Study, tmp_path: Path) -> None:
    document.write(tmp_path / "model.json", told.model)
    again = document.read(tmp_path / "model.json", Model)
    assert document.to_plain(again) == document.to_plain(told.model)


@pytest.mark.parametrize("spoilt", [[], {"learners": []}, {"learners": {"nobody": {}}}, None])
def test_a_damaged_model_is_no_model(told: Study, tmp_path: Path, spoilt: Any) -> None:
    path = tmp_path / "model.json"
    document.write(path, told.model)
    plain = json.loads(path.read_text())
    plain["value"]["confidence"] = spoilt
    path.write_text(json.dumps(plain))
    with pytest.raises(DocumentError, match="is no Model that can be read"):
        document.read(path, Model)


def test_a_model_with_trees_is_refused_without_lightgbm(
    told: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = replace(
        told.model.confidence,
        learners={"boosted": boosted.Forest(("", ""))},
    )
    document.write(tmp_path / "model.json", replace(told.model, confidence=grown))
    monkeypatch.setattr(boosted, "find_spec", lambda _: None)
    with pytest.raises(
        DocumentError, match=r"need LightGBM: run `pip install 'sep-trader\[trees\]'`"
    ):
        document.read(tmp_path / "model.json", Model)


def test_ruin_is_a_number() -> None:
    """A short whose price doubles loses more than there is."""
    margin, gain = np.array([[-1.0, 1.0]]), np.array([[1.5, -1.5]])
    grown = growth(margin, gain, np.array([0]), np.array([[9, 9]]))
    assert grown == pytest.approx(np.log1p(RUIN))


@pytest.mark.parametrize("stride", [300, 1_200, 50_000])
def test_a_library_of_few_paths_is_refused(stride: int) -> None:
    with pytest.raises(BarsError, match=f"at least 20 are .* a smaller stride than {stride} bars"):
        run(bars_of(drawn()), recipe_of(stride=stride))


def holed(bars: int, first: int, last: int) -> pl.DataFrame:
    """Return bars that a hole of 20 interrupts each 120: no bar in between has metrics."""
    number = np.arange(bars)
    lost = (number >= first) & (number < last) & ((number - first) % 120 < 20)
    return bars_of(drawn(bars)).filter(pl.Series(~lost))


@pytest.mark.parametrize(("first", "last"), [(1_300, 9_000), (700, 5_400)])
def test_folds_that_have_nothing_to_learn_from_say_nothing(first: int, last: int) -> None:
    """All that is known lies in one fold, or hardly any of it before the calibration span."""
    holes = run(holed(9_000, first, last), recipe_of())
    told = by_side(holes.predicted, "confidence")
    assert ((told > 0) & (told < 1)).any()


def test_holes_that_leave_no_paths_are_refused() -> None:
    with pytest.raises(BarsError, match=r"has paths of \d+ outcomes .* fewer holes"):
        run(holed(9_000, 276, 5_400), recipe_of())


def test_a_lead_without_bars_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BarStore(tmp_path / "bars")
    store.write("EUR_USD", "H1", bars_of(drawn(300)))
    monkeypatch.setattr("tasks.backtest.bar_store", lambda: store)
    with pytest.raises(BarsError, match=r"no bars of GBP_USD H1 from 2015-01-05 .*run `ingest`"):
        take_bars.fn(str(tmp_path), "EUR_USD", "H1", None, None, ["GBP_USD"], [])


@pytest.mark.parametrize("leads", [["EUR_USD"], ["GBP_USD", "GBP_USD"], ["EURUSD"]])
def test_leads_are_other_pairs_each_once(leads: list[str]) -> None:
    with pytest.raises(ValidationError, match="other pairs than EUR_USD, each given once"):
        BacktestRequest(pair="EUR_USD", leads=leads)
