"""Nothing of what is on record moves unmeant, and all that did is told at once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tasks.research.learners import boosted
from tasks.rules.texts import DEFAULT
from tests.regression.cases import CASES, Figures
from tests.regression.record import moved, read, table, write

FIGURES: Figures = {"net": 0.5, "trades": 12, "signal list": "ab", "gate": True, "skill": None}
SHARE = "gate: probability of backtest overfitting"


@pytest.mark.slow
@pytest.mark.skipif(not boosted.installed(), reason="LightGBM, which has a say, is not installed")
def test_nothing_moved() -> None:
    rows = moved(read(), {name: measure() for name, measure in CASES.items()})
    if rows:
        lines = "\n".join(table(rows))
        pytest.fail(
            f"{len(rows)} figures moved; if that is meant: python -m tests.regression --update"
            f"\n{lines}",
            pytrace=False,
        )


@pytest.mark.skipif(not boosted.installed(), reason="LightGBM, which has a say, is not installed")
def test_a_prior_that_is_wider_by_a_hundredth_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.research.stack.WEIGHT", 0.303)
    case = f"model of {DEFAULT} on the walk drift"
    names = {each.name for each in moved({case: read()[case]}, {case: CASES[case]()})}
    assert {"weight hours", "weight context", "closest decision"} <= names
    assert not {"bars", "library rows", "neighbours", "base rate long"} & names


def test_no_decision_hangs_on_the_machine() -> None:
    """Signals are hashed: none may be so close that the last digits of a fit decide it."""
    stored = read()
    close = {case: each["closest decision"] for case, each in stored.items() if len(each) > 20}
    assert len(close) == 7
    assert all(isinstance(value, float) and value > 1e-6 for value in close.values()), close


def test_all_that_moved_is_told_with_how_far() -> None:
    changes: Figures = {"net": 0.25, "trades": 15, "signal list": "cd", "gate": False, "skill": 0.1}
    rows = moved({"a": FIGURES, "gone": {"x": 1}}, {"a": changes, "new": {"y": 2}})
    assert [each.name for each in rows] == [*FIGURES, "x", "y"]
    lines = list(table(rows))
    assert lines[0].split() == ["figure", "stored", "now", "difference"]
    assert lines[1].split() == ["a:", "net", "0.5", "0.25", "-0.25"]
    assert lines[2].split() == ["a:", "trades", "12", "15", "+3"]
    assert lines[-1].split() == ["new:", "y", "(none)", "2", "other"]


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("net", 0.5 * (1 + 1e-9), True),
        ("net", 0.5 * (1 + 1e-6), False),
        ("net", math.nan, False),
        ("trades", 13, False),
        ("gate", 1, False),
        ("skill", 0.0, False),
        (SHARE, 0.301, True),
        (SHARE, 0.303, False),
    ],
)
def test_fractions_may_differ_by_what_machines_do(name: str, value: float, same: bool) -> None:
    stored = FIGURES | {SHARE: 0.3}
    rows = moved({"a": stored}, {"a": stored | {name: value}})
    assert [each.name for each in rows] == ([] if same else [name])


def test_the_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert read(path) == {}
    write({"a": FIGURES | {"net": 1 / 3}}, path)
    assert moved(read(path), {"a": FIGURES | {"net": 1 / 3}}) == []
