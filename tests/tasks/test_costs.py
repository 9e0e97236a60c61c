"""The step that measures spreads: of bars before the test span, once and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.bars import QUOTES
from infra.market.spreads import BUILT_IN, SHAPE, measured
from tasks.backtest import take_bars, take_strategy
from tasks.costs import measure_spread
from tasks.document import to_plain
from tasks.folder import RunFolder, bar_store
from tasks.research.recipe import Recipe
from tasks.research.spans import before_test
from tasks.rules.setup import Setup
from tests.tasks.research.test_spreads import quoted

PLAN = Recipe.default("EUR_USD", "H1", spread_hours=SHAPE, spread_source=BUILT_IN)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    path = tmp_path / "run"
    path.mkdir()
    take_strategy.fn(str(path), "damped", to_plain(PLAN), {})
    return str(path)


def taken(folder: str) -> Recipe:
    return Setup.read(RunFolder(Path(folder))).recipe


def test_quotes_before_the_test_span_are_measured(folder: str) -> None:
    bars = quoted()
    bar_store().write("EUR_USD", "H1", bars.drop(QUOTES))
    bar_store().write("EUR_USD", "M30", bars)
    take_bars.fn(folder, "EUR_USD", "H1", None, None, [], [])
    table = measured(bars.head(before_test(len(bars))), "EUR_USD M30")
    assert table is not None
    for _ in range(2):
        told = measure_spread.fn(folder)
        assert told == {"spread": table.spread, "source": table.source}
        assert (taken(folder).spread, taken(folder).spread_hours) == table[:2]


def test_without_quotes_the_built_in_hours_stay(folder: str) -> None:
    bars = quoted().drop(QUOTES)
    bar_store().write("EUR_USD", "H1", bars)
    take_bars.fn(folder, "EUR_USD", "H1", None, None, [], [])
    assert measure_spread.fn(folder)["source"] == BUILT_IN
    assert taken(folder) == PLAN


def test_quotes_of_the_test_span_alone_measure_nothing(folder: str) -> None:
    bars = quoted()
    late = bars.slice(before_test(len(bars)))
    bar_store().write("EUR_USD", "H1", bars.drop(QUOTES))
    bar_store().write("EUR_USD", "M30", late)
    take_bars.fn(folder, "EUR_USD", "H1", None, None, [], [])
    assert measure_spread.fn(folder)["source"] == BUILT_IN
