"""The whole chain on a walk whose truth is known, and what an honest confidence must fulfil there.

Walk -> bits -> events -> damping -> paths -> neighbours -> confidence, in time order
library | purge | calibration | purge | test. Everything a query sees was known at its bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.bits import encode_bits, transitions, volatility
from kernels.confidence import Confidence, Counts
from kernels.damping import damp
from kernels.device import to_host
from kernels.evaluation import brier_skill, calibration_error, equal_mass, non_overlapping
from kernels.nearest import nearest
from kernels.outcomes import Outcomes, Quotes, outcomes
from kernels.paths import fit_standard, has_path, unit_paths
from kernels.synthetic import PlantedWalk
from kernels.tally import count_wins

Floats: TypeAlias = NDArray[np.float64]

HORIZON = 8
LIBRARY = 40_000
SPAN = 4_020 * HORIZON
"""Bars of the calibration and of the test span: 4,000 outcomes that do not overlap."""

BARS = LIBRARY + 2 * (SPAN + HORIZON + 1)

SIDES = (0, 1)


@dataclass(frozen=True)
class Judged:
    """Test queries of one side a horizon apart: what was said, what came, what was true."""

    confidence: Floats
    lower: Floats
    upper: Floats
    win: Floats
    truth: Floats
    votes: Floats
    base_rate: float

    def shares(self) -> Judged:
        """Say the plain share of wins among the neighbours."""
        return replace(self, confidence=self.votes)

    def constant(self) -> Judged:
        """Say the base rate each time, with bounds that never err."""
        same = np.full(len(self.win), self.base_rate)
        return replace(self, confidence=same, lower=0 * same, upper=0 * same + 1)

    @property
    def skill(self) -> float:
        """Brier skill of the confidence."""
        return brier_skill(self.confidence, self.win, self.base_rate)

    @property
    def true_skill(self) -> float:
        """Brier skill of the true probability."""
        return brier_skill(self.truth, self.win, self.base_rate)

    @property
    def error(self) -> float:
        """Calibration error against the true probability."""
        return calibration_error(self.confidence, self.truth)

    @property
    def bins(self) -> int:
        """Equal-mass bins that ties leave."""
        return int(equal_mass(self.confidence).max()) + 1

    @property
    def deviation(self) -> float:
        """Deviation of the confidence over that of the true probability."""
        return float(self.confidence.std() / self.truth.std())

    @property
    def coverage(self) -> float:
        """Share of queries whose true probability is at least the lower bound."""
        return float((self.truth >= self.lower).mean())

    def broken_on_null(self) -> Iterator[str]:
        """Say which demand of property 6 is not met."""
        if self.skill < -0.002:
            yield "skill"

    def broken_on_planted(self) -> Iterator[str]:
        """Say which demands of property 7 are not met, less coverage, which is pooled."""
        demands = {
            "skill": self.skill >= self.true_skill / 2,
            "error": self.error <= 0.03,
            "bins": self.bins >= 5,
            "deviation": self.deviation >= 0.5,
        }
        yield from (name for name, met in demands.items() if not met)


def judge(walk: PlantedWalk, *, seed: int = 0, engine: str = "auto") -> list[Judged]:
    """Run the chain on a walk of `BARS` bars and return what it says of the test span."""
    became = outcomes(
        Quotes(**{field.name: getattr(walk, field.name) for field in fields(Quotes)}),
        np.zeros(BARS, np.int32),
        horizon=HORIZON,
        engine=engine,
    )
    paths = _paths(walk, engine)
    position, wins, k_eff = _count(paths, became, engine)
    return [_judge_side(walk, became, side, position, wins[side], k_eff, seed) for side in SIDES]


def _paths(walk: PlantedWalk, engine: str) -> Any:
    segments = np.zeros(BARS, np.int32)
    bars = {name: getattr(walk, name) for name in ("open", "high", "low", "close", "volume")}
    bits, valid = encode_bits(bars, segments, engine=engine)
    log_price = np.log(walk.close)
    sigma = volatility(log_price, segments, engine=engine)
    events = transitions(bits, valid, segments, engine=engine)
    trajectory = damp(events, log_price, sigma, segments, engine=engine).trajectory
    return unit_paths(trajectory, fit_standard(trajectory, np.arange(BARS) < LIBRARY))


def _spans() -> tuple[slice, slice, slice]:
    """Bars of library, calibration and test whose outcomes end inside their span."""
    calibration = LIBRARY + HORIZON + 1
    test = calibration + SPAN + HORIZON + 1
    return (
        slice(0, LIBRARY),
        slice(calibration, calibration + SPAN),
        slice(test, BARS - HORIZON - 1),
    )


def _count(paths: Any, became: Outcomes, engine: str) -> tuple[Any, list[Any], Any]:
    """Count wins of queries: every second bar of the calibration, every h-th elsewhere."""
    steps = zip(_spans(), (HORIZON, 2, HORIZON), strict=True)
    asked = np.concatenate([np.arange(span.start, span.stop, step) for span, step in steps])
    rows = np.flatnonzero(has_path(paths) & (became.known_at < BARS))
    rows = rows[rows % max(1, HORIZON // 4) == 0]
    found = nearest(
        paths[asked],
        paths[rows],
        position=rows,
        group=np.zeros(len(rows), np.int32),
        known_before=np.searchsorted(became.known_at[rows], asked, side="right"),
        exclusion=HORIZON,
        engine=engine,
    )
    counted = [count_wins(found, became.win[rows, side]) for side in SIDES]
    return asked, [to_host(wins) for wins, _ in counted], to_host(counted[0][1])


def _judge_side(
    walk: PlantedWalk, became: Outcomes, side: int, asked: Any, wins: Any, k_eff: Any, seed: int
) -> Judged:
    spans = [(asked >= span.start) & (asked < span.stop) for span in _spans()]
    win = became.win[:, side]
    train, calibration, test = (
        Counts(asked[rows], wins[rows], k_eff[rows], win[asked[rows]]).known() for rows in spans
    )
    base_rate = float(win[:LIBRARY].mean())
    told = Confidence.fit(
        train=train, calibration=calibration, base_rate=base_rate, horizon=HORIZON, seed=seed
    )
    for rows in (calibration, test):
        assert non_overlapping(rows.position, HORIZON).sum() >= 4000
    said = told.apply(test.wins, test.k_eff)
    truth = walk.true_probability[test.position, side]
    votes = test.wins / test.k_eff
    return Judged(*said, test.win.astype(np.float64), truth, votes, base_rate)
