"""Pools: paths of several pairs, asked of nothing but their past, and kept where they help."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

from flows.backtest import BacktestRequest
from infra.bars import content_hash, without_empty_quotes
from infra.stores.bulk import BarStore
from kernels.outcomes import Outcomes
from kernels.synthetic import draw
from tasks import document
from tasks.backtest import take_bars
from tasks.folder import RunFolder, bar_store
from tasks.intake.rows import planted_rows
from tasks.live.newest import predict_newest
from tasks.research.knowledge import with_costs
from tasks.research.learners.roster import LEARNERS
from tasks.research.library import Library
from tasks.research.measure import BarsError, Measures, measure
from tasks.research.model import Frozen, Model
from tasks.research.pool import OWN, Pool, pooled
from tasks.research.recipe import Recipe
from tasks.research.registry import Entry, ModelRefused, in_force
from tasks.research.resolve import resolve
from tasks.research.search import Rule
from tasks.research.timeline import Timeline, Times
from tasks.research.training import asked, opinions, predictions, train
from tasks.research.walkforward import freeze, replay
from tasks.version import code_version
from tests.tasks.research.walks import bars_of, recipe_of, run

Floats = NDArray[np.float64]

BARS, HOUR = 6_000, timedelta(hours=1)
OTHER = "PLANTED_COSTLY"
RECIPE = Recipe.default("PLANTED", "H1", pool=(OTHER,))
RULE = Rule(horizon=4, k=8, strength=16.0, ridge=32.0, base_rate=(0.5, 0.5))
BELIEFS = ("confidence", "lower", "upper", "expected", "doubt", "margin")
TOLD = ("k_eff", *(f"{name}_{side}" for name in BELIEFS for side in ("long", "short")))


class Whole(NamedTuple):
    bars: pl.DataFrame
    other: pl.DataFrame
    measures: Measures
    outcomes: Outcomes
    library: Library
    pool: Pool
    answers: pl.DataFrame
    model: Model
    told: pl.DataFrame


def measured(bars: pl.DataFrame) -> Measures:
    measures = measure(bars, "PLANTED", "H1", engine="cpu")
    return replace(measures, metrics=with_costs(measures.metrics, bars, RECIPE))


def whole_of(bars: pl.DataFrame, other: pl.DataFrame, frozen: Frozen | None = None) -> Whole:
    """Run the chain on bars with a pool of one other pair."""
    measures = measured(bars)
    outcomes = resolve(bars, measures.metrics, RECIPE, engine="cpu")
    frozen = frozen or freeze(measures, outcomes, RECIPE, "data", engine="cpu")
    library, answers = replay(measures, outcomes, frozen, engine="cpu")
    pool, answers = pooled(measures, frozen, library, answers, {OTHER: other}, engine="cpu")
    model = train(measures, outcomes, frozen, answers)
    told = predictions(measures, outcomes, model, answers)
    return Whole(bars, other, measures, outcomes, library, pool, answers, model, told)


def planted(seed: int) -> pl.DataFrame:
    return planted_rows(BARS, timeframe="H1", seed=seed).drop("source_row", strict=False)


@pytest.fixture(scope="module")
def whole() -> Whole:
    return whole_of(planted(5), planted(6))


@pytest.fixture(scope="module")
def store(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> BarStore:
    bars = BarStore(tmp_path_factory.mktemp("bars"))
    bars.write("PLANTED", "H1", whole.bars)
    return bars


def hours(*numbers: int) -> Times:
    return np.array(numbers, "datetime64[h]").astype("datetime64[us]")


def library_of(paths: NDArray[np.float32], time: Times, known: Times) -> Library:
    n = len(paths)
    nothing = np.empty((n, 0), np.float32)
    return Library(paths, time, known, np.ones((n, 2), np.int8), np.zeros(n, np.int32), nothing)


def unit(rows: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((rows, 64))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


TIMELINE = Timeline(hours(*range(1_000)))


@pytest.mark.parametrize(("later", "found"), [(0, True), (1, False), (-1, True)])
def test_a_twin_of_another_pair_is_found_once_its_outcome_is_known(later: int, found: bool) -> None:
    """Known at the close of the bar that asks: yes; one bar later: no."""
    query = unit(1)
    own = library_of(unit(3, 1), hours(10, 20, 30), hours(15, 25, 35))
    twin = library_of(query, hours(95), hours(100 + later))
    pool = Pool.of([own, twin], [TIMELINE, TIMELINE])
    told = pool.find(query, hours(100), rule=RULE, engine="cpu")
    assert (told.score[0, 0] > 0.999) == found
    assert (told.index[0] >= 0).sum() == 3 + found


def test_a_copy_of_the_pair_ahead_by_a_horizon_and_a_bar_is_known_in_time(whole: Whole) -> None:
    """Through the whole chain: what the other did h + 1 bars ago had ended; h bars ago it had not.

    A copy that lies back as far as the outcome takes shows each query its own path and outcome.
    """
    scores = []
    for back in (RECIPE.horizon + 1, RECIPE.horizon):
        copy = whole.bars.with_columns(pl.col("timestamp") - back * HOUR)
        frozen, answers = whole.model.frozen, whole.answers.tail(400)
        answers = answers.filter(pl.col("position") % frozen.stride == 0).drop("^pooled_.*$")
        bars = {OTHER: copy}
        pool, _ = pooled(whole.measures, frozen, whole.library, answers, bars, engine="cpu")
        positions = answers["position"].to_numpy()
        paths = frozen.paths(whole.measures.trajectory[positions])
        starts = Timeline.of(whole.bars["timestamp"]).starts[positions]
        told = pool.find(paths, starts, rule=frozen.rule, engine="cpu")
        ahead = pool.time[told.index] + np.timedelta64(back, "h") == starts[:, None]
        scores.append(float((ahead & (told.index >= 0)).any(axis=1).mean()))
    known, unknown = scores
    assert known > 0.97  # all but those whose trade the data end before
    assert unknown == 0


def test_rows_exclude_others_of_their_own_pair_only() -> None:
    query = unit(1)
    near = query + 0.01 * unit(3, 2)
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    same = library_of(near, hours(10, 12, 20), hours(15, 17, 25))
    pool = Pool.of([same, same, same], [TIMELINE, Timeline(TIMELINE.starts[5:]), TIMELINE])
    told = pool.find(query, hours(100), rule=replace(RULE, k=16), engine="cpu")
    kept = told.index[0][told.index[0] >= 0]
    groups = pool.group[kept]
    assert [int((groups == group).sum()) for group in range(3)] == [2, 2, 2]
    for group in range(3):
        position = np.sort(pool.position[kept[groups == group]])
        assert np.diff(position).min() >= RULE.horizon


def test_a_pool_is_sorted_by_what_was_known_whatever_came_first(whole: Whole) -> None:
    pool = whole.pool
    assert (np.diff(pool.known) >= np.timedelta64(0)).all()
    assert set(np.unique(pool.group)) == {OWN, 1}
    own = pool.take(pool.group == OWN)
    np.testing.assert_array_equal(own.paths, whole.library.paths)
    np.testing.assert_array_equal(own.win, whole.library.win)


def test_a_pool_survives_its_file(whole: Whole, tmp_path: Path) -> None:
    whole.pool.write(tmp_path / "pool.parquet")
    again = Pool.read(tmp_path / "pool.parquet")
    for name, column in vars(whole.pool).items():
        np.testing.assert_array_equal(getattr(again, name), column)
        assert getattr(again, name).dtype == column.dtype


def test_every_bar_that_is_asked_of_asks_the_pool(whole: Whole) -> None:
    k_eff = whole.answers["pooled_k_eff"]
    assert k_eff.dtype == pl.Int64
    assert (k_eff.tail(3_000) > 0).all()
    for side in ("long", "short"):
        assert (whole.answers[f"pooled_wins_{side}"] <= k_eff).all()
    assert "pooled" in whole.model.confidence.learners


def test_what_is_told_of_a_bar_does_not_depend_on_later_bars_of_any_pair(whole: Whole) -> None:
    """Truncation, and poison: bars of both pairs cut after t, or those of the other changed."""
    stamps = whole.bars["timestamp"]
    for cut in (4_700, 5_321):
        test = replace(whole.model.frozen.spans.test, stop=cut + 1)
        spans = replace(whole.model.frozen.spans, test=test)
        frozen = replace(whole.model.frozen, spans=spans, bars=cut + 1)
        later = pl.col("timestamp") > stamps[cut]
        poisoned = whole.other.with_columns(
            pl.when(later).then(pl.col(name) * 1.5).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "close")
        )
        for other in (whole.other.filter(~later), poisoned):
            again = whole_of(whole.bars.head(cut + 1), other, frozen)
            last = whole.model.predict(*asked(again.measures, frozen, again.answers.tail(1)))
            same = whole.told.filter(position=cut)
            assert_frame_equal(last.select(TOLD), same.select(TOLD), check_exact=True)
            columns = ["position", "^pooled_.*$"]
            assert_frame_equal(
                again.answers.filter(pl.col("position") <= cut).select(columns),
                whole.answers.filter(pl.col("position") <= cut).select(columns),
            )


def test_the_poisoned_future_of_a_pool_changes_no_model(whole: Whole) -> None:
    edge = whole.model.frozen.spans.calibration.stop
    later = pl.col("timestamp") > whole.bars["timestamp"][edge]
    poisoned = whole.other.with_columns(
        pl.when(later).then(pl.col(name) * 1.5).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    other = whole_of(whole.bars, poisoned)
    assert other.model.confidence.to_dict() == whole.model.confidence.to_dict()
    assert not other.answers.equals(whole.answers)


def test_the_live_cycle_tells_what_the_backtest_told(whole: Whole, store: BarStore) -> None:
    assert whole.model.confidence.weights["pooled"] > 0
    for position, count in ((4_600, 1), (5_998, 1), (BARS - 1, 1_400)):
        live = predict_newest(
            whole.model,
            whole.library,
            store,
            as_of=whole.bars["timestamp"][position] + HOUR,
            count=count,
            pool=whole.pool,
            engine="cpu",
        )
        same = whole.told.filter(pl.col("position").is_between(position - count + 1, position))
        columns = [name for name in live.columns if name != "segment"]
        assert_frame_equal(live.select(columns), same.select(columns), check_exact=True)


@pytest.mark.parametrize("grown", [False, True], ids=["library of its file", "library that grew"])
def test_the_live_pool_grows_by_rows_of_its_own_pair(
    whole: Whole, store: BarStore, grown: bool
) -> None:
    """A pool cut short is completed from the bars since, also where the library was longer."""
    edge = Timeline.of(whole.bars["timestamp"]).starts[5_500]
    early = whole.library if grown else whole.library.take(whole.library.known <= edge)
    pool = whole.pool.take((whole.pool.group != OWN) | (whole.pool.known <= edge))
    assert len(pool) < len(whole.pool)
    as_of = whole.bars["timestamp"][-1] + HOUR
    live = predict_newest(whole.model, early, store, as_of=as_of, pool=pool, engine="cpu")
    same = whole.told.tail(1)
    assert_frame_equal(live.select(TOLD), same.select(TOLD), check_exact=True)


def test_a_model_with_a_pool_is_not_asked_without(whole: Whole, store: BarStore) -> None:
    as_of = whole.bars["timestamp"][-1] + HOUR
    with pytest.raises(ValueError, match="asks a pool"):
        predict_newest(whole.model, whole.library, store, as_of=as_of, engine="cpu")


def test_without_a_pool_its_learner_is_silent(whole: Whole) -> None:
    rows, _ = asked(whole.measures, whole.model.frozen, whole.answers.drop("^pooled_.*$"))
    assert not rows.pooled_k_eff.any()
    assert not rows.pooled_wins.any()
    fitted = whole.model.confidence.learners["pooled"]
    assert np.isnan(fitted.apply(rows)).all()
    again = LEARNERS["pooled"].load(fitted.to_dict())
    assert again == fitted


def test_a_pool_of_too_few_bars_adds_nothing(whole: Whole) -> None:
    bars = {OTHER: whole.other.head(200)}
    answers = whole.answers.drop("^pooled_.*$")
    pool, _ = pooled(whole.measures, whole.model.frozen, whole.library, answers, bars, engine="cpu")
    assert len(pool) == len(whole.library)


def test_trades_of_another_pair_pay_its_own_usual_costs(whole: Whole) -> None:
    """Bars without quotes cost what their pair usually costs, not what the one that asks does."""
    bars = whole.other.select("timestamp", "open", "high", "low", "close", "volume")
    asks = replace(RECIPE, pool=("EUR_CHF",), spread=0.5, slippage=0.5)
    frozen = replace(whole.model.frozen, recipe=asks)
    answers = whole.answers.tail(10).drop("^pooled_.*$")
    measures = measure(bars, "EUR_CHF", "H1", engine="cpu")
    pool, _ = pooled(
        whole.measures, frozen, whole.library, answers, {"EUR_CHF": bars}, engine="cpu"
    )
    usual = Recipe.default("EUR_CHF", "H1")
    became = resolve(bars, measures.metrics, usual, engine="cpu")
    others = pool.take(pool.group == 1)
    assert len(others) > 1_000
    np.testing.assert_array_equal(others.win, became.win[others.position])
    assert 0.2 < others.win.mean() < 0.5


@pytest.mark.parametrize("pool", [("PLANTED",), (OTHER, OTHER)])
def test_a_pool_is_of_other_pairs_each_once(pool: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="other pairs than PLANTED"):
        Recipe.default("PLANTED", "H1", pool=pool)


def test_a_request_names_pairs_in_any_spelling_and_no_unknown_ones() -> None:
    assert BacktestRequest(pair="EUR_USD", pool=["gbp/usd"]).recipe().pool == ("GBP_USD",)
    with pytest.raises(ValueError, match="no instrument is known"):
        BacktestRequest(pair="EUR_USD", pool=["nothing at all"])


def test_the_bars_of_a_pool_are_all_up_to_the_pairs_last(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    bar_store().write("PLANTED", "H1", whole.bars[3_000:5_000])
    bar_store().write(OTHER, "H1", whole.other)
    told = take_bars.fn(str(tmp_path), "PLANTED", "H1", None, None, [], [OTHER])
    kept = pl.read_parquet(RunFolder(tmp_path).pool_bars)
    assert kept["timestamp"].equals(whole.other["timestamp"].head(5_000))
    assert list(told["pool_hashes"]) == [OTHER]
    with pytest.raises(BarsError, match=r"no bars of PLANTED_FAT H1 .*run `ingest`"):
        take_bars.fn(str(tmp_path), "PLANTED", "H1", None, None, [], ["PLANTED_FAT"])


def test_a_model_is_refused_once_bars_of_its_pool_changed(whole: Whole, tmp_path: Path) -> None:
    store = BarStore(tmp_path / "bars")
    store.write("PLANTED", "H1", whole.bars)
    store.write(OTHER, "H1", whole.other[10:])
    hashes = [content_hash(without_empty_quotes(each)) for each in (whole.bars, whole.other[10:])]
    frozen = replace(whole.model.frozen, data_hash=hashes[0], pool_hashes={OTHER: hashes[1]})
    document.write(RunFolder(tmp_path).model, replace(whole.model, frozen=frozen))
    now = frozen.last_bar
    series = ("PLANTED", "H1", "damped", str(tmp_path), code_version())
    entry = Entry("model", *series, frozen.first_bar, now, now, {}, champion=True)
    assert in_force(entry, store).frozen.pool_hashes == frozen.pool_hashes
    store.write(OTHER, "H1", whole.other[9:10])
    with pytest.raises(ModelRefused, match=f"those of {OTHER} are not as they were"):
        in_force(entry, store)


SHORT = 3_000
"""Bars of a pair whose own history is short; its pool has 20,000."""


def short(kind: str, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Study a short history beside a long one of a kind: each learner's weight and skill."""
    walk = draw("reversal", 20_000, seed=seed, size=2.0)
    pool = {OTHER: bars_of(draw(kind, 20_000, seed=100 + seed, size=2.0))}
    done = run(bars_of(walk).tail(SHORT), recipe_of("reversal"), pool=pool)
    said = opinions(done.measures, done.model, done.answers)
    truth = walk.true_probability[-SHORT:][said["position"].to_numpy()]
    rate = np.array(done.model.frozen.base_rate)
    names = ("neighbours", "pooled")
    skills = {name: expected_skill(by_side_of(said, name), truth, rate) for name in names}
    return done.model.confidence.weights, skills


