"""Logistic regression: what was planted comes back, out of fold, under every odd input."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from tasks.research.learners import linear, metrics, momentum, trajectory
from tasks.research.learners.folds import DRAWS, Folds
from tasks.research.learners.learner import Trained
from tasks.research.learners.linear import INTERCEPT, RIDGES, Logistic, standard_products
from tasks.research.learners.rows import Labels, Rows
from tests.tasks.research.learners.planted import HORIZON, folds, labelled, rows

Floats = np.ndarray[Any, np.dtype[np.float64]]
LEARNER = Logistic(lambda asked: asked.momentum)
SLOPES = np.array([0.5, -0.3, 0.0])


def planted(n: int = 4_000, seed: int = 0) -> tuple[Rows, Labels, Folds]:
    asked = rows(n, seed=seed)
    return asked, *labelled(asked, asked.momentum @ SLOPES, seed=seed)


def fitted(asked: Rows, labels: Labels, cut: Folds, learner: Logistic = LEARNER) -> Trained:
    trained = learner.fit(asked, labels, cut)
    assert trained is not None
    return trained


def reference(
    z: Floats, labels: Labels, side: int, ridge: float, often: Floats | float = 1.0
) -> Floats:
    """Return the greatest posterior, by an optimiser that knows nothing of Newton."""
    win, weight = labels.win[:, side], labels.weight * often
    precision = np.append(INTERCEPT**-2, np.full(z.shape[1] - 1, ridge * weight.sum()))
    centre = np.append(logit(labels.rate()), np.zeros(z.shape[1] - 1))

    def loss(b: Floats) -> tuple[float, Floats]:
        odds, off = z @ b, b - centre
        value = (weight * (np.logaddexp(0, odds) - win * odds)).sum() + precision @ off**2 / 2
        return float(value), z.T @ (weight * (expit(odds) - win)) + precision * off

    start = np.zeros(z.shape[1])
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    return np.asarray(found.x)


@pytest.mark.parametrize("ridge", RIDGES)
def test_the_fit_is_that_of_a_plain_optimiser(
    ridge: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "RIDGES", (ridge,))
    asked, labels, cut = planted(900)
    model = fitted(asked, labels, cut).fitted
    assert isinstance(model, linear.Linear)
    z = np.column_stack([np.ones(900), (asked.momentum - model.centre) / model.scale])
    for side in (0, 1):
        expected = reference(z, labels, side, ridge)
        np.testing.assert_allclose(model.slopes[side], expected, atol=2e-5)


def test_a_past_drift_is_hardly_believed() -> None:
    asked = rows(2_000)
    labels, cut = labelled(asked, np.full(2_000, 0.2))
    away = fitted(asked, labels, cut).apart[:, 0] - logit(labels.rate())
    drifted = logit((labels.weight @ labels.win)[0] / labels.weight.sum()) - logit(labels.rate())
    assert drifted > 0.1
    assert 0 < np.nanmean(away) < 0.5 * drifted


def test_a_column_with_a_sign_keeps_its_zero() -> None:
    asked = rows(2_000)
    shifted = np.column_stack([asked.momentum[:, 0] + 0.1, asked.momentum[:, 1] + 2])
    labels, cut = labelled(asked, np.zeros(2_000))
    model = fitted(asked, labels, cut, Logistic(lambda _: shifted)).fitted
    assert isinstance(model, linear.Linear)
    assert model.centre[0] == 0
    assert model.centre[1] == pytest.approx(shifted[:, 1].mean())


def test_planted_slopes_come_back() -> None:
    asked = rows(30_000)
    labels, cut = labelled(asked, asked.momentum @ SLOPES, horizon=1)
    model = fitted(asked, labels, cut).fitted
    assert isinstance(model, linear.Linear)
    assert model.ridge == min(RIDGES)
    np.testing.assert_allclose(model.slopes[0, 1:], SLOPES, atol=0.04)
    np.testing.assert_allclose(model.slopes[1, 1:], -SLOPES, atol=0.04)


def test_noise_is_shrunk_by_the_greatest_ridge() -> None:
    asked = rows(2_000)
    labels, cut = labelled(asked, np.zeros(2_000))
    model = fitted(asked, labels, cut, trajectory.LEARNER).fitted
    assert isinstance(model, linear.Linear)
    assert model.ridge == max(RIDGES)
    assert np.abs(model.slopes[:, 1:]).max() < 0.06


@pytest.mark.parametrize("learner", [LEARNER, metrics.LEARNER], ids=["three", "twenty"])
def test_one_step_out_of_fold_is_nearly_a_fit_anew(learner: Logistic) -> None:
    asked, labels, cut = planted()
    trained = fitted(asked, labels, cut, learner)
    model = trained.fitted
    assert isinstance(model, linear.Linear)
    z = linear._design(learner.columns(asked), model.centre, model.scale)
    for side in (0, 1):
        problem = linear._Problem(z, labels, side)
        for kept, told in cut:
            anew = z[told] @ problem.solve(model.ridge, kept)
            whole = z[told] @ model.slopes[side]
            missed = np.abs(trained.apart[told, side] - anew).max()
            assert missed < 0.1 * np.abs(whole - anew).max() + 1e-3


def test_what_is_told_ahead_is_a_fit_on_what_had_ended() -> None:
    asked, labels, cut = planted()
    trained = fitted(asked, labels, cut)
    before, later = cut.ahead()
    poisoned = Labels(
        np.where(before[:, None], labels.win, 1 - labels.win).astype(np.int8), labels.weight
    )
    model = trained.fitted
    assert isinstance(model, linear.Linear)
    z = linear._design(asked.momentum, model.centre, model.scale)
    for side in (0, 1):
        problem = linear._Problem(z, poisoned, side)
        expected = z[later] @ problem.solve(model.ridge, before)
        np.testing.assert_array_equal(trained.ahead[later, side], expected)
    assert np.isnan(trained.ahead[~later]).all()


def test_out_of_fold_nobody_reads_his_own_outcome() -> None:
    """64 columns of noise and 300 rows: in the fold skill, out of it none."""
    asked = rows(300)
    labels, cut = labelled(asked, np.zeros(300), horizon=1)
    trained = fitted(asked, labels, cut, trajectory.LEARNER)
    won = labels.win[:, 0] - labels.win[:, 0].mean()
    assert np.corrcoef(trained.fitted.apply(asked)[:, 0], won)[0, 1] > 0.3
    assert np.corrcoef(trained.apart[:, 0], won)[0, 1] < 0.15


def test_draws_spread_as_fits_on_resampled_blocks() -> None:
    asked, labels, cut = planted(3_000)
    model = fitted(asked, labels, cut).fitted
    assert isinstance(model, linear.Linear)
    z = np.column_stack([np.ones(3_000), (asked.momentum - model.centre) / model.scale])
    for side in (0, 1):
        anew = [reference(z, labels, side, model.ridge, times[cut.block]) for times in cut.times]
        np.testing.assert_allclose(model.drawn[side].std(axis=0), np.std(anew, axis=0), rtol=0.25)
        paired = np.corrcoef(np.array(anew)[:, 1], model.drawn[side][:, 1])
        assert paired[0, 1] > 0.9


def test_each_row_is_told_by_itself_bit_for_bit() -> None:
    asked, labels, cut = planted(1_500)
    for learner in (LEARNER, metrics.LEARNER, trajectory.LEARNER):
        model = fitted(asked, labels, cut, learner).fitted
        whole, drawn = model.apply(asked), model.draws(asked)
        assert drawn is not None
        assert drawn.shape == (1_500, 2, DRAWS)
        for part in (slice(7, 8), slice(100, 131), slice(1_499, 1_500)):
            np.testing.assert_array_equal(model.apply(asked.take(part)), whole[part])
            part_drawn = model.draws(asked.take(part))
            assert part_drawn is not None
            np.testing.assert_array_equal(part_drawn, drawn[part])


def test_plain_values_come_back_exactly() -> None:
    asked, labels, cut = planted(800)
    still = replace(asked, momentum=asked.momentum * [1, 0, 1])
    model = fitted(still, labels, cut).fitted
    again = LEARNER.load(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    for name, value in vars(model).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    np.testing.assert_array_equal(again.apply(still), model.apply(still))


def test_a_column_that_stands_still_says_nothing() -> None:
    asked, labels, cut = planted(800)
    still = replace(asked, momentum=np.column_stack([asked.momentum[:, :2], np.full(800, 0.7)]))
    model = fitted(still, labels, cut).fitted
    moved = replace(still, momentum=np.add(still.momentum, [0, 0, 9.0]))
    np.testing.assert_array_equal(model.apply(moved), model.apply(still))


def test_rows_with_a_hole_teach_nothing_and_are_told_nothing() -> None:
    asked, labels, cut = planted(800)
    holed = asked.momentum.copy()
    holed[::5, 1] = np.nan
    holed[1::50, 2] = np.inf
    trained = fitted(replace(asked, momentum=holed), labels, cut)
    flipped = labels.win.copy()
    flipped[::5] = 1 - flipped[::5]
    again = fitted(replace(asked, momentum=holed), replace(labels, win=flipped), cut)
    np.testing.assert_array_equal(trained.fitted.slopes, again.fitted.slopes)  # type: ignore[attr-defined]
    said = trained.fitted.apply(replace(asked, momentum=holed))
    np.testing.assert_array_equal(np.isnan(said[:, 0]), np.isnan(holed).any(axis=1))
    np.testing.assert_array_equal(np.isnan(trained.apart), np.isnan(said))


def test_huge_values_say_no_more_than_far_ones() -> None:
    asked, labels, cut = planted(2_000)
    model = fitted(asked, labels, cut).fitted
    assert isinstance(model, linear.Linear)
    far = replace(asked, momentum=model.centre + 5 * model.scale * np.sign(asked.momentum))
    beyond = replace(asked, momentum=1e300 * np.sign(asked.momentum))
    np.testing.assert_allclose(model.apply(beyond), model.apply(far), rtol=1e-12)


def test_nothing_to_look_at_is_no_learner() -> None:
    asked, labels, cut = planted(300)
    nothing = replace(asked, momentum=np.full((300, 3), np.nan))
    assert LEARNER.fit(nothing, labels, cut) is None
    assert LEARNER.fit(replace(asked, momentum=np.empty((300, 0))), labels, cut) is None
    unknown = Labels.of(asked.position, np.full((300, 2), -1, np.int8), HORIZON)
    assert LEARNER.fit(asked, unknown, cut) is None


@pytest.mark.parametrize("kind", [0, 1])
def test_one_kind_of_outcome_stays_finite(kind: int) -> None:
    asked = rows(300)
    labels = Labels.of(asked.position, np.full((300, 2), kind, np.int8), HORIZON)
    trained = fitted(asked, labels, folds(asked))
    for said in (trained.fitted.apply(asked), trained.apart, trained.fitted.draws(asked)):
        assert said is not None
        assert np.isfinite(said).all()
        assert ((said > 0) == bool(kind)).all()


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_fewer_rows_than_columns_can_be_solved(n: int) -> None:
    """Where no row lies far enough from a fold, nothing is said of it."""
    asked = rows(n)
    labels, cut = labelled(asked, np.zeros(n))
    trained = fitted(asked, labels, cut, trajectory.LEARNER)
    assert np.isfinite(trained.fitted.apply(rows(50, seed=1))).all()
    told = np.isfinite(trained.apart).all(axis=1)
    np.testing.assert_array_equal(told, [any(f.any() and t[r] for f, t in cut) for r in range(n)])


def test_nothing_is_said_of_a_calibration_span_that_nothing_ended_before() -> None:
    asked, labels, cut = planted(600)
    later = np.where(asked.position[:, None] >= cut.forward, labels.win, -1).astype(np.int8)
    trained = fitted(asked, Labels.of(asked.position, later, HORIZON), cut)
    assert np.isnan(trained.ahead).all()


def test_products_are_of_all_pairs() -> None:
    columns = np.array([[2.0, 3.0, 5.0]])
    assert standard_products(columns).tolist() == [[2, 3, 5, 4, 6, 10, 9, 15, 25]]


def test_momentum_and_metrics_look_at_what_they_say() -> None:
    asked = rows(20)
    said = momentum.columns(asked)
    np.testing.assert_array_equal(said[:, :3], asked.momentum)
    np.testing.assert_allclose(said[:, 3:] / asked.momentum, asked.volatility[:, None].repeat(3, 1))
    centred = np.column_stack([asked.metrics - metrics.CENTRE, asked.volatility])
    np.testing.assert_allclose(metrics.columns(asked)[:, :5], centred)
    assert metrics.columns(asked).shape == (20, 20)
