"""The sequential test: its slow twin, false alarms for ever, and how soon a fault is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from kernels.evaluation import Floats
from kernels.statistics.sequential import DOUBT, LEVEL, sequence, stakes
from tests.kernels.statistics import naive

STREAMS = 2_000
LENGTH = 2_000


def drifting(seed: int, streams: int = STREAMS, length: int = LENGTH) -> Floats:
    """Probabilities that wander between 0.35 and 0.75, float64[length, streams]."""
    rng = np.random.default_rng(seed)
    phase, period = rng.uniform(0, 2 * np.pi, streams), rng.uniform(50, 1_000, streams)
    wave = np.sin(2 * np.pi * np.arange(length)[:, None] / period + phase)
    return np.clip(0.55 + 0.1 * wave + rng.normal(0, 0.03, (length, streams)), 0.35, 0.75)


def drawn(seed: int, truth: Floats) -> Floats:
    return (np.random.default_rng([seed, 1]).random(truth.shape) < truth).astype(float)


def first_alarms(p: Floats, y: Floats) -> Floats:
    """Outcomes until the alarm of each stream; infinite where there is none."""
    high, low = stakes(p, y)
    passed = DOUBT * high + (1 - DOUBT) * low >= 1 / LEVEL
    return np.where(passed.any(axis=0), passed.argmax(axis=0) + 1.0, np.inf)


@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_stakes_are_those_of_bets_written_out(rows: int) -> None:
    p = drifting(rows, 1, rows)[:, 0]
    y = drawn(rows, p)
    found = sequence(p, y)
    for t in range(1, rows + 1):
        high, low = (naive.stake(p[:t].tolist(), y[:t].tolist(), sign) for sign in (-1, 1))
        assert found.high[t - 1] == pytest.approx(high)
        assert found.low[t - 1] == pytest.approx(low)
        assert found.value[t - 1] == pytest.approx(0.75 * high + 0.25 * low)
    assert found.last == (pytest.approx(found.value[-1]) if rows else 1.0)


@pytest.mark.parametrize("p", [0.02, 0.5, 0.9, 1.0, 0.0])
def test_a_stake_is_worth_one_in_the_mean_whatever_was_said(p: float) -> None:
    """Of three outcomes, over all eight ways in which they come."""
    ways = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).astype(float)
    weight = np.prod(np.where(ways == 1, p, 1 - p), axis=0)
    for stake in stakes(np.full((3, 8), p), ways):
        assert stake @ weight == pytest.approx(np.ones(3))


def test_who_wins_more_often_than_said_is_not_taken_for_too_sure() -> None:
    truth = drifting(3, 500, 500) + 0.1
    high, _ = stakes(truth - 0.1, drawn(3, truth))
    assert (high.max(axis=0) >= 1 / LEVEL).mean() < 0.01


def test_false_alarms_stay_below_the_level_for_ever() -> None:
    """Two thousand honest streams, looked at after each of two thousand outcomes."""
    p = drifting(0)
    alarms = int(np.isfinite(first_alarms(p, drawn(0, p))).sum())
    low = beta.ppf(0.025, alarms, STREAMS - alarms + 1) if alarms else 0.0
    high = beta.ppf(0.975, alarms + 1, STREAMS - alarms)
    print(f"false alarms: {alarms} of {STREAMS} ({alarms / STREAMS:.2%}, {low:.2%}-{high:.2%})")
    assert alarms / STREAMS <= LEVEL


@pytest.mark.parametrize(
    ("shift", "honest", "median", "nine_tenths"),
    [(0.05, 0, 700, 1_750), (0.1, 0, 190, 430), (0.1, 500, 460, 760), (-0.1, 0, 280, 520)],
)
def test_a_fault_is_found_after_so_many_outcomes(
    shift: float, honest: int, median: float, nine_tenths: float
) -> None:
    """Told 5 or 10 points too high, from the start or after 500 honest outcomes; too low, too."""
    streams = 400
    p = drifting(7, streams, honest + 2_500)
    truth = p.copy()
    truth[honest:] -= shift
    after = first_alarms(p, drawn(7, truth)) - honest
    after = after[after > 0]
    told = np.quantile(after, [0.1, 0.5, 0.9])
    print(f"{shift:+.0%} after {honest}: {told.tolist()}, never {np.isinf(after).mean():.1%}")
    assert told[1] <= median
    assert told[2] <= nine_tenths


def test_an_alarm_names_its_outcome_and_its_side() -> None:
    lost = sequence(np.full(200, 0.7), np.zeros(200))
    assert lost.alarm is not None
    assert lost.alarm < 10
    assert (lost.side, lost.last, lost.most >= lost.last) == ("high", lost.value[-1], True)
    won = sequence(np.full(200, 0.3), np.ones(200))
    assert won.side == "low"
    assert won.alarm is not None
    quiet = sequence([], [])
    assert (quiet.alarm, quiet.side, quiet.last, quiet.most) == (None, "high", 1.0, 1.0)


def test_stakes_beyond_all_numbers_stay_numbers() -> None:
    found = sequence(np.full(3_000, 1.0), np.zeros(3_000))
    assert np.isfinite(found.value).all()
    assert found.alarm == 4


@pytest.mark.parametrize(
    ("p", "y", "told"),
    [
        ([0.5], [], "one for each"),
        ([1.5], [1], "between 0 and 1"),
        ([0.5], [-1], "between 0 and 1"),
        ([float("nan")], [1], "NaN"),
    ],
)
def test_what_is_no_probability_is_refused(p: list[float], y: list[float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        sequence(p, y)
