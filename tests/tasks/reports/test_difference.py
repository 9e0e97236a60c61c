"""What differs between two results: nothing, a figure, a setting, a hash, signals."""

from __future__ import annotations

import copy
import json
from typing import Any

import polars as pl
import pytest

from tasks.reports.difference import Difference, Differs, Signals, difference
from tests.tasks.frames import flat_bars, signals_of

SUMMARY: dict[str, Any] = {
    "verdict": "no edge after costs",
    "reasons": ["luck"],
    "money": {"net": 0.5, "net_low": None},
    "learners": [{"name": "hours", "weight": 0.25}, {"name": "local", "weight": 0.5}],
    "caution": {"tried": [{"caution": 0.5, "test": 0.1}, {"caution": "lower", "test": 0.0}]},
    "shown": {"rule": {"curve": [0.25, 0.5, 0.75]}},
    "about": {"pair": "EUR_USD", "model": "abc", "data_hash": "12", "costs": {"spread": 1.0}},
    "hashes": {"environment": "ff"},
}
BARS = flat_bars(20)


def changed(**changes: Any) -> dict[str, Any]:
    """The summary with other values by path: money__net=0.75."""
    told = copy.deepcopy(SUMMARY)
    for path, value in changes.items():
        *inner, last = path.split("__")
        place: Any = told
        for name in inner:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    return told


def compared(**changes: Any) -> Difference:
    found = difference(SUMMARY, changed(**changes))
    json.dumps(found.plain(), allow_nan=False)
    return found


def test_equal_results_differ_in_nothing() -> None:
    found = difference(SUMMARY, changed(), (signals_of({1: "long"}, BARS),) * 2)
    assert found.equal
    assert found == Difference([], [], [], Signals(1, 1, 0, 0, 0))


@pytest.mark.parametrize(
    ("change", "value", "row"),
    [
        ("money__net", 0.75, Differs("money: net", 0.5, 0.75, 0.25)),
        ("money__net_low", 0.5, Differs("money: net_low", None, 0.5)),
        ("verdict", "edge", Differs("verdict", "no edge after costs", "edge")),
        ("reasons", [], Differs("reasons", ["luck"], [])),
        ("learners__1__weight", 0.25, Differs("learners: local: weight", 0.5, 0.25, -0.25)),
        ("caution__tried__1__test", 1.0, Differs("caution: tried: lower: test", 0.0, 1.0, 1.0)),
    ],
)
def test_a_figure_differs(change: str, value: Any, row: Differs) -> None:
    found = compared(**{change: value})
    assert found.figures == [row]
    assert not found.equal
    assert found.settings == found.hashes == []


def test_of_a_curve_the_greatest_difference_is_told() -> None:
    (row,) = compared(shown__rule__curve=[0.25, 0.0, 1.0]).figures
    assert (row.name, row.difference) == ("shown: rule: curve", -0.5)
    (row,) = compared(shown__rule__curve=[0.25]).figures
    assert row.difference is None


def test_settings_and_hashes_are_told_apart() -> None:
    found = compared(about__costs={"spread": 2.0}, about__model="abd", hashes__environment="fe")
    assert found.settings == [Differs("costs: spread", 1.0, 2.0, 1.0)]
    assert [row.name for row in found.hashes] == ["about: model", "environment"]
    assert found.figures == []


def test_what_one_has_alone_differs() -> None:
    fewer = {name: value for name, value in SUMMARY.items() if name != "hashes"}
    found = difference(SUMMARY, fewer)
    assert found.hashes == [Differs("environment", "ff", None)]
    assert difference(fewer, SUMMARY).hashes == [Differs("environment", None, "ff")]


def test_signals_are_added_removed_and_changed_by_their_bar() -> None:
    ours = signals_of({1: "long", 3: "short", 5: "long"}, BARS)
    theirs = signals_of({1: "long", 3: "long", 7: "long", 9: "short"}, BARS)
    found = difference(SUMMARY, SUMMARY, (ours, theirs))
    assert found.signals == Signals(3, 4, added=2, removed=1, changed=1)
    assert not found.equal
    other = ours.with_columns(size=pl.lit(1.0))
    assert difference(SUMMARY, SUMMARY, (ours, other)).signals == Signals(3, 3, 0, 0, 3)
    nulls = ours.with_columns(confidence=pl.lit(None, pl.Float64))
    same = difference(SUMMARY, SUMMARY, (nulls, nulls)).signals
    assert same is not None
    assert same.equal


def test_without_signals_the_rest_decides() -> None:
    assert difference(SUMMARY, SUMMARY).signals is None
    assert difference(SUMMARY, SUMMARY).equal
