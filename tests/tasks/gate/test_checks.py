"""The gate's criteria: what passes, what fails, and what cannot be measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kernels.statistics.sharpe import expected_best, moments, probabilistic_sharpe
from tasks.gate.checks import Check, checks, deflate, passed, reasons, told
from tasks.gate.evidence import Search, Unseen
from tasks.gate.paths import paths_of


def daily(mean: float, days: int = 250, seed: int = 1) -> tuple[float, ...]:
    drawn = np.random.default_rng(seed).standard_normal(days)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return tuple(((drawn + mean) * 0.003).tolist())


def good(**changes: Any) -> Unseen:
    found = Unseen(daily(0.5), 150, 0.1, 0.08, 0.07, 0.02, 0.01, 0.03)
    return replace(found, **changes)


def searched(*means: float, sets: int = 40) -> Search:
    columns = [daily(mean, 600, seed) for seed, mean in enumerate(means)]
    return Search(np.column_stack(columns), sets, float(len(means)))


EDGE = searched(0.4, 0.1, 0.0, -0.1, 0.05, -0.2)


def by_name(found: list[Check]) -> dict[str, Check]:
    return {each.name.split(",")[0]: each for each in found}


def test_an_edge_passes_every_criterion() -> None:
    found = checks(good(), EDGE)
    assert passed(found)
    assert reasons(found) == []
    assert len(found) == 7
    assert all(line.startswith("PASS ") for line in told(found))


@pytest.mark.parametrize(
    ("name", "found", "search"),
    [
        ("deflated Sharpe ratio", good(daily=daily(0.05)), EDGE),
        ("probability of backtest overfitting", good(), searched(*(0.0,) * 8)),
        ("superior predictive ability", good(), searched(*(0.0,) * 8)),
        ("Brier skill", good(skill_low=-0.001), EDGE),
        ("independent trades", good(trades=99), EDGE),
        ("net gain one bar late", good(delayed=0.0), EDGE),
        ("net gain at 1.5 times the spread", good(wider=-0.01), EDGE),
    ],
)
def test_each_criterion_can_fail_by_itself(name: str, found: Unseen, search: Search) -> None:
    asked = checks(found, search)
    assert not by_name(asked)[name].passed
    assert not passed(asked)
    assert any(each.startswith(name) for each in reasons(asked))
    assert any(line.startswith(f"FAIL {name}") for line in told(asked))


def test_what_cannot_be_measured_has_failed_and_says_what_is_missing() -> None:
    nothing = Unseen((0.0,) * 250, 0, 0.0, 0.0, 0.0, None, None, None)
    asked = by_name(checks(nothing, Search(np.zeros((0, 0)), 1, 1.0)))
    assert not any(each.passed for each in asked.values())
    assert asked["deflated Sharpe ratio"].value is None
    assert "nothing was traded" in asked["deflated Sharpe ratio"].why
    assert "`train` compares them" in asked["probability of backtest overfitting"].why
    assert "`train` compares them" in asked["superior predictive ability"].why
    assert asked["Brier skill"].value is None


def test_few_days_are_refused_not_guessed() -> None:
    short = Search(EDGE.returns[:15], 40, 6.0)
    asked = by_name(checks(good(daily=daily(0.5, 15)), short))
    assert asked["deflated Sharpe ratio"].value is None
    assert asked["probability of backtest overfitting"].value is None
    assert asked["superior predictive ability"].value is None


def test_more_trials_ask_for_more() -> None:
    few, many = (deflate(good(daily=daily(0.2)), searched(*EDGE_MEANS, sets=n)) for n in (6, 600))
    assert few == many  # by the effective number
    more = replace(searched(*EDGE_MEANS, sets=600), effective=600.0)
    assert deflate(good(daily=daily(0.2)), more) < few


EDGE_MEANS = (0.4, 0.1, 0.0, -0.1, 0.05, -0.2)


def test_without_sets_of_its_own_a_run_is_held_against_chance() -> None:
    found, alone = good(), Search(np.zeros((0, 0)), 9, 9.0)
    sample = moments(found.daily)
    least = expected_best(9.0) / np.sqrt(sample.count - 1)
    assert deflate(found, alone) == probabilistic_sharpe(sample, least)


def test_paths_of_the_choice() -> None:
    found = paths_of(EDGE.returns)
    assert found is not None
    assert len(found["sharpe"]) == 5
    assert found["sharpe"] == pytest.approx([0.4] * 5, abs=0.05)
    assert paths_of(np.zeros((600, 3))) is None
    assert paths_of(EDGE.returns[:20]) is None
