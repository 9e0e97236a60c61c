"""What a study of a walk shows: skill, calibration, gain, beside the truth and beside peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from kernels.confidence import Confidence as FirstRule
from kernels.confidence import Counts, break_even
from kernels.evaluation import brier_skill, calibration_error
from kernels.outcomes import SIDES
from kernels.paths import unit_paths
from kernels.tally import count_wins
from tasks.reports.summary import summarise
from tasks.research.knowledge import rows_of
from tasks.research.learners import boosted
from tasks.research.learners.folds import Folds
from tasks.research.learners.learner import Learner
from tasks.research.learners.linear import Logistic
from tasks.research.learners.rows import Labels, Rows
from tasks.research.library import Library
from tasks.research.spans import Span
from tasks.research.timeline import Timeline
from tasks.research.walkforward import learnt_from, queries
from tasks.strategy.strategies import strategy
from tests.tasks.research.walks import Study, by_side

Floats = NDArray[np.float64]

PEERS: dict[str, Learner] = {
    "three averages": Logistic(lambda rows: rows.momentum),
    "LightGBM": boosted.LEARNER,
}
"""Fitted on the same rows as the learners, judged on the same test span."""


def judged(study: Study, *, peers: bool = True) -> dict[str, float]:
    """Return what the test span shows, by name."""
    told = study.test
    won, said = by_side(told, "win"), by_side(told, "confidence")
    figures = {"stack": skill(study, said), "edge": float(summary(study)["edge"])}
    figures |= _money(study) | _learners(study)
    figures |= _against_truth(study, said, won) if study.walk else {}
    return figures | (_peers(study) if peers else {})


def skill(study: Study, said: Floats) -> float:
    """Return the Brier skill on the test span against the library's base rate, mean of sides."""
    won = by_side(study.test, "win")
    rows = np.isfinite(won).all(axis=1) & np.isfinite(said).all(axis=1)
    return float(
        np.mean(
            [
                brier_skill(said[rows, side], won[rows, side], rate)
                for side, rate in enumerate(study.model.frozen.base_rate)
            ]
        )
    )


def summary(study: Study) -> dict[str, Any]:
    """Return what a backtest's report says of it."""
    signals = strategy(study.recipe.strategy)(study.test)
    return summarise(
        study.predicted, signals, study.trade(), horizon=study.recipe.horizon, draws=300
    )


def _money(study: Study) -> dict[str, float]:
    trades, cautious = study.trade().trades, study.trade(_by_bound(study.test)).trades
    return {
        "net": float(trades["gain"].sum()),
        "trades": float(len(trades)),
        "net by bound": float(cautious["gain"].sum()),
        "caution": float(study.model.confidence.caution),
        "k": float(study.model.frozen.similarity.k),
    }


def _by_bound(told: pl.DataFrame) -> pl.DataFrame:
    """Return predictions under the cautious end: the lower bound must exceed break-even."""
    return told.with_columns(
        (pl.col(f"lower_{side}") - pl.col(f"break_even_{side}")).alias(f"margin_{side}")
        for side in SIDES
    )


def _learners(study: Study) -> dict[str, float]:
    rows = _test_rows(study)
    alone = study.model.confidence.opinions(rows)
    skills = {f"alone: {name}": skill(study, said) for name, said in alone.items()}
    return skills | {f"weight: {n}": w for n, w in study.model.confidence.weights.items()}


def _against_truth(study: Study, said: Floats, won: Floats) -> dict[str, float]:
    assert study.walk is not None
    position = study.test["position"].to_numpy()
    truth, gain = study.walk.true_probability[position], study.walk.true_gain[position]
    rows = np.isfinite(said).all(axis=1) & np.isfinite(won).all(axis=1)
    oracle = study.test.with_columns(
        pl.Series(f"margin_{side}", gain[:, number]) for number, side in enumerate(SIDES)
    )
    errors = [calibration_error(said[rows, side], truth[rows, side]) for side in (0, 1)]
    return {
        "truth": skill(study, truth),
        "calibration": float(np.mean(errors)),
        "coverage": float((truth >= by_side(study.test, "lower"))[rows].mean()),
        "oracle": float(study.trade(oracle).trades["gain"].sum()),
    }


def _peers(study: Study) -> dict[str, float]:
    frozen = study.model.frozen
    positions = learnt_from(frozen, study.answers)
    rows = rows_of(study.measures, positions, log_sigma=frozen.log_sigma)
    labels = Labels.of(positions, study.outcomes.win[positions], frozen.recipe.horizon)
    folds = Folds.cut(
        positions, forward=frozen.spans.calibration.start, horizon=frozen.recipe.horizon, seed=0
    )
    figures = {}
    for name, peer in PEERS.items():
        trained = peer.fit(rows, labels, folds)
        if trained is not None:
            said = expit(trained.fitted.apply(_test_rows(study)))
            figures[f"peer: {name}"] = skill(study, said)
    return figures | _first_rule(study)


def _test_rows(study: Study) -> Rows:
    return rows_of(
        study.measures,
        study.test["position"].to_numpy(),
        log_sigma=study.model.frozen.log_sigma,
        answers=study.answers,
    )


@dataclass(frozen=True)
class _Counted:
    """Neighbours of queries as the first release counted them."""

    position: NDArray[np.int64]
    wins: NDArray[np.int64]
    k_eff: NDArray[np.int64]

    def of(self, span: Span, win: NDArray[np.int8], side: int) -> Counts:
        rows = (self.position >= span.start) & (self.position < span.stop)
        position = self.position[rows]
        return Counts(position, self.wins[rows, side], self.k_eff[rows], win[position, side])


def _first_rule(study: Study) -> dict[str, float]:
    """Judge the rule of release 0.1.0: 64 neighbours, all dimensions alike, its lower bound."""
    frozen, win = study.model.frozen, np.asarray(study.outcomes.win)
    counted, told = _counted(study), study.test
    said, lower = np.full((2, len(told), 2), np.nan)
    even = []
    for side in (0, 1):
        fitted = FirstRule.fit(
            train=counted.of(frozen.spans.library, win, side),
            calibration=counted.of(frozen.spans.calibration, win, side),
            base_rate=frozen.base_rate[side],
            horizon=frozen.recipe.horizon,
        )
        test = counted.of(frozen.spans.test, win, side)
        said[:, side], lower[:, side], _ = fitted.apply(test.wins, test.k_eff)
        library = slice(frozen.spans.library.start, frozen.spans.library.stop)
        even.append(break_even(study.outcomes.gain[library, side]))
    signals = told.with_columns(
        pl.Series(f"margin_{name}", lower[:, side] - even[side]) for side, name in enumerate(SIDES)
    )
    return {
        "peer: 0.1.0": skill(study, said),
        "net of 0.1.0": float(study.trade(signals).trades["gain"].sum()),
    }


def _counted(study: Study) -> _Counted:
    frozen = study.model.frozen
    paths = unit_paths(study.measures.trajectory, frozen.standard)
    timeline = Timeline.of(study.measures.metrics["timestamp"])
    library = Library.build(
        paths,
        frozen.features(study.measures),
        study.outcomes,
        timeline.starts,
        stride=frozen.stride,
    )
    asked = np.append(frozen.spans.library.positions(frozen.recipe.horizon), queries(frozen))
    found = library.find(
        paths[asked], asked, timeline, exclusion=frozen.recipe.horizon, engine="cpu"
    )
    wins, k_eff = count_wins(found.neighbours, found.win)
    return _Counted(asked, wins, k_eff[:, 0])
