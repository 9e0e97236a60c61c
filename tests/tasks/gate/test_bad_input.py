"""Bars that teach nothing: a refusal that says what is missing, or the base rate and no trade."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.bars import PRICES, QUOTES, content_hash
from infra.postgres import database as db
from infra.stores.bulk import BarStore
from kernels.synthetic import draw
from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.gate.checks import passed
from tasks.gate.rehearsal import Rehearsal, rehearse
from tasks.research import registry
from tasks.research.measure import BarsError, measure_by
from tasks.research.model import Model
from tasks.research.recipe import Recipe
from tasks.research.registry import ModelRefused
from tasks.research.spans import TooShort, least
from tasks.rules.selection import select
from tasks.rules.setup import Setup
from tasks.rules.sweep import Past
from tasks.rules.texts import find
from tests.tasks.research.walks import bars_of

PAIR = "PLANTED_NONE"
BARS = 2_600
STRATEGIES = ("damped_consensus", "damped", "mean_reversion")
Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return bars_of(draw("none", BARS, seed=3))


def rehearsed(
    bars: pl.DataFrame, strategy: str = "damped_consensus", tries: int = 4, **changes: Any
) -> Rehearsal:
    recipe = Recipe.default(PAIR, "H1", **{"slippage": 0.0, **changes})
    return rehearse(Setup.of(find(strategy, PAIR, "H1"), recipe, {}), bars, tries=tries)


def with_all(column: str, value: float | None) -> Change:
    return lambda bars: bars.with_columns(pl.lit(value, pl.Float64).alias(column))


def with_one(column: str, value: float | None) -> Change:
    row = pl.int_range(pl.len()) == 1_000
    spoilt = pl.when(row).then(pl.lit(value, pl.Float64)).otherwise(pl.col(column))
    return lambda bars: bars.with_columns(spoilt.alias(column))


def still(bars: pl.DataFrame, start: int = 0, stop: int = BARS) -> pl.DataFrame:
    """Prices that stay where they are from one bar to another."""
    inside = pl.int_range(pl.len()).is_between(start, stop, closed="left")
    return bars.with_columns(
        pl.when(inside).then(pl.lit(bars[name][start])).otherwise(pl.col(name)).alias(name)
        for name in (*PRICES, *QUOTES)
    )


def going(bars: pl.DataFrame, step: float, noise: float = 1e-5) -> pl.DataFrame:
    """Prices that go one way."""
    drawn = np.random.default_rng(1).standard_normal(len(bars))
    close = 1.1 * np.exp(np.cumsum(step + noise * drawn))
    opened = np.concatenate([[1.1], close[:-1]])
    return bars.select(
        "timestamp",
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.full(len(bars), 100.0),
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("count", [1, 300, 1_000])
def test_too_few_bars(bars: pl.DataFrame, strategy: str, count: int) -> None:
    with pytest.raises(TooShort, match=r"horizon \d+") as refused:
        rehearsed(bars[:count], strategy)
    assert missing(str(refused.value)) > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_as_many_bars_as_were_missing_are_enough(bars: pl.DataFrame, strategy: str) -> None:
    with pytest.raises(TooShort) as refused:
        rehearsed(bars[:300], strategy)
    found = rehearsed(bars[: 300 + missing(str(refused.value))], strategy)
    assert not passed(found.checks)


def missing(refusal: str) -> int:
    (told,) = re.findall(r"at least ([\d,]+) more|([\d,]+) are missing", refusal)
    return int("".join(told).replace(",", ""))


def test_too_few_bars_for_a_part_of_them(bars: pl.DataFrame) -> None:
    """A model of all would do, but parameters are compared by one of the past alone."""
    setup = Setup.of(find("damped", PAIR, "H1"), Recipe.default(PAIR, "H1", slippage=0.0), {})
    few = bars[: 300 + least(8)]
    past = Past(few, measure_by(setup.recipe, few, engine="cpu"), {"bars": few}, "cpu")
    assert past.spans(8)
    with pytest.raises(TooShort, match=r"on a part of them: horizon 8 .*, \d+ are missing"):
        select(setup, past, 4, fixed=("horizon", "stop"))


def test_none_is_compared_where_none_is_asked_for(bars: pl.DataFrame) -> None:
    with pytest.raises(TooShort, match=r"at least [\d,]+ more bars"):
        rehearsed(bars[:1_000], "mean_reversion", tries=0)


@pytest.mark.parametrize("value", [None, math.nan])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_volume(bars: pl.DataFrame, strategy: str, value: float | None) -> None:
    with pytest.raises(BarsError, match=r"none of .* bars has metrics: .* \(volume\)"):
        rehearsed(with_all("volume", value)(bars), strategy, encoder="volume")


def test_no_column_of_volume(bars: pl.DataFrame) -> None:
    with pytest.raises(BarsError, match="reads volume, which bars do not have"):
        rehearsed(bars.drop("volume"), encoder="volume")


def test_volume_that_nothing_reads_is_not_missed(bars: pl.DataFrame) -> None:
    columns = [with_all("volume", None)(bars), bars.drop("volume"), bars]
    signals = [rehearsed(each).signals for each in columns]
    assert signals[0].equals(signals[2])
    assert signals[1].equals(signals[2])


@pytest.mark.parametrize("encoder", ["direction", "volatility", "volume", "body"])
def test_constant_prices(bars: pl.DataFrame, encoder: str) -> None:
    with pytest.raises(BarsError, match=r"none of .* bars .*has metrics: .* prices that move"):
        rehearsed(still(bars), encoder=encoder)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("start", "stop"), [(1_300, BARS), (2_200, BARS)])
def test_prices_that_stop(bars: pl.DataFrame, strategy: str, start: int, stop: int) -> None:
    try:
        found = rehearsed(still(bars, start, stop), strategy)
    except (BarsError, TooShort) as refused:
        assert re.search(r"needed|missing|at least|a bar needs", str(refused))  # noqa: PT017
        return
    assert not passed(found.checks)
    assert found.predictions[BARS - 50 :]["confidence_long"].is_null().all()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "change",
    [lambda bars: going(bars, 1e-3), lambda bars: going(bars, -1e-3)],
    ids=["up", "down"],
)
def test_one_side_always_wins(bars: pl.DataFrame, strategy: str, change: Change) -> None:
    assert_nothing_is_believed(rehearsed(change(bars), strategy))


def test_no_trade_ever_wins(bars: pl.DataFrame) -> None:
    found = rehearsed(bars, slippage=0.05)
    assert_nothing_is_believed(found)
    assert found.predictions["confidence_long"].max() < 0.01  # type: ignore[operator]


def assert_nothing_is_believed(found: Rehearsal) -> None:
    """The base rate alone is said, nothing is traded, and the gate is shut."""
    said = found.predictions.filter(pl.col("split") == "test")
    for side in ("long", "short"):
        assert said[f"confidence_{side}"].drop_nulls().n_unique() == 1
    assert found.found.trades == 0
    assert not any(each.passed for each in found.checks)
    assert "nothing was traded" in found.checks[0].why


def test_prices_that_move_evenly(bars: pl.DataFrame) -> None:
    with pytest.raises(BarsError, match=r"bars of the library span look as all do in the mean"):
        rehearsed(going(bars, 1e-3, noise=0))


@pytest.mark.parametrize(
    "change",
    [
        with_one("close", math.nan),
        with_one("high", math.inf),
        with_one("low", None),
        with_all("open", None),
        with_one("bid_open", math.nan),
        with_one("ask_close", None),
    ],
)
def test_a_price_that_is_no_number(bars: pl.DataFrame, change: Change) -> None:
    with pytest.raises(BarsError, match=r"of the bar at 2015-.* ingest the bars again"):
        rehearsed(change(bars))


def test_bars_out_of_order(bars: pl.DataFrame) -> None:
    with pytest.raises(BarsError, match="must ascend"):
        rehearsed(bars.reverse())


@pytest.fixture
def store(home: Path, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BarStore:
    monkeypatch.setattr("tasks.folder.settings", lambda: At(tmp_path))
    with db.engine().begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO pairs VALUES ('{PAIR}', 'H1')")
    return bar_store()


class At:
    """A home of the test's own; the database is the session's."""

    def __init__(self, home: Path) -> None:
        self.home = home


def test_a_model_of_other_bars(bars: pl.DataFrame, store: BarStore) -> None:
    (trained,) = rehearsed(bars).models.values()
    frozen = replace(trained.frozen, data_hash=content_hash(bars))
    model = Model(trained.model_id, frozen, trained.confidence)
    folder = RunFolder.of("backtest", "other")
    document.write(folder.model, model)
    registry.register(model, str(folder.path), {})
    chosen = registry.entry(model.model_id)
    with pytest.raises(ModelRefused, match=r"trained on 2,600 bars .*\(0 are there now\)"):
        registry.in_force(chosen, store)
    store.write(PAIR, "H1", bars)
    assert registry.in_force(chosen, store).model_id == model.model_id
    store.write(PAIR, "H1", bars.with_columns(close=pl.col("close") * 1.0001))
    with pytest.raises(ModelRefused, match=r"are not as they were .*: train again by"):
        registry.in_force(chosen, store)
