"""What answers come to: shares, their demands, and each way to fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kernels.synthetic import draw
from tasks.audit.planted import LEAKS
from tasks.gate.selftest.golden import off
from tasks.gate.selftest.jobs import (
    CLEAN,
    EDGE_SEEDS,
    NULL_SEEDS,
    NULLS,
    PRINTED,
    SIZES,
    TRADER,
    TRADER_SEEDS,
    Job,
    plan,
)
from tasks.gate.selftest.verdict import Verdict, verdict
from tasks.gate.selftest.walks import bars_of, true_gain, true_skill
from tasks.rules.texts import DEFAULT

Answers = dict[Job, dict[str, Any]]


def good() -> Answers:
    """What a sound harness answers: no edge fails, half of the smaller ones, the others pass."""
    return {job: answer(job) for job in plan()}


def answer(job: Job) -> dict[str, Any]:
    if job.kind == "golden":
        return {"off": 1e-4}
    if job.kind == "leak":
        return {"caught": [*LEAKS[job.name].detectors, "another"]}
    if job.kind == "clean":
        return {"strategies": 5, "alarms": []}
    good = job.size == PRINTED or (job.size > 0 and job.seed % 2 == 0)
    criteria = {"one": [1.0, True], "other": [None, good]}
    edge = {"net": job.size, "true_gain": 2 * job.size, "true_skill": job.size / 10}
    return {"passed": good, "criteria": criteria, "trades": 100, **edge}


def failed(found: Verdict) -> list[str]:
    return [each.what for each in found.demands if not each.met]


def test_the_plan_is_what_is_promised() -> None:
    jobs = plan()
    assert len(set(jobs)) == len(jobs)
    assert sum(job.kind == "clean" for job in jobs) * 5 == CLEAN == 50
    nulls = [job for job in jobs if job.name in NULLS and job.strategy == DEFAULT]
    assert len(nulls) == NULL_SEEDS == 200
    assert sum(job.strategy == TRADER for job in jobs) == TRADER_SEEDS
    assert {job.name for job in nulls} == {"none", "fat", "clustered"}
    for size in SIZES:
        assert sum(job.size == size for job in jobs) == EDGE_SEEDS
    assert {job.name for job in jobs if job.kind == "leak"} == set(LEAKS)
    assert sum(job.seconds for job in jobs) / 2 < 3600 / 2, "half of what two cores have"


def test_a_sound_harness_passes() -> None:
    found = verdict(good())
    assert failed(found) == []
    assert found.passed
    assert [each.size for each in found.power] == [0, *SIZES]
    assert [each.passed.count for each in found.power] == [0, 12, 12, 12, 25]
    assert [each.taken for each in found.power] == [None, *[0.5] * 4]
    assert found.criteria["no edge"]["one"].share == 1
    assert found.criteria["no edge"]["other"].share == 0
    assert found.demands[0].measured == "0 of 200, 0 % (0.0 to 1.8 %)"
    assert found.to_dict()["power"][0]["high"] == pytest.approx(1 - 0.025 ** (1 / 200))


@pytest.mark.parametrize(
    ("strategy", "count", "wrong"),
    [
        (DEFAULT, 10, []),
        (DEFAULT, 11, ["walks without edge that pass the gate"]),
        (TRADER, 3, []),
        (TRADER, 4, ["those that trend_following trades"]),
    ],
)
def test_a_gate_that_passes_noise_fails(strategy: str, count: int, wrong: list[str]) -> None:
    answers = good()
    nulls = [job for job in answers if job.name in NULLS and job.strategy == strategy]
    for job in nulls[:count]:
        answers[job]["passed"] = True
    assert failed(verdict(answers)) == wrong
    assert verdict(answers).passed is (not wrong)


@pytest.mark.parametrize(("count", "passes"), [(5, True), (6, False)])
def test_a_gate_that_sees_no_edge_fails(count: int, passes: bool) -> None:
    answers = good()
    for job in [job for job in answers if job.size == PRINTED][:count]:
        answers[job]["passed"] = False
    assert verdict(answers).passed is passes


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_that_its_detector_misses_fails(name: str) -> None:
    answers = good()
    job, (first, *_) = Job("leak", name), sorted(LEAKS[name].detectors)
    answers[job]["caught"].remove(first)
    assert failed(verdict(answers)) == [f"leak: {name}"]


def test_an_alarm_at_a_clean_strategy_and_a_wrong_constant_fail() -> None:
    answers = good()
    answers[Job("clean", seed=3)]["alarms"] = ["3001: poison: without what came after"]
    answers[Job("golden")]["off"] = 0.004
    found = verdict(answers)
    assert len(failed(found)) == 2
    assert "3001: poison" in next(each for each in found.demands if not each.met).measured


def test_golden_values_are_met() -> None:
    assert off() < 1e-3


def test_the_truth_of_a_walk_without_edge_is_worth_nothing() -> None:
    walk = draw("none", 500, seed=1)
    assert true_skill(walk) == pytest.approx(0, abs=1e-12)
    assert true_gain(walk, 8) == 0


def test_the_truth_of_a_walk_by_hand() -> None:
    walk = draw("drift", 400, seed=2, horizon=5)
    said = walk.true_probability[100:]
    brier = np.mean(said * (1 - said), axis=0)
    expected = 1 - brier / (said.mean(axis=0) * (1 - said.mean(axis=0)))
    assert true_skill(walk, 100) == pytest.approx(expected.mean())
    gains, bar, total = walk.true_gain[100:].max(axis=1), 0, 0.0
    while bar < 300 - 6:
        total += max(gains[bar], 0)
        bar += 5 if gains[bar] > 0 else 1
    assert true_gain(walk, 5, 100) == pytest.approx(total)
    assert bars_of(walk)["close"].to_numpy() == pytest.approx(walk.close)