def by_side_of(said: pl.DataFrame, learner: str) -> Floats:
    return said.select(f"{learner}_long", f"{learner}_short").fill_null(np.nan).to_numpy()


def expected_skill(said: Floats, truth: Floats, rate: Floats) -> float:
    """Return the Brier skill against the base rate in the mean over outcomes drawn anew."""
    rows = np.isfinite(said).all(axis=1) & np.isfinite(truth).all(axis=1)
    said, truth = said[rows], truth[rows]
    unknowable = truth * (1 - truth)
    own, plain = ((guess - truth) ** 2 + unknowable for guess in (said, rate))
    return 1 - float(own.sum() / plain.sum())


def test_a_pool_of_the_same_kind_is_kept_and_tells_more() -> None:
    weights, skills = zip(*(short("reversal", seed) for seed in range(1, 7)), strict=True)
    assert np.mean([each["pooled"] for each in weights]) > 0.1
    pool, alone = (np.array([each[n] for each in skills]) for n in ("pooled", "neighbours"))
    assert (pool > alone).sum() >= 5
    assert pool.mean() > 1.2 * alone.mean()


def test_a_pool_of_noise_is_not_kept() -> None:
    weights, _ = zip(*(short("none", seed) for seed in range(1, 7)), strict=True)
    pool, alone = (np.mean([each[n] for each in weights]) for n in ("pooled", "neighbours"))
    assert pool < 0.06
    assert pool < alone / 2
