"""Kernels on walks of other seeds, against their slow twins."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.damping import damp
from kernels.outcomes import outcomes
from tests import naive
from tests.chaos.conftest import Proof
from tests.kernels.series import edges, inputs, walk
from tests.kernels.test_damping import assert_agree
from tests.kernels.test_outcomes import compare, holes_and_closures, quotes_of, rule, walk_with_gaps

EXITS = ("time", "stop", "target", "stop and target")


def test_damping(seeds: Proof) -> None:
    """Every engine's twin agrees with the reference on any walk and any segments."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(258, 700))
        made = inputs(walk(n, seed=seed), edges(n, *np.sort(rng.integers(1, n, 3))))
        assert_agree(damp(*made, engine="cpu"), naive.damp(*made))
        seeds.counts["bars"] += n


def test_outcomes(seeds: Proof) -> None:
    """Wins, gains, exits and prices are those of the slow twin."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n, horizon = int(rng.integers(1, 400)), int(rng.integers(1, 30))
        bars, exits = walk_with_gaps(n, seed), EXITS[seed % len(EXITS)]
        segments, closing = holes_and_closures(n, rng)
        market: dict[str, Any] = {**rule(exits, n, rng), "closing": closing}
        expected = naive.outcomes(vars(bars), segments, horizon, slippage=0.001, **market)
        quotes = quotes_of(bars, lambda array: array)
        out = outcomes(quotes, segments, horizon=horizon, slippage=0.001, engine="cpu", **market)
        compare(out, expected, horizon)
        seeds.counts["bars"] += n
