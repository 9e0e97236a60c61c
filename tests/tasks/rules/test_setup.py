"""Strategies are found, kept, and given a recipe for each exit rule."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from infra.stores.bulk import BarStore
from infra.stores.catalog import NoSeries
from tasks.document import from_plain, to_plain
from tasks.intake.rows import planted_rows
from tasks.research.recipe import Recipe
from tasks.rules.bench import with_exits
from tasks.rules.frames import measured, others, stored
from tasks.rules.setup import Setup
from tasks.rules.texts import Source, find, path_of
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.program import Program
from tasks.strategy.strategies import Plain

HEAD = 'stream bars from "PLANTED" { timeframe: "H1" }\n'
BUY = "signal %s { trigger: close() > 0; action: BUY; stop: %s; horizon: %s; }\n"


def setup_of(text: str) -> Setup:
    source = Source("s.sep", "PLANTED", "H1", {"s.sep": text})
    return Setup.of(source, Recipe.default("PLANTED", "H1", target_deviations=2.0), {})


def test_rules_of_equal_terms_are_one() -> None:
    text = HEAD + BUY % ("a", 1, 3) + BUY % ("b", 1, 3) + BUY % ("c", 1, 4) + BUY % ("d", 2, 3)
    setup = setup_of(text)
    assert setup.rules == {"a": "a", "b": "a", "c": "c", "d": "d"}
    assert list(setup.recipes) == ["a", "c", "d"]
    assert [each.horizon for each in setup.recipes.values()] == [3, 4, 3]
    assert {each.stop_deviations for each in setup.recipes.values()} == {None}
    assert {each.target_deviations for each in setup.recipes.values()} == {None}
    assert len({each.fingerprint() for each in setup.recipes.values()}) == 3


def test_a_strategy_of_python_has_the_recipes_own_rule() -> None:
    setup = Setup.of(find("damped", "EUR_USD", "M5"), Recipe.default("EUR_USD", "M5"), {})
    assert isinstance(setup.strategy, Plain)
    assert setup.rules == {"": ""}
    (recipe,) = setup.recipes.values()
    assert (recipe.stop_deviations, recipe.horizon, recipe.strategy) == (4.0, 24, "damped")
    assert recipe.digest == setup.strategy.digest
    with pytest.raises(DslError, match="damped has no parameters"):
        setup.strategy.exit_rules_of({"n": 1.0})


def test_what_enters_nothing_trains_nothing() -> None:
    setup = setup_of(HEAD + "signal out { trigger: close() > 0; action: CLOSE; }")
    with pytest.raises(DslError, match="neither BUY nor SELL"):
        _ = setup.recipes


def test_a_run_keeps_the_text_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    rules = tmp_path / "lib" / "rules.sep"
    rules.write_text("function far() = 2 * atr(14);")
    file = tmp_path / "mine.sep"
    file.write_text('import "lib/rules.sep" { far }\n' + HEAD + BUY % ("a", "far()", 3))
    source = find(str(file), "EUR_USD", "M5")
    assert source.files.keys() == {"mine.sep", "lib/rules.sep"}
    digest = source.open().digest
    assert digest == Program.read(file, pair="EUR_USD", timeframe="M5").digest
    rules.write_text("function far() = 3 * atr(14);")
    kept = from_plain(Source, json.loads(json.dumps(to_plain(source))))
    assert kept.open().digest == digest != find(str(file), "EUR_USD", "M5").open().digest
    assert kept.open().title == "mine"


def test_a_name_that_is_none_is_told_the_nearest() -> None:
    assert path_of("trend_following").name == "trend_following.sep"
    for wrong in ("trend_folowing", "../secret", "damped"):
        with pytest.raises(DslError, match=r"no strategy .*name a \.sep file or"):
            path_of(wrong)
    with pytest.raises(DslError, match="did you mean trend_following"):
        find("trend_folowing")
    with pytest.raises(DslError, match="cannot be read"):
        find("nothing.sep")
    for odd in ("...sep", "a b.sep", "-a.sep", f"{'a' * 61}.sep"):
        with pytest.raises(DslError, match="letters, digits, _ and -"):
            find(odd)


def test_a_stop_cannot_hang_on_what_is_believed_of_it() -> None:
    setup = setup_of(HEAD + BUY % ("a", '1 + confidence("long")', 3))
    bars = planted_rows(50, timeframe="H1", seed=1)
    with pytest.raises(DslError, match="must not ask what is believed"):
        setup.exits(measured(setup.strategy, {"bars": bars}, engine="cpu"))


def test_streams_without_bars_name_the_command(tmp_path: Path) -> None:
    text = HEAD + 'stream slow from "PLANTED" { timeframe: "H4" }\n' + BUY % ("a", "slow.atr(9)", 3)
    setup, store = setup_of(text), BarStore(tmp_path)
    command = "ingest/local -p pair=PLANTED -p timeframe=H"
    with pytest.raises(NoSeries, match=f"no bars yet: .*{command}1"):
        stored(setup.strategy, store, None, None)
    bars = planted_rows(50, timeframe="H1", seed=1).drop("source_row")
    store.write("PLANTED", "H1", bars)
    with pytest.raises(NoSeries, match=f"in H1, not in H4: .*{command}4"):
        others(setup.strategy, store, bars["timestamp"][0], bars["timestamp"][-1])
    with pytest.raises(DslError, match="no bars of stream slow: bring them by"):
        setup.strategy.evaluate({"bars": bars})
    with pytest.raises(DslError, match="several streams: it cannot ask a pool"):
        with_exits(setup, {"EUR_USD": bars}, engine="cpu")


def test_a_stream_ends_with_what_had_closed(tmp_path: Path) -> None:
    text = HEAD + 'stream slow from "PLANTED" { timeframe: "H4" }\n' + BUY % ("a", "slow.atr(9)", 3)
    store = BarStore(tmp_path)
    slow = planted_rows(30, timeframe="H4", seed=1).drop("source_row")
    store.write("PLANTED", "H4", slow)
    first, fourth = slow["timestamp"][0], slow["timestamp"][10]
    for hours, known in ((2, 10), (3, 11)):
        last = fourth + pl.duration(hours=hours)
        moment = pl.select(last).item()
        assert len(others(setup_of(text).strategy, store, first, moment)["slow"]) == known
