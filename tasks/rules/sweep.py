"""A sweep: parameters of a strategy compared on the past alone, the test span unseen."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import qmc

from kernels.outcomes import SIDES
from tasks.research.gains import RUIN
from tasks.research.knowledge import with_costs
from tasks.research.measure import Measures
from tasks.research.recipe import Recipe
from tasks.research.resolve import resolve
from tasks.research.returns import daily_returns, days_of
from tasks.research.spans import FRACTIONS, WARM_UP, Spans, TooShort, least, split
from tasks.research.training import predictions, train
from tasks.research.walkforward import freeze, replay
from tasks.rules.bench import traded
from tasks.rules.setup import Setup
from tasks.rules.signals import signals
from tasks.strategy.language.program import Param
from tasks.strategy.seam import Strategy

WIDE = 8.0
"""Bounds whose quotient is greater are drawn between by ratios, not by differences."""


@dataclass(frozen=True)
class Try:
    """What a set of parameters grew to.

    Attributes
    ----------
    parameters : dict of str to float
    growth : float
        Log growth of its trades on the past, one position at a time, with costs.
    trades : int
    daily : float64[days]
        Net return of each trading day of the bars that all sets were traded on.
    """

    parameters: dict[str, float]
    growth: float
    trades: int
    daily: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), compare=False)


@dataclass(frozen=True)
class Past:
    """Bars of a run, and what is known of them; what lies behind the calibration is not looked at.

    Attributes
    ----------
    bars : polars.DataFrame
    measures : Measures
    frames : dict of str to polars.DataFrame
        Of the strategy's streams.
    engine : str
    """

    bars: pl.DataFrame
    measures: Measures
    frames: Mapping[str, pl.DataFrame]
    engine: str

    def until(self, stop: int, base: str) -> Past:
        """Return the past up to a bar: no later one can have a say.

        Parameters
        ----------
        stop : int
            Position behind the last bar.
        base : str
            The strategy's first stream.
        """
        measures = Measures(self.measures.metrics[:stop], self.measures.trajectory[:stop])
        frames = {**self.frames, base: self.frames[base][:stop]}
        return Past(self.bars[:stop], measures, frames, self.engine)

    def spans(self, horizon: int) -> Spans:
        """Return the split that a model of this horizon is trained on."""
        known = np.flatnonzero(np.isfinite(self.measures.trajectory[:, -1, 0]))
        return split(int(known[0]) if len(known) else WARM_UP, len(self.bars), horizon)


def candidates(
    strategy: Strategy, given: Mapping[str, float], fixed: Collection[str], tries: int, seed: int
) -> list[dict[str, float]]:
    """Draw sets of parameters evenly between their bounds, the given one first, each once.

    Parameters
    ----------
    strategy : Strategy
    given : mapping of str to float
        Those that do not have their defaults.
    fixed : collection of str
        Names of those that stay as they are.
    tries : int
        How many sets, at most.
    seed : int

    Returns
    -------
    list of dict
        Those that do not have their defaults; one alone where there is nothing to choose.
    """
    free = {name: p for name, p in strategy.parameters.items() if name not in fixed}
    if not free or tries < 2:
        return [dict(given)]
    drawn = qmc.Halton(len(free), rng=np.random.default_rng(seed)).random(4 * tries)
    kept = {name: value for name, value in given.items() if name in fixed}
    found = [dict(given)]
    for row in drawn.tolist():
        values = {name: _between(p, u) for (name, p), u in zip(free.items(), row, strict=True)}
        chosen = {n: v for n, v in values.items() if v != free[n].default} | kept
        if chosen not in found:
            found.append(chosen)
    return found[:tries]


def _between(param: Param, share: float) -> float:
    low, high = param.low, param.high + param.whole
    wide = low > 0 and high / low > WIDE
    value = low * (high / low) ** share if wide else low + (high - low) * share
    return min(float(np.floor(value)), param.high) if param.whole else float(value)


def sweep(setup: Setup, past: Past, tries: int, fixed: Collection[str] = ()) -> list[Try]:
    """Compare sets of parameters on the past.

    Parameters
    ----------
    setup : Setup
        With the parameters that are compared with others.
    past : Past
    tries : int
        How many sets, at most.
    fixed : collection of str
        Parameters that stay as they are.

    Returns
    -------
    list of Try
        The setup's own first. Those whose horizon leaves too little to learn from are left out.

    Raises
    ------
    TooShort
        If there are too few bars for any of them.

    Notes
    -----
    Library and calibration span, purged by the longest horizon, are all that is looked at. A
    strategy that asks no belief is traded on all of it; one that does is trained walk-forward
    inside of it and traded on its last part, which its models have not seen. All sets are traded
    on the same bars. The test span stays as unseen as without a sweep.
    """
    chosen = candidates(setup.strategy, setup.parameters, fixed, tries, setup.recipe.seed)
    if len(chosen) == 1:
        return [Try(chosen[0], 0.0, 0)]
    proposed = [replace(setup, parameters=each) for each in chosen]
    setups = [each for each in proposed if _fits(each, past)]
    if not setups:
        raise too_few(past, setup, min(map(_horizon, proposed)))
    longest = max(_horizon(each) for each in setups)
    base = setup.strategy.requires.streams[0].name
    inner = past.until(past.spans(longest).calibration.stop, base)
    if setup.strategy.requires.rules:
        return list(_by_belief(setups, inner, inner.spans(longest).test.start))
    return [_traded(each, inner, _plain(each, inner), 0) for each in setups]


def best(tried: list[Try]) -> Try:
    """Return what grew most, the first of equals."""
    return max(tried, key=lambda each: each.growth)


def too_few(past: Past, setup: Setup, horizon: int) -> TooShort:
    """Return the refusal of a past that is too short to compare parameters on a part of it.

    Parameters
    ----------
    past : Past
    setup : Setup
    horizon : int
        The shortest that is asked for.
    """
    share = sum(FRACTIONS) if setup.strategy.requires.rules else 1.0
    needed, count = WARM_UP + math.ceil(least(horizon) / share) + 2 * (horizon + 1), len(past.bars)
    return TooShort(
        f"{count:,} bars are too few to compare parameters on a part of them: horizon {horizon} "
        f"takes about {needed:,}, {max(1, needed - count):,} are missing; ingest more bars, or "
        "leave them as they are by tries=0"
    )


def _horizon(setup: Setup) -> int:
    return max(recipe.horizon for recipe in setup.recipes.values())


def _fits(setup: Setup, past: Past) -> bool:
    """Say whether a model can be trained, and another one inside of what it is trained on."""
    try:
        horizon = _horizon(setup)
        stop = past.spans(horizon).calibration.stop
        if setup.strategy.requires.rules:
            past.until(stop, setup.strategy.requires.streams[0].name).spans(horizon)
    except TooShort:
        return False
    return True


def _plain(setup: Setup, past: Past) -> pl.DataFrame:
    """Return the signals of a strategy that asks no belief."""
    rows = setup.strategy.evaluate(past.frames, setup.parameters)
    return rows.with_columns(
        pl.col("horizon").fill_null(1), stop_distance="stop", target_distance="target"
    )


def _by_belief(setups: list[Setup], past: Past, start: int) -> Iterator[Try]:
    """Trade each setup on the last part of the past, by models of what lies before."""
    known: dict[object, dict[str, pl.DataFrame]] = {}
    for setup in setups:
        exits = setup.exits(past.frames)
        # models hang on how trades end alone, not on when a strategy enters them
        key = (
            *((rule, r.horizon, r.weekend) for rule, r in setup.recipes.items()),
            *(int(each.hash().sum()) for each in exits),
        )
        if key not in known:
            known[key] = _told(setup, past, exits, start)
        last = len(past.bars) - start
        found = signals(setup, past.frames, known[key], start=start, last=last)
        yield _traded(setup, past, found, start)


def _told(setup: Setup, past: Past, exits: list[pl.Series], start: int) -> dict[str, pl.DataFrame]:
    """Train each exit rule on a part of the past, and tell of the rest."""
    return {rule: told_apart(past, recipe, exits)[start:] for rule, recipe in setup.recipes.items()}


def told_apart(past: Past, recipe: Recipe, exits: Sequence[pl.Series]) -> pl.DataFrame:
    """Train a recipe inside of a past, and tell of its bars.

    Parameters
    ----------
    past : Past
        Its spans are split anew: those who tell of the last one have not seen it.
    recipe : Recipe
        A pool is not asked.
    exits : sequence of polars.Series
        Stop and target distances of the recipe's rule.

    Returns
    -------
    polars.DataFrame
        As `predictions` returns, without what became of the bars.
    """
    recipe = replace(recipe, pool=())
    metrics = with_costs(past.measures.metrics.with_columns(exits), past.bars, recipe)
    measures = Measures(metrics, past.measures.trajectory)
    outcomes = resolve(past.bars, metrics, recipe, engine=past.engine)
    frozen = freeze(measures, outcomes, recipe, "", engine=past.engine)
    _, answers = replay(measures, outcomes, frozen, engine=past.engine)
    model = train(measures, outcomes, frozen, answers)
    told = predictions(measures, outcomes, model, answers)
    return told.drop(f"{name}_{side}" for name in ("win", "gain") for side in SIDES)


def _traded(setup: Setup, past: Past, found: pl.DataFrame, start: int) -> Try:
    segments = past.measures.metrics["segment"].to_numpy()
    trades = traded(past.bars, found, segments, setup.recipe.costs).trades
    gains = np.maximum(trades["gain"].to_numpy(), RUIN)
    daily = daily_returns(trades, days_of(past.bars["timestamp"][start:]))
    return Try(setup.parameters, float(np.log1p(gains).sum()), len(trades), daily)
