"""Confidence in worlds where the answer is known, and what may never happen to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from kernels.confidence import (
    PRIOR_DEVIATION,
    PRIOR_MEAN,
    STRENGTHS,
    Confidence,
    Counts,
    _fit_lines,
    _log_likelihood,
    break_even,
    fit_strength,
)
from kernels.device import array_module, launch_blocks, to_host
from kernels.nearest import Neighbours
from kernels.outcomes import Quotes, outcomes
from kernels.tally import count_wins, posterior, tally
from tests import naive
from tests.kernels.series import assert_same_bits
from tests.kernels.shim import load_on_cpu, no_compiler

Native = Callable[[Any], Any]


def neighbourhoods(
    n: int,
    seed: int,
    *,
    base_rate: float = 0.4,
    strength: float = 20.0,
    shift: float = 0.0,
    slope: float = 1.0,
    start: int = 0,
) -> tuple[Counts, np.ndarray]:
    """Queries 8 bars apart whose win rate is that of their neighbours, up to a distortion."""
    rng = np.random.default_rng(seed)
    k_eff = rng.integers(30, 65, n)
    rate = np.full(n, base_rate)
    if strength < inf:
        rate = rng.beta(strength * base_rate, strength * (1 - base_rate), n)
    wins = rng.binomial(k_eff, rate)
    centre = logit(base_rate)
    truth = expit(centre + shift + slope * (logit(rate) - centre))
    win = (rng.random(n) < truth).astype(np.int8)
    return Counts(start + 8 * np.arange(n), wins, k_eff, win), truth


def learn(calibration: Counts, *, base_rate: float = 0.4, seed: int = 0) -> Confidence:
    train, _ = neighbourhoods(3000, 99, base_rate=base_rate)
    return Confidence.fit(
        train=train, calibration=calibration, base_rate=base_rate, horizon=8, seed=seed
    )


def test_wins_are_counted_among_known_neighbours(engine: str, native: Native) -> None:
    index = np.array([[0, 1, 2, 3], [3, 2, -1, -1], [-1, -1, -1, -1]])
    win = np.array([1, 0, -1, 1], np.int8)
    neighbours = Neighbours(native(np.zeros((3, 4), np.float32)), native(index))
    wins, k_eff = count_wins(neighbours, native(win))
    assert to_host(wins).tolist() == [2, 1, 0]
    assert to_host(k_eff).tolist() == [3, 1, 0]
    assert wins.dtype == k_eff.dtype == np.int64
    assert engine


SIDES: dict[str, Any] = {"base_rate": (0.37, 0.41), "strength": (23.0, inf)}


def found(q: int, rows: int, native: Native, *, k: int = 64) -> tuple[Neighbours, Any]:
    """Neighbours padded with -1, some of their outcomes unknown."""
    rng = np.random.default_rng(q)
    index = rng.integers(0, max(rows, 1), (q, k))
    index[np.arange(k) >= rng.integers(0, k + 1, q)[:, None]] = -1
    index[:1], index[1:2] = -1, rows - 1
    win = rng.integers(-1, 2, (rows, 2), np.int8)
    return Neighbours(native(np.zeros((q, k), np.float32)), native(index)), native(win)


@pytest.mark.parametrize("q", [0, 1, 63, 64, 65, 127, 128, 129, 500])
@pytest.mark.parametrize(
    "prior", [SIDES, {"base_rate": np.array([0.0, 1.0]), "strength": np.array([4.0, 0.3])}]
)
def test_both_sides_are_counted_as_by_the_slow_twin(
    engine: str, native: Native, q: int, prior: dict[str, Any]
) -> None:
    neighbours, win = found(q, 1000, native)
    counted = tally(neighbours, win, **prior, engine=engine)
    index = to_host(neighbours.index)
    expected = np.array(naive.tally(index, to_host(win), **prior)).reshape(q, 2, 3)
    for column, name in enumerate(("wins", "k_eff", "posterior")):
        values = getattr(counted, name)
        assert array_module(values) is array_module(neighbours.index)
        assert_same_bits(values, expected[..., column].astype(values.dtype))
    assert q < 2 or np.isnan(to_host(counted.posterior)).any()


@pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))
@pytest.mark.parametrize("q", [1, 63, 64, 65, 129])
def test_the_cuda_source_counts_as_the_slow_twin(q: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(_: Any, module: str, name: str, n: int, *arguments: Any) -> None:
        launch_blocks(load_on_cpu, module, name, n, *arguments)

    monkeypatch.setattr("kernels.tally.launch", launch)
    test_both_sides_are_counted_as_by_the_slow_twin("cpu", np.ascontiguousarray, q, SIDES)
    for wrong in (1000, -2):
        test_an_index_outside_the_library_is_named("cpu", np.ascontiguousarray, 1000, wrong)


def test_one_side_counts_and_shrinks_as_both(engine: str, native: Native) -> None:
    neighbours, win = found(300, 50, native)
    counted = tally(neighbours, win, **SIDES, engine=engine)
    for both, alone in zip(count_wins(neighbours, win), (counted.wins, counted.k_eff), strict=True):
        assert_same_bits(both, alone)
    for side in (0, 1):
        wins, k_eff = count_wins(neighbours, win[:, side])
        assert_same_bits(wins, counted.wins[:, side])
        assert_same_bits(k_eff, counted.k_eff[:, side])
        prior = {name: values[side] for name, values in SIDES.items()}
        assert_same_bits(posterior(wins, k_eff, **prior), counted.posterior[:, side])


@pytest.mark.parametrize(("rows", "wrong"), [(10, 10), (10, 2**40), (10, -2), (0, 0)])
def test_an_index_outside_the_library_is_named(
    engine: str, native: Native, rows: int, wrong: int
) -> None:
    neighbours, win = found(200, rows, native)
    neighbours.index[170, 3] = wrong
    with pytest.raises(ValueError, match=rf"neighbours.index must .* {rows - 1}, .* not {wrong};"):
        tally(neighbours, win, **SIDES, engine=engine)
    with pytest.raises(ValueError, match=f"not {wrong};"):
        count_wins(neighbours, win[:, 1])


@pytest.mark.parametrize(
    ("change", "error", "names"),
    [
        ({"win": np.zeros((4, 2))}, TypeError, "win must be int8"),
        ({"win": np.zeros(4, np.int8)}, ValueError, r"win must have shape \(any, 2\)"),
        ({"base_rate": (0.5,)}, ValueError, "base_rate must have shape"),
        ({"base_rate": (0.5, 1.1)}, ValueError, "base_rate must be between 0 and 1"),
        ({"base_rate": (0.5, np.nan)}, ValueError, "base_rate must be between 0 and 1"),
        ({"strength": (0.0, 4.0)}, ValueError, "strength must be above 0"),
        ({"engine": "npu"}, ValueError, "engine must be"),
    ],
)
def test_bad_tallies_are_named(change: dict[str, Any], error: type[Exception], names: str) -> None:
    neighbours = Neighbours(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.int64))
    with pytest.raises(error, match=names):
        tally(neighbours, **{"win": np.zeros((4, 2), np.int8), **SIDES, **change})
    with pytest.raises(TypeError, match=r"neighbours.index must be int64"):
        count_wins(Neighbours(neighbours.score, neighbours.score), np.zeros(4, np.int8))


def test_an_empty_library_counts_nothing() -> None:
    neighbours = Neighbours(np.full((2, 3), np.nan, np.float32), np.full((2, 3), -1))
    assert [a.tolist() for a in count_wins(neighbours, np.zeros(0, np.int8))] == [[0, 0], [0, 0]]


def test_the_posterior_by_hand(engine: str, native: Native) -> None:
    wins, k_eff = native(np.array([3, 0, 0])), native(np.array([4, 4, 0]))
    mean = to_host(posterior(wins, k_eff, base_rate=0.4, strength=8.0))
    np.testing.assert_allclose(mean, [(3 + 3.2) / 12, 3.2 / 12, np.nan])
    alone = to_host(posterior(wins, k_eff, base_rate=0.4, strength=inf))
    np.testing.assert_array_equal(alone, [0.4, 0.4, np.nan])
    assert engine


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_likelihood_is_that_of_the_slow_twin(strength: float) -> None:
    counts, _ = neighbourhoods(50, 1)
    expected = naive.beta_binomial_log_likelihood(counts.wins, counts.k_eff, 0.4, strength)
    computed = _log_likelihood(counts.wins, counts.k_eff, 0.4, strength).sum()
    assert computed == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("strength", [8.0, 64.0, 256.0])
def test_the_strength_is_found(strength: float) -> None:
    counts, _ = neighbourhoods(20_000, 2, strength=strength)
    assert fit_strength(counts.wins, counts.k_eff, base_rate=0.4) == strength


def test_without_structure_the_base_rate_rules() -> None:
    counts, _ = neighbourhoods(20_000, 3, strength=inf)
    assert fit_strength(counts.wins, counts.k_eff, base_rate=0.4) >= 1024


def test_the_lines_maximise_the_posterior() -> None:
    rng = np.random.default_rng(0)
    x, offset = np.sort(rng.standard_normal(40)), -0.3
    count = rng.integers(1, 9, (6, 40)).astype(float)
    won = rng.binomial(count.astype(int), expit(offset + np.linspace(-2, 2, 6)[:, None] * x))
    centre = rng.normal(PRIOR_MEAN, PRIOR_DEVIATION, (6, 2))
    lines = _fit_lines(x, won.astype(float), count, offset, centre)
    for line, hits, tries, prior in zip(lines, won, count, centre, strict=True):

        def loss(ab: Any, hits: Any = hits, tries: Any = tries, prior: Any = prior) -> float:
            z = offset + ab[0] + ab[1] * x
            fit = (tries * np.logaddexp(0, z) - hits * z).sum()
            return float(fit + (((ab - prior) / PRIOR_DEVIATION) ** 2).sum() / 2)

        best = minimize(loss, [0, 1], bounds=[(None, None), (0, None)], tol=1e-12)
        np.testing.assert_allclose(line, best.x, atol=1e-4)
    assert (lines[:, 1] == 0).any()
    assert (lines[:, 1] > 0).any()


@pytest.mark.parametrize(("shift", "slope"), [(0.0, 1.0), (0.3, 0.6), (-0.2, 1.4)])
def test_a_distortion_is_set_right(shift: float, slope: float) -> None:
    calibration, _ = neighbourhoods(20_000, 4, shift=shift, slope=slope)
    told = learn(calibration)
    test, truth = neighbourhoods(20_000, 5, shift=shift, slope=slope)
    confidence, _, _ = told.apply(test.wins, test.k_eff)
    for low in np.arange(0.1, 0.9, 0.1):
        rows = (confidence > low) & (confidence <= low + 0.1)
        if rows.sum() > 300:
            assert abs(confidence[rows].mean() - truth[rows].mean()) < 0.03


def test_neighbours_that_mislead_are_not_followed() -> None:
    calibration, _ = neighbourhoods(5000, 6, slope=-1.0)
    told = learn(calibration)
    assert told.slope == 0
    confidence, _, _ = told.apply(np.arange(41), np.full(41, 40))
    assert np.ptp(confidence) < 1e-12
    assert confidence[0] == pytest.approx(calibration.win.mean(), abs=0.02)


@pytest.mark.parametrize("n", [200, 3000])
def test_the_truth_lies_above_the_lower_bound(n: int) -> None:
    inside = []
    for seed in range(6):
        calibration, _ = neighbourhoods(n, 10 + seed, shift=0.1)
        test, truth = neighbourhoods(2000, 50 + seed, shift=0.1)
        _, lower, upper = learn(calibration).apply(test.wins, test.k_eff)
        inside.append([(truth >= lower).mean(), (truth <= upper).mean()])
    assert 0.93 <= np.mean(inside) <= 0.99


def test_bounds_enclose_the_confidence_and_narrow_with_evidence() -> None:
    few, many = (learn(neighbourhoods(n, 7)[0]) for n in (100, 10_000))
    wins, k_eff = np.meshgrid(np.arange(65), np.arange(1, 65))
    rows = wins <= k_eff
    for told in (few, many):
        confidence, lower, upper = told.apply(wins[rows], k_eff[rows])
        assert ((lower > 0) & (lower <= confidence) & (confidence <= upper) & (upper < 1)).all()
    at = np.array([20]), np.array([50])
    assert np.diff(many.apply(*at)[1:], axis=0) < np.diff(few.apply(*at)[1:], axis=0)
    _, lower, upper = many.apply(np.array([2, 24]), np.array([5, 60]))
    assert upper[1] - lower[1] < upper[0] - lower[0]
    confidence, lower, _ = many.apply(np.arange(61), np.full(61, 60))
    assert (np.diff(confidence) > 0).all()
    assert (np.diff(lower) > 0).all()


def test_without_neighbours_there_is_no_confidence(engine: str, native: Native) -> None:
    told = learn(neighbourhoods(500, 8)[0])
    answer = told.apply(native(np.array([0, 5, 0])), native(np.array([0, 9, 0])))
    for values in map(to_host, answer):
        assert np.isnan(values).tolist() == [True, False, True]
    assert all(len(values) == 0 for values in told.apply(*native(np.zeros((2, 0), np.int64))))
    assert engine


def test_a_row_depends_on_itself_alone() -> None:
    told = learn(neighbourhoods(1000, 9)[0])
    counts, _ = neighbourhoods(3000, 12)
    batch = np.stack(told.apply(counts.wins, counts.k_eff))
    for row in range(0, 3000, 211):
        alone = np.stack(told.apply(counts.wins[row : row + 1], counts.k_eff[row : row + 1]))
        np.testing.assert_array_equal(alone[:, 0], batch[:, row])


def test_a_seed_says_it_all() -> None:
    calibration, _ = neighbourhoods(1000, 13)
    assert learn(calibration) == learn(calibration)
    assert learn(calibration).intercepts != learn(calibration, seed=1).intercepts
    assert learn(calibration).intercept == learn(calibration, seed=1).intercept


def test_unknown_outcomes_and_lonely_queries_teach_nothing() -> None:
    calibration, _ = neighbourhoods(1000, 14)
    blank = calibration.win.copy()
    blank[::3] = -1
    lonely = np.where(np.arange(1000) % 3 == 1, 0, calibration.k_eff)
    known = np.arange(1000) % 3 == 2
    some = Counts(calibration.position, np.minimum(calibration.wins, lonely), lonely, blank)
    only = Counts(*(array[known] for array in vars(calibration).values()))
    assert learn(some) == learn(only)


@pytest.mark.parametrize("strength", [20.0, inf])
def test_json_keeps_every_bit(strength: float) -> None:
    told = learn(neighbourhoods(400, 15)[0])
    told = Confidence(**{**vars(told), "strength": strength})
    text = json.dumps(told.to_dict(), allow_nan=False)
    again = Confidence.from_dict(json.loads(text))
    assert again == told
    at = np.array([7]), np.array([30])
    np.testing.assert_array_equal(again.apply(*at), told.apply(*at))


def test_the_base_rate_alone_is_one_number() -> None:
    train, _ = neighbourhoods(20_000, 3, strength=inf)
    calibration, _ = neighbourhoods(4000, 16, strength=inf)
    told = Confidence.fit(train=train, calibration=calibration, base_rate=0.4, horizon=8)
    test, _ = neighbourhoods(2000, 17, strength=inf)
    confidence, lower, upper = told.apply(test.wins, test.k_eff)
    assert confidence.std() < 0.01
    assert ((lower < 0.4) & (upper > 0.4)).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"base_rate": 0.0}, "base_rate"),
        ({"base_rate": 1.0}, "base_rate"),
        ({"train": neighbourhoods(0, 0)[0]}, "train"),
        ({"calibration": neighbourhoods(0, 0)[0]}, "calibration"),
    ],
)
def test_nothing_to_learn_from_is_an_error(change: dict[str, Any], names: str) -> None:
    counts, _ = neighbourhoods(50, 18)
    arguments = {"train": counts, "calibration": counts, "base_rate": 0.4, "horizon": 8}
    with pytest.raises(ValueError, match=names):
        Confidence.fit(**{**arguments, **change})


def test_counts_must_be_alike() -> None:
    rows = np.zeros(3, np.int64)
    with pytest.raises(TypeError, match="win"):
        Counts(rows, rows, rows, rows)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k_eff"):
        Counts(rows, rows, rows[:2], np.zeros(3, np.int8))


@pytest.mark.parametrize(("stop", "target", "cost"), [(1.0, 1.0, 0.2), (3.0, 1.0, 0.1)])
def test_break_even_of_pure_barriers(stop: float, target: float, cost: float) -> None:
    gain = np.array([target - cost] * 7 + [-stop - cost] * 3 + [np.nan])
    assert break_even(gain) == pytest.approx((stop + cost) / (stop + target))
    assert np.isnan(break_even(gain, np.arange(7)))
    assert np.isnan(break_even(gain[7:]))
    assert break_even(gain, gain != 1e9) == break_even(gain)


@pytest.mark.parametrize(
    ("horizon", "stop", "target"), [(8, None, None), (500, 6.0, 18.0), (500, 18.0, 6.0)]
)
def test_at_zero_expected_value_wins_come_at_break_even(
    horizon: int, stop: float | None, target: float | None
) -> None:
    n, ticks = 400_000, 5
    rng = np.random.default_rng(1)
    steps = rng.integers(0, 2, n * ticks) * 2.0 - 1
    price = 1e6 + np.concatenate([[0.0], np.cumsum(steps)])
    inside = np.column_stack([price[:-1:ticks], price[1:].reshape(n, ticks)])
    bars = (inside[:, 0], inside.max(axis=1), inside.min(axis=1), inside[:, -1])
    near, far = (None if d is None else np.full(n, d) for d in (stop, target))
    quotes, segments = Quotes(*bars, *bars), np.zeros(n, np.int32)
    out = outcomes(quotes, segments, horizon=horizon, stop=near, target=far, engine="cpu")
    for side in (0, 1):
        win = out.win[:, side]
        assert abs(break_even(out.gain[:, side]) - win[win >= 0].mean()) < 0.005
