"""What a self-test asks, job by job; each needs nothing but itself, and its answer is plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal

from kernels.synthetic import WALKS, draw
from tasks.audit.planted import LEAKS, alarms_of
from tasks.gate.checks import checks, passed
from tasks.gate.rehearsal import Judge, Rehearsal, rehearse
from tasks.gate.selftest.golden import off
from tasks.gate.selftest.walks import bars_of, true_gain, true_skill
from tasks.research.recipe import Recipe
from tasks.rules.setup import Setup
from tasks.rules.texts import DEFAULT, find

Kind = Literal["golden", "leak", "clean", "walk"]
Found = dict[str, Any]

NULLS: Final = tuple(name for name, walk in WALKS.items() if not walk.has_edge)
EDGE: Final = "drift"
BARS: Final = 20_000
NULL_SEEDS: Final = 200
"""Of all walks without edge together."""
SIZES: Final = (0.5, 0.75, 1.0, 1.5)
"""Of the planted edge."""
PRINTED: Final = 1.5
EDGE_SEEDS: Final = 25
"""Of each size."""
TRADER: Final = "trend_following"
"""A strategy that asks no confidence, and so trades on noise: only the gate stops it."""
TRADER_SEEDS: Final = 60
TRADER_BARS: Final = 30_000
CLEAN: Final = 50
"""Random strategies without a leak."""
CLEAN_A_JOB: Final = 5
QUICK_BARS: Final = 6_000

SECONDS: Final[Mapping[Kind, float]] = MappingProxyType(
    {"golden": 0.5, "leak": 0.5, "clean": 4.0, "walk": 4e-4}
)
"""About, on one core; of a walk's bar."""


@dataclass(frozen=True)
class Job:
    """A question.

    Attributes
    ----------
    kind : {"golden", "leak", "clean", "walk"}
    name : str
        Of the leak or the walk.
    seed : int
        Of the walk, or the number of a handful of clean strategies.
    size : float
        Of the walk's edge.
    bars : int
    strategy : str
        That trades the walk.
    """

    kind: Kind
    name: str = ""
    seed: int = 0
    size: float = 0.0
    bars: int = 0
    strategy: str = DEFAULT

    @property
    def seconds(self) -> float:
        """How long it takes, about."""
        return SECONDS[self.kind] * max(self.bars, 1)


def plan(*, quick: bool = False) -> list[Job]:
    """Return all that a self-test asks.

    Parameters
    ----------
    quick : bool
        Its short form: a short walk of each kind without edge, and one with the printed edge.
    """
    clean = CLEAN_A_JOB if quick else CLEAN
    asked = [
        Job("golden"),
        *(Job("leak", name) for name in LEAKS),
        *(Job("clean", seed=number) for number in range(clean // CLEAN_A_JOB)),
    ]
    return asked + (_quick_walks() if quick else _walks())


def _walks() -> list[Job]:
    nulls = [_null(number, BARS, DEFAULT) for number in range(NULL_SEEDS)]
    traded = [_null(number, TRADER_BARS, TRADER) for number in range(TRADER_SEEDS)]
    edges = [
        Job("walk", EDGE, seed, size, BARS) for seed in range(1, EDGE_SEEDS + 1) for size in SIZES
    ]
    return nulls + traded + edges


def _null(number: int, bars: int, strategy: str) -> Job:
    name, seed = NULLS[number % len(NULLS)], 1 + number // len(NULLS)
    return Job("walk", name, seed, bars=bars, strategy=strategy)


def _quick_walks() -> list[Job]:
    nulls = [_null(number, QUICK_BARS, DEFAULT) for number in range(len(NULLS))]
    return [*nulls, _null(0, BARS, TRADER), Job("walk", EDGE, 1, PRINTED, BARS)]


def answered(job: Job, judge: Judge = checks) -> Found:
    """Return what comes of a job, as plain values.

    Parameters
    ----------
    job : Job
    judge : callable
        The gate.
    """
    if job.kind == "golden":
        return {"off": off()}
    if job.kind == "leak":
        return {"caught": sorted(LEAKS[job.name].caught())}
    if job.kind == "clean":
        return _clean(job)
    return _walk(job, judge)


def _clean(job: Job) -> Found:
    """Audit the next few random strategies that there is something to audit of."""
    alarms: list[str] = []
    done, seed = 0, 1_000 * job.seed
    while done < CLEAN_A_JOB:
        found = alarms_of(seed)
        done += found is not None
        alarms += [f"{seed}: {each.detector}: {each.detail}" for each in found or ()]
        seed += 1
    return {"strategies": done, "alarms": alarms}


def _walk(job: Job, judge: Judge) -> Found:
    walk = draw(job.name, job.bars, seed=job.seed, size=job.size)
    rehearsal = rehearse(
        _setup(WALKS[job.name].instrument, job.strategy), bars_of(walk), judge=judge
    )
    chosen = rehearsal.selection.setup
    horizon, first = chosen.recipes[chosen.first].horizon, _first_of_test(rehearsal, job)
    told = draw(job.name, job.bars, seed=job.seed, size=job.size, horizon=horizon)
    return {
        "passed": passed(rehearsal.checks),
        "criteria": {each.name: [each.value, each.passed] for each in rehearsal.checks},
        "trades": rehearsal.found.trades,
        "net": rehearsal.found.net,
        "true_skill": true_skill(walk, first),
        "true_gain": true_gain(told, horizon, first),
    }


@lru_cache
def _setup(pair: str, strategy: str) -> Setup:
    recipe = Recipe.default(pair, "H1", slippage=0.0)
    return Setup.of(find(strategy, pair, "H1"), recipe, {})


def _first_of_test(rehearsal: Rehearsal, job: Job) -> int:
    return job.bars - int((rehearsal.predictions["split"] == "test").sum())
