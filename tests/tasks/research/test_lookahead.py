"""The stack as a whole looks at nothing of the future: every planted walk, and real hours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infra.bars import PRICES, QUOTES
from infra.market.spreads import SHAPE
from infra.sources.sample import read_sample
from infra.stores.bulk import BarStore
from kernels.synthetic import WALKS, draw
from tasks import document
from tasks.live.newest import predict_newest
from tasks.research.leads import STALE
from tasks.research.learners import boosted
from tasks.research.library import Library
from tasks.research.measure import BarsError
from tasks.research.model import Model
from tasks.research.recipe import Recipe
from tasks.research.search import search
from tasks.research.timeline import Timeline
from tasks.research.training import asked
from tasks.research.walkforward import replay
from tests.tasks.research.walks import Study, bars_of, measured, recipe_of, run

BARS, SEED = 3_200, 3
HOUR = timedelta(hours=1)
SAMPLE, CHARGED = "sample", "charged"
BELIEFS = ("confidence", "lower", "upper", "expected", "doubt", "margin", "break_even")
TOLD = ["k_eff", *(f"{name}_{side}" for name in BELIEFS for side in ("long", "short"))]
COSTS = {"spread_hours": SHAPE, "commission": 2e-5, "swap_long": -0.03, "swap_short": 0.004}
Others = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Case:
    """Bars, those of other pairs, and what the chain made of them."""

    recipe: Recipe
    bars: pl.DataFrame
    others: Others
    study: Study

    def up_to(self, stop: int) -> tuple[pl.DataFrame, Others]:
        """Return what was there at the close of the bar before number `stop`."""
        end = self.bars["timestamp"][stop - 1]
        known = {
            pair: bars.filter(pl.col("timestamp") <= end) for pair, bars in self.others.items()
        }
        return self.bars.head(stop), known


@cache
def case(name: str) -> Case:
    if name == SAMPLE:
        return of(Recipe.default("EUR_USD", "H1"), sample_hours().tail(BARS), {})
    if name == CHARGED:
        return of(Recipe.default("EUR_USD", "H1", **COSTS), sample_hours().tail(BARS), {})
    walk, leader = draw(name, BARS, seed=SEED), WALKS[name].leader
    others = {leader: bars_of(walk.leader)} if leader and walk.leader else {}
    return of(recipe_of(name), bars_of(walk), others)


def sample_hours() -> pl.DataFrame:
    """Return real hours: weekends, holidays, ties, and costs that are numbers of the recipe."""
    stamp = pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC")
    prices = pl.col(*PRICES, "volume").cast(pl.Float64)
    return read_sample().select(stamp, prices).sort("timestamp")


def of(recipe: Recipe, bars: pl.DataFrame, others: Others) -> Case:
    return Case(recipe, bars, others, run(bars, recipe, others))


STANDING = ("drift", "lead", "gaps")
"""Walks that stand for all of them in a quick run."""
OTHERS = [pytest.param(name, marks=pytest.mark.proof) for name in WALKS if name not in STANDING]
CASES = pytest.mark.parametrize("name", [*STANDING, *OTHERS, SAMPLE])
ALL_CASES = pytest.mark.parametrize("name", [*STANDING, *OTHERS, SAMPLE, CHARGED])


def cut_to(model: Model, bars: int) -> Model:
    spans = model.frozen.spans
    test = replace(spans.test, stop=bars)
    return replace(model, frozen=replace(model.frozen, spans=replace(spans, test=test), bars=bars))


@ALL_CASES
def test_what_is_told_of_a_bar_hangs_on_no_later_one(name: str) -> None:
    whole = case(name)
    first = whole.study.model.frozen.spans.test.start
    for stop in (first + 1, first + 200, BARS):
        bars, others = whole.up_to(stop)
        measures, outcomes = measured(bars, whole.recipe, others)
        model = cut_to(whole.study.model, stop)
        _, answers = replay(measures, outcomes, model.frozen, engine="cpu")
        last = model.predict(*asked(measures, model.frozen, answers.tail(1)))
        same = whole.study.predicted.filter(position=stop - 1)
        assert_frame_equal(last.select(TOLD), same.select(TOLD), check_exact=True)
        assert last["confidence_long"].is_not_null().all()


def poisoned(bars: pl.DataFrame, after: datetime) -> pl.DataFrame:
    """Return bars whose prices jump up and down after a moment, and go on another way."""
    later = pl.col("timestamp") > after
    number = pl.int_range(pl.len())
    other = 1.3 + 0.2 * (number * 0.7).sin() + 0.01 * (number % 7)
    names = [each for each in (*PRICES, *QUOTES) if each in bars.columns]
    return bars.with_columns(
        pl.when(later).then(pl.col(each) * other).otherwise(each).alias(each) for each in names
    )


@CASES
def test_what_comes_after_the_calibration_span_changes_no_model(name: str) -> None:
    whole = case(name)
    frozen = whole.study.model.frozen
    end = whole.bars["timestamp"][frozen.spans.calibration.stop + frozen.recipe.horizon]
    others = {pair: poisoned(bars, end) for pair, bars in whole.others.items()}
    other = run(poisoned(whole.bars, end), whole.recipe, others)
    assert other.test["close"].to_list() != whole.study.test["close"].to_list()
    plain = document.to_plain(other.model)
    assert plain["confidence"] == document.to_plain(whole.study.model)["confidence"]
    for each in ("similarity", "standard", "log_sigma", "base_rate", "stride"):
        assert plain["frozen"][each] == document.to_plain(frozen)[each], each
    for span in ("library", "calibration"):
        told, same = (each.predicted.filter(split=span) for each in (other, whole.study))
        assert_frame_equal(told.select(TOLD), same.select(TOLD), check_exact=True)


@CASES
def test_a_twin_of_the_bar_that_asks_is_not_found_before_its_outcome_is_known(name: str) -> None:
    """The library holds an exact copy of the query; until it has ended nobody may know of it."""
    study = case(name).study
    frozen = study.model.frozen
    starts = Timeline.of(study.bars["timestamp"]).starts
    paths, looked = frozen.paths(study.measures.trajectory), frozen.features(study.measures)
    library = Library.build(paths, looked, study.outcomes, starts, stride=1)
    position = np.arange(frozen.spans.test.start + 10, frozen.spans.test.stop - 40, 61)
    alone, found, control = (
        pl.concat([ask(study, bar, library, twin) for bar in position.tolist()])
        for twin in (None, 1, 0)
    )
    assert_frame_equal(found, alone, check_exact=True)
    # that a copy would be found if it might: else nothing was tested
    assert (control["local_long"] > alone["local_long"]).all()


def ask(study: Study, bar: int, library: Library, known_in: int | None) -> pl.DataFrame:
    """Return what neighbours say of a bar, if its twin won and was known so many bars later."""
    frozen, timeline = study.model.frozen, Timeline.of(study.bars["timestamp"])
    path = frozen.paths(study.measures.trajectory[[bar]])
    looked = frozen.features(study.measures)[[bar]]
    if known_in is not None:
        twin = Library(
            paths=path,
            time=timeline.starts[[bar - 1]],
            known=timeline.starts[[bar + known_in]],
            win=np.array([[1, 0]], np.int8),
            group=np.zeros(1, np.int32),
            features=looked,
        )
        library = merged(library, twin)
    number = np.array([bar])
    return search(path, looked, number, library, timeline, rule=frozen.rule, engine="cpu")


def merged(library: Library, more: Library) -> Library:
    columns = zip(vars(library).values(), vars(more).values(), strict=True)
    both = Library(*(np.concatenate(pair) for pair in columns))
    return both.take(np.argsort(both.known, kind="stable"))  # type: ignore[arg-type]


@ALL_CASES
def test_the_live_cycle_tells_what_the_backtest_told(name: str, tmp_path: Path) -> None:
    whole = case(name)
    study, stamps = whole.study, whole.bars["timestamp"]
    store = stored(tmp_path, whole.recipe.pair, whole.bars, whole.others)
    library, _ = replay(study.measures, study.outcomes, study.model.frozen, engine="cpu")
    early = library.take(slice(0, 300))  # the rest is added live
    for position in (BARS - 500, BARS - 2, BARS - 1):
        live = predict_newest(
            model=study.model,
            library=early if position == BARS - 1 else library,
            store=store,
            as_of=stamps[position] + HOUR,
            engine="cpu",
        )
        same = study.predicted.filter(position=position)
        columns = [each for each in live.columns if each != "segment"]
        assert_frame_equal(live.select(columns), same.select(columns), check_exact=True)
        assert live["confidence_long"].is_not_null().all()


def stored(folder: Path, pair: str, bars: pl.DataFrame, others: Others) -> BarStore:
    store = BarStore(folder)
    for name, each in {pair: bars, **others}.items():
        store.write(name, "H1", each)
    return store


# --- leads ---


@pytest.mark.parametrize("lost", ["the newest", "a few", "many"])
def test_a_leader_that_lacks_bars_is_the_same_live_as_in_a_backtest(
    lost: str, tmp_path: Path
) -> None:
    """A bar of the leader that has not come is no reason to wait, nor one to look ahead."""
    whole = case("lead")
    (pair, leader), *_ = whole.others.items()
    number, at = pl.int_range(pl.len()), BARS - 300
    gone = {"the newest": (at, at), "a few": (at - 5, at + 3), "many": (at - 400, at - 100)}[lost]
    holed = leader.filter(~number.is_between(*gone))
    holed_case = of(whole.recipe, whole.bars, {pair: holed})
    study = holed_case.study
    store = stored(tmp_path, whole.recipe.pair, whole.bars, {pair: holed})
    library, _ = replay(study.measures, study.outcomes, study.model.frozen, engine="cpu")
    for position in sorted({at, gone[0], gone[1] - 1, gone[1] + 1}):
        stamp = whole.bars["timestamp"][position]
        live = predict_newest(study.model, library, store, as_of=stamp + HOUR, engine="cpu")
        same = study.predicted.filter(position=position)
        assert live["position"].to_list() == [position]
        assert_frame_equal(live.select(TOLD), same.select(TOLD), check_exact=True)
        names = [each for each in live.columns if each.startswith("lead_")]
        assert_frame_equal(live.select(names), same.select(names), check_exact=True)
        if lost == "the newest" and position == at:
            before = study.predicted.filter(position=at - 1)
            assert live.select(names).row(0) == before.select(names).row(0)
        if lost == "many":
            nothing = (0.0,) * len(names)
            assert (live.select(names).row(0) == nothing) == (position > gone[0] - 1 + STALE)


def test_a_leaders_next_bar_is_not_looked_at(tmp_path: Path) -> None:
    """The store holds later bars of the leader than of the pair: they began after the close."""
    whole = case("lead")
    at = BARS - 400
    pair_bars, _ = whole.up_to(at + 1)
    store = stored(tmp_path, whole.recipe.pair, pair_bars, whole.others)
    study = whole.study
    library, _ = replay(study.measures, study.outcomes, study.model.frozen, engine="cpu")
    stamp = whole.bars["timestamp"][at]
    for late in (HOUR, 3 * HOUR):
        live = predict_newest(
            study.model,
            library.take(library.known <= np.datetime64(stamp.replace(tzinfo=None), "us")),
            store,
            as_of=stamp + late,
            engine="cpu",
        )
        same = study.predicted.filter(position=at)
        assert_frame_equal(live.select(TOLD), same.select(TOLD), check_exact=True)


def test_a_leader_without_bars_says_what_to_do(tmp_path: Path) -> None:
    whole = case("lead")
    study = whole.study
    store = stored(tmp_path, whole.recipe.pair, whole.bars, {})
    library, _ = replay(study.measures, study.outcomes, study.model.frozen, engine="cpu")
    with pytest.raises(BarsError, match=r"no bars of PLANTED_LEADER, .*: run `ingest`"):
        predict_newest(
            study.model,
            library,
            store,
            as_of=whole.bars["timestamp"][-1] + HOUR,
            engine="cpu",
        )


def test_a_model_with_trees_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightgbm")
    model = case("drift").study.model
    document.write(tmp_path / "model.json", model)
    assert "boosted" in document.read(tmp_path / "model.json", Model).confidence.learners
    monkeypatch.setattr(boosted, "find_spec", lambda _: None)
    with pytest.raises(document.DocumentError, match="need LightGBM"):
        document.read(tmp_path / "model.json", Model)
