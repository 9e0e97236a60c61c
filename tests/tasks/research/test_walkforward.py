"""The walk-forward and the live cycle: nothing of the future, and the same numbers in both."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tasks.research.search
from infra.bars import content_hash, without_empty_quotes
from infra.stores import tiers
from infra.stores.bulk import BarStore
from kernels.outcomes import Outcomes
from tasks import document
from tasks.intake.rows import planted_rows
from tasks.live.newest import NoBars, predict_newest
from tasks.research.knowledge import with_costs
from tasks.research.library import Library
from tasks.research.measure import BarsError, Measures, measure
from tasks.research.model import Model
from tasks.research.recipe import Recipe
from tasks.research.resolve import resolve
from tasks.research.timeline import Timeline
from tasks.research.training import asked, predictions, train
from tasks.research.walkforward import freeze, queries, replay
from tasks.strategy.strategies import damped

HOUR = timedelta(hours=1)
RECIPE = Recipe.default("PLANTED", "H1")
BELIEFS = ("confidence", "lower", "upper", "expected", "doubt", "margin")
TOLD = ("k_eff", *(f"{name}_{side}" for name in BELIEFS for side in ("long", "short")))


class Whole(NamedTuple):
    bars: pl.DataFrame
    measures: Measures
    outcomes: Outcomes
    library: Library
    counts: pl.DataFrame
    model: Model
    told: pl.DataFrame


def measured(bars: pl.DataFrame) -> Measures:
    measures = measure(bars, "PLANTED", "H1", engine="cpu")
    return replace(measures, metrics=with_costs(measures.metrics, bars, RECIPE))


def run(bars: pl.DataFrame) -> Whole:
    measures = measured(bars)
    outcomes = resolve(bars, measures.metrics, RECIPE, engine="cpu")
    digest = content_hash(without_empty_quotes(bars))
    frozen = freeze(measures, outcomes, RECIPE, digest, engine="cpu")
    library, counts = replay(measures, outcomes, frozen, engine="cpu")
    model = train(measures, outcomes, frozen, counts)
    told = predictions(measures, outcomes, model, counts)
    return Whole(bars, measures, outcomes, library, counts, model, told)


@pytest.fixture(scope="module")
def whole() -> Whole:
    return run(planted_rows(6_000, timeframe="H1", seed=5).drop("source_row", strict=False))


@pytest.fixture(scope="module")
def store(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> BarStore:
    bars = BarStore(tmp_path_factory.mktemp("bars"))
    bars.write("PLANTED", "H1", whole.bars)
    return bars


def test_confidence_is_told_in_calibration_and_test_only(whole: Whole) -> None:
    known = whole.told.filter(pl.col("confidence_long").is_not_null())
    assert len(known) > 2_000
    spans = known.filter(pl.col("split") != "library")["split"].unique().sort().to_list()
    assert spans == ["calibration", "test"]
    assert known.select(pl.col("confidence_long").is_between(0, 1).all()).item()
    assert known.select((pl.col("lower_long") <= pl.col("upper_long")).all()).item()


def test_every_library_row_was_known_to_its_queries(whole: Whole) -> None:
    library, timeline = whole.library, Timeline.of(whole.bars["timestamp"])
    asked = queries(whole.model.frozen)
    known = library.known_before(timeline.starts[asked])
    known_at, position = timeline.numbers(library.known), timeline.numbers(library.time)
    for query, rows in zip(asked[::500], known[::500], strict=True):
        assert (known_at[:rows] <= query).all()
        assert (known_at[rows:] > query).all()
        assert (position[:rows] + RECIPE.horizon < query).all()


def test_chunks_change_nothing(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tasks.research.search.CHUNK, "cpu", 997)
    _, counts = replay(whole.measures, whole.outcomes, whole.model.frozen, engine="cpu")
    assert_frame_equal(counts, whole.counts)


def test_what_is_told_of_a_bar_does_not_depend_on_later_bars(whole: Whole) -> None:
    """Truncation: the same frozen model, on bars cut after t, tells t the same, bit for bit."""
    for cut in (4_700, 5_321, 5_999):
        bars = whole.bars.head(cut + 1)
        measures = measured(bars)
        outcomes = resolve(bars, measures.metrics, RECIPE, engine="cpu")
        frozen = cut_to(whole.model, cut + 1).frozen
        _, counts = replay(measures, outcomes, frozen, engine="cpu")
        last = whole.model.predict(*asked(measures, frozen, counts.tail(1)))
        assert_frame_equal(
            last.select(TOLD), whole.told.filter(position=cut).select(TOLD), check_exact=True
        )


def cut_to(model: Model, bars: int) -> Model:
    frozen = model.frozen
    test = type(frozen.spans.test)(frozen.spans.test.start, bars)
    spans = type(frozen.spans)(frozen.spans.library, frozen.spans.calibration, test)
    changed = type(frozen)(**{**vars(frozen), "spans": spans, "bars": bars})
    return Model(model.model_id, changed, model.confidence)


def test_poisoned_future_changes_no_model(whole: Whole) -> None:
    """What comes after the calibration span cannot change the model that was learnt."""
    edge = whole.model.frozen.spans.calibration.stop + RECIPE.horizon + 1
    prices = [name for name in whole.bars.columns if name not in ("timestamp", "volume")]
    later = pl.int_range(pl.len()) > edge
    poisoned = whole.bars.with_columns(
        pl.when(later).then(pl.col(name) * 1.5).otherwise(pl.col(name)).alias(name)
        for name in prices
    )
    other = run(poisoned).model
    assert other.confidence.to_dict() == whole.model.confidence.to_dict()
    similar = [document.to_plain(each.frozen)["similarity"] for each in (other, whole.model)]
    assert similar[0] == similar[1]


def test_the_live_cycle_tells_what_the_backtest_told(whole: Whole, store: BarStore) -> None:
    """Replayed bar by bar, predictions and signals equal the backtest's, row for row."""
    stamps = whole.bars["timestamp"]
    for position in (4_600, 5_000, 5_998, 5_999):
        live = predict_newest(
            whole.model,
            whole.library,
            store,
            as_of=stamps[position] + HOUR,
            engine="cpu",
        )
        same = whole.told.filter(position=position)
        columns = [name for name in live.columns if name != "segment"]
        assert_frame_equal(live.select(columns), same.select(columns), check_exact=True)
        assert_frame_equal(damped(live), damped(same))


