"""The gate's criteria, fixed before: each with its value, its threshold, and passed or failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kernels.statistics.overfitting import BLOCKS, LEAST_ROWS, backtest_overfitting
from kernels.statistics.sharpe import (
    deflated_sharpe,
    expected_best,
    moments,
    probabilistic_sharpe,
    sharpe_ratio,
)
from kernels.statistics.snooping import superior_ability
from tasks.gate.evidence import Search, Unseen
from tasks.gate.log import Tally

DEFLATED: Final = 0.95
OVERFITTING: Final = 0.2
SNOOPING: Final = 0.05
TRADES: Final = 100
LEAST_DAYS: Final = 20
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """A criterion.

    Attributes
    ----------
    name : str
    value : float or None
        None where it could not be measured; `why` says what is missing.
    threshold : float
    passed : bool
    why : str
        What it asks, in words, and how the value came about.
    """

    name: str
    value: float | None
    threshold: float
    passed: bool
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Judged:
    """What the gate said of a run's test span.

    Attributes
    ----------
    checks : list of Check
    unseen : Unseen
    tally : Tally
        Of all that was tried on these bars.
    own : int
        Sets that the run itself compared.
    paths : dict or None
        Sharpe ratios of the choice along other ways through the past.
    """

    checks: list[Check]
    unseen: Unseen
    tally: Tally
    own: int
    paths: dict[str, Any] | None

    def told(self) -> dict[str, Any]:
        """Return what a summary says of it."""
        return {
            "passed": passed(self.checks),
            "gate": [each.to_dict() for each in self.checks],
            "trials": vars(self.tally) | {"own": self.own},
            "paths": self.paths,
        }


def checks(found: Unseen, search: Search, *, seed: int = 0) -> list[Check]:
    """Hold a model against every criterion.

    Parameters
    ----------
    found : Unseen
    search : Search
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of Check
        Deflated Sharpe ratio, PBO, SPA, Brier skill, trades, delay and spread: docs/evaluation.md,
        "The gate". What cannot be measured has failed.
    """
    return [
        _deflated(found, search),
        _overfitting(search),
        _snooping(search, seed),
        _skill(found),
        Check(
            "independent trades",
            found.trades,
            TRADES,
            found.trades >= TRADES,
            "at least, on bars that training had not seen",
        ),
        _above_nothing("net gain one bar late", found.delayed),
        _above_nothing("net gain at 1.5 times the spread", found.wider),
    ]


def passed(found: list[Check]) -> bool:
    """Say whether every criterion is met."""
    return all(each.passed for each in found)


def reasons(found: list[Check]) -> list[str]:
    """Say in words what was not met."""
    return [_reason(each) for each in found if not each.passed]


def _reason(check: Check) -> str:
    if check.value is None:
        return f"{check.name} could not be measured: {check.why}"
    return f"{check.name} is {check.value:.4g} ({check.why} {check.threshold:g})"


def _deflated(found: Unseen, search: Search) -> Check:
    name = "deflated Sharpe ratio"
    try:
        value = deflate(found, search)
    except ValueError as error:
        return Check(name, None, DEFLATED, passed=False, why=str(error))
    counted = f"of {search.sets:,} sets tried, {search.effective:,.1f} about independent; at least"
    return Check(name, value, DEFLATED, value >= DEFLATED, counted)


def deflate(found: Unseen, search: Search) -> float:
    """Hold the daily Sharpe ratio against the best that so many worthless sets would have shown.

    Parameters
    ----------
    found : Unseen
    search : Search

    Returns
    -------
    float
        Deflated Sharpe ratio, by the effective number of sets. Where a run compared none their
        ratios are taken to vary as that of a worthless set does over as many days.

    Raises
    ------
    ValueError
        If there are too few days, or nothing was traded.
    """
    if not found.trades:
        raise ValueError("nothing was traded")
    sample = moments(found.daily)
    if search.returns.shape[1] < 2:
        by_chance = expected_best(search.effective) / sqrt(sample.count - 1)
        return probabilistic_sharpe(sample, by_chance)
    ratios = sharpe_ratio(search.returns)
    deflated = deflated_sharpe(sample, ratios, logged=search.sets, effective=search.effective)
    return deflated.by_effective


def _overfitting(search: Search) -> Check:
    name = "probability of backtest overfitting"
    days, count = search.returns.shape
    blocks = min(BLOCKS, days // LEAST_ROWS // 2 * 2)
    if count < 2 or blocks < 4:
        why = f"{count} sets traded over {days} days of the past; `train` compares them"
        return Check(name, None, OVERFITTING, passed=False, why=why)
    try:
        value = backtest_overfitting(search.returns[-blocks * (days // blocks) :], blocks=blocks)
    except ValueError as error:
        return Check(name, None, OVERFITTING, passed=False, why=str(error))
    probability = value.probability
    why = f"by {blocks} blocks of {days // blocks} days; at most"
    return Check(name, probability, OVERFITTING, probability <= OVERFITTING, why)


def _snooping(search: Search, seed: int) -> Check:
    name, (days, count) = "superior predictive ability", search.returns.shape
    if not count or days < LEAST_DAYS:
        why = f"{count} sets traded over {days} days of the past; `train` compares them"
        return Check(name, None, SNOOPING, passed=False, why=why)
    found = superior_ability(search.returns, seed=seed)
    why = f"p of the best of {count:,} sets against staying out; at most"
    return Check(name, found.consistent, SNOOPING, found.consistent <= SNOOPING, why)


def _skill(found: Unseen) -> Check:
    name = "Brier skill, lower end of its 95 % interval"
    if found.skill_low is None:
        return Check(name, None, 0.0, passed=False, why="no confidence has a known outcome")
    return Check(name, found.skill_low, 0.0, found.skill_low > 0, "above")


def _above_nothing(name: str, value: float) -> Check:
    return Check(name, value, 0.0, value > 0, "above")


def told(found: list[Check]) -> Iterator[str]:
    """Yield a line a criterion, for a terminal or a log."""
    for each in found:
        value = "not measured" if each.value is None else f"{each.value:.4g}"
        verdict = "PASS" if each.passed else "FAIL"
        yield f"{verdict} {each.name}: {value} ({each.why} {each.threshold:g})"