def test_a_stretch_of_live_bars_equals_the_backtests(whole: Whole, store: BarStore) -> None:
    stamps = whole.bars["timestamp"]
    live = predict_newest(
        whole.model, whole.library, store, as_of=stamps[-1] + HOUR, count=1_400, engine="cpu"
    )
    assert_frame_equal(damped(live), damped(whole.told.tail(1_400)))
    assert len(damped(live)) > 0


def test_the_live_library_grows_past_the_models_own(whole: Whole, store: BarStore) -> None:
    """A library cut short is completed from the bars since, to the same answer."""
    edge = Timeline.of(whole.bars["timestamp"]).starts[5_500]
    early = whole.library.take(whole.library.known <= edge)
    as_of = whole.bars["timestamp"][-1] + HOUR
    grown = predict_newest(whole.model, early, store, as_of=as_of, engine="cpu")
    same = whole.told.tail(1)
    assert_frame_equal(grown.select(TOLD), same.select(TOLD), check_exact=True)


def test_bars_from_the_cache_tell_the_same(
    whole: Whole, store: BarStore, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "usage", tiers.Usage())
    as_of = whole.bars["timestamp"][-1] + HOUR
    for _ in range(2):
        live = predict_newest(whole.model, whole.library, store, as_of=as_of, engine="cpu")
        assert_frame_equal(live.select(TOLD), whole.told.tail(1).select(TOLD), check_exact=True)
    reads = {("PLANTED", "H1", "cold"): 1, ("PLANTED", "H1", "hot"): 1}
    assert tiers.usage.everywhere() == reads


def test_an_open_bar_is_not_looked_at(whole: Whole, store: BarStore) -> None:
    early = whole.bars["timestamp"][5_000] + HOUR - timedelta(seconds=1)
    live = predict_newest(whole.model, whole.library, store, as_of=early, engine="cpu")
    assert live["position"].to_list() == [4_999]


def test_no_complete_bar_says_what_to_do(whole: Whole, store: BarStore) -> None:
    with pytest.raises(NoBars, match="run `ingest` first"):
        predict_newest(
            whole.model, whole.library, store, as_of=whole.bars["timestamp"][0], engine="cpu"
        )


def test_models_and_libraries_survive_their_files(whole: Whole, tmp_path: Path) -> None:
    document.write(tmp_path / "model.json", whole.model)
    again = document.read(tmp_path / "model.json", Model)
    assert document.to_plain(again) == document.to_plain(whole.model)
    told = [
        each.predict(*asked(whole.measures, each.frozen, whole.counts))
        for each in (again, whole.model)
    ]
    assert_frame_equal(*told, check_exact=True)
    whole.library.write(tmp_path / "library.parquet")
    library = Library.read(tmp_path / "library.parquet")
    for name, column in vars(whole.library).items():
        np.testing.assert_array_equal(getattr(library, name), column)


@pytest.mark.parametrize("price", [None, float("nan"), float("inf"), 0.0, -1.0])
def test_bad_prices_are_refused_at_the_boundary(whole: Whole, price: float | None) -> None:
    bad = whole.bars.head(400).with_columns(
        close=pl.when(pl.int_range(pl.len()) == 300).then(price).otherwise("close")
    )
    with pytest.raises(BarsError, match="close of the bar at"):
        measure(bad, "PLANTED", "H1")


def test_no_bars_and_unsorted_bars_are_refused(whole: Whole) -> None:
    with pytest.raises(BarsError, match="run `ingest`"):
        measure(whole.bars.head(0), "PLANTED", "H1")
    with pytest.raises(BarsError, match="ascend"):
        measure(whole.bars.reverse(), "PLANTED", "H1")


def test_the_memory_plan_of_a_search_is_told() -> None:
    told = tasks.research.search.memory_plan(48_000, 372_000, k=64, engine="cpu")
    assert told == "48,000 paths in host memory, 16,384 queries at a time"
