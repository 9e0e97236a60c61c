"""Which of many sets of parameters training takes, and what all of them brought on the past.

The project's own strategies enter where the expected net gain exceeds so many deviations of its
doubt: what is believed of the past is told once, and caution, horizon, stop and target are compared
by thousands, by the sweep kernels. A text has parameters whose meaning is its own: sets of them are
drawn evenly and traded one by one (`tasks.rules.sweep`).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kernels.outcomes import SIDES
from kernels.statistics.sharpe import effective_trials
from tasks.research.knowledge import with_costs
from tasks.research.recipe import Recipe
from tasks.research.resolve import closing, resolve
from tasks.research.returns import varied
from tasks.research.spans import Span, Spans, TooShort
from tasks.research.training import told_apart
from tasks.research.walkforward import freeze, replay
from tasks.rules import texts
from tasks.rules.grid import Grid
from tasks.rules.setup import Setup
from tasks.rules.sweep import Past, Try, best, sweep, too_few
from tasks.rules.swept import Swept, swept

HORIZON, STOP = (f"{texts.DEFAULT}.{name}" for name in ("horizon", "deviations"))
"""Parameters of the project's own text that a grid chooses."""
PYTHON: Final = "damped"
"""The project's own strategy in Python: recipes have its exits."""
FEWEST: Final = 30
"""Trades on the past below which a set is not chosen."""
CAUTIONS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
STOPS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 8.0)
TARGETS: Final = (1.0, 2.0, 4.0, math.inf)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Selection:
    """The chosen set, and what is to be known of all.

    Attributes
    ----------
    setup : Setup
        With the parameters, and the caution, that were chosen.
    growth, default : float
        Log growth on the past of the chosen set, and of the one that was asked for.
    sets : int
        That were compared.
    effective : float
        About independent ones among them.
    returns : float32[days, k]
        Daily net returns on the same days of the past of those that traded.
    days : tuple of datetime.date
    told : dict
        Plain values for people: the chosen values and their neighbourhood.
    """

    setup: Setup
    growth: float
    default: float
    sets: int
    effective: float
    returns: NDArray[np.float32]
    days: tuple[Any, ...]
    told: dict[str, Any]


def select(setup: Setup, past: Past, tries: int, fixed: Collection[str] = ()) -> Selection:
    """Choose a strategy's parameters on the past.

    Parameters
    ----------
    setup : Setup
        With the parameters that are compared with others.
    past : Past
        Nothing behind its calibration span is looked at.
    tries : int
        Sets of a text's parameters, at most; a grid has a size of its own.
    fixed : collection of str
        Parameters that stay as they are; "horizon" and "stop" of the strategy in Python.

    Raises
    ------
    TooShort
        If there are too few bars.
    """
    if by_grid(setup):
        return _by_grid(setup, past, fixed)
    return _by_trying(setup, past, tries, fixed)


def by_grid(setup: Setup) -> bool:
    """Say whether a strategy is one of the project's own, which grids are for."""
    return setup.source.asked in (texts.DEFAULT, PYTHON)


def _by_trying(setup: Setup, past: Past, tries: int, fixed: Collection[str]) -> Selection:
    tried = sweep(setup, past, tries, fixed)
    chosen = best(tried)
    returns = varied(np.column_stack([each.daily for each in tried]))
    effective = _effective(returns)
    return Selection(
        setup=replace(setup, parameters=chosen.parameters, tried=len(tried), effective=effective),
        growth=chosen.growth,
        default=tried[0].growth,
        sets=len(tried),
        effective=effective,
        returns=returns.astype(np.float32),
        days=(),
        told=_plain(chosen),
    )


def _plain(chosen: Try) -> dict[str, Any]:
    return {"parameters": chosen.parameters, "trades": chosen.trades}


def _effective(returns: Floats) -> float:
    if returns.shape[1] < 2:
        return 1.0
    try:
        return effective_trials(returns)
    except ValueError:  # fewer days than correlations need: all count
        return float(returns.shape[1])


def _by_grid(setup: Setup, past: Past, fixed: Collection[str]) -> Selection:
    spans = past.spans(max(_horizons(setup, fixed)))
    known = past.until(spans.calibration.stop, setup.strategy.requires.streams[0].name)
    try:
        scores = _scores(setup, known, spans)
    except TooShort as error:
        raise too_few(past, setup, setup.recipes[setup.first].horizon) from error
    found = swept(
        known.bars,
        known.measures.metrics,
        scores,
        grid_of(setup, fixed),
        setup.recipe.costs,
        closing=closing(known.measures.metrics, setup.recipe),
        engine=past.engine,
    )
    asked = _asked(found.grid, setup)
    number = steadiest(found, asked)
    chosen = chosen_setup(setup, found.grid.values(number))
    effective, sets = max(1.0, found.effective), len(found.grid)
    assert found.daily is not None
    return Selection(
        setup=replace(chosen, tried=sets, effective=effective),
        growth=_growth(found, number),
        default=_growth(found, asked),
        sets=sets,
        effective=effective,
        returns=found.daily[:, np.isfinite(found.sharpe)].astype(np.float32),
        days=found.days,
        told=_neighbourhood(found, number),
    )


def _scores(setup: Setup, past: Past, spans: Spans) -> NDArray[np.float32]:
    """Return what is expected of bars of the past in deviations of its doubt, float32[n, 2].

    By fits that had not seen them: a caution is exceeded or not. NaN where nothing was told. The
    past ends with the calibration span of `spans`, so that no later bar has a say.
    """
    recipe = setup.recipes[setup.first]
    metrics = past.measures.metrics.with_columns(setup.exits(past.frames))
    measures = replace(past.measures, metrics=with_costs(metrics, past.bars, recipe))
    outcomes = resolve(past.bars, measures.metrics, recipe, engine=past.engine)
    frozen = freeze(measures, outcomes, replace(recipe, pool=()), "", engine=past.engine)
    stop = spans.calibration.stop
    frozen = replace(frozen, spans=replace(spans, test=Span(stop, stop)))
    _, answers = replay(measures, outcomes, frozen, engine=past.engine)
    told = told_apart(measures, outcomes, frozen, answers)
    scores = np.full((len(past.bars), len(SIDES)), np.nan, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(told.doubt > 0, told.expected / told.doubt, np.nan)
    scores[told.position] = ratio
    return scores


def grid_of(setup: Setup, fixed: Collection[str]) -> Grid:
    """Return the grid of cautions and exits around those of a setup.

    Parameters
    ----------
    setup : Setup
    fixed : collection of str
        Parameters that stay as they are.
    """
    recipe, own, stops = setup.recipe, setup.source.asked == PYTHON, (_stop(setup),)
    asked = recipe.caution
    cautions = CAUTIONS if asked is None else (float(asked) if asked != "lower" else 0.0,)
    return Grid(
        thresholds=cautions,
        horizons=_horizons(setup, fixed),
        stops=stops if {STOP, "stop"} & set(fixed) else tuple(sorted({*_stops(setup), *stops})),
        targets=TARGETS if own and recipe.target_deviations is None else _targets(recipe, own),
    )


def _targets(recipe: Recipe, own: bool) -> tuple[float, ...]:
    return (recipe.target_deviations or math.inf,) if own else (math.inf,)


def _horizons(setup: Setup, fixed: Collection[str]) -> tuple[int, ...]:
    usual = setup.recipes[setup.first].horizon
    if {HORIZON, "horizon"} & set(fixed):
        return (usual,)
    around = np.geomspace(max(usual / 2, 1), 2 * usual, 5)
    return tuple(sorted({round(bars) for bars in around.tolist()}))


def _stops(setup: Setup) -> tuple[float, ...]:
    """Return the stops that the strategy may have."""
    if setup.source.asked == PYTHON:
        return STOPS
    param = setup.strategy.parameters[STOP]
    return tuple(
        stop
        for stop in STOPS
        if param.low <= stop <= param.high and (not param.whole or stop == int(stop))
    )


def _stop(setup: Setup) -> float:
    """Return the stop that is asked for, infinite for none."""
    if setup.source.asked == PYTHON:
        stop = setup.recipe.stop_deviations
        return math.inf if stop is None else stop
    return setup.parameters.get(STOP, setup.strategy.parameters[STOP].default)


def steadiest(found: Swept, asked: int) -> int:
    """Return the set whose Sharpe ratio, taken with its neighbours', is the highest.

    Parameters
    ----------
    found : Swept
        Sets of fewer than 30 trades are left out.
    asked : int
        The one to take where all are, or none of the others has earned anything.
    """
    ratios = np.nan_to_num(found.sharpe)
    beside = [found.grid.neighbours(number) for number in range(len(found.grid))]
    smooth = np.array([ratios[[n, *near]].mean() for n, near in enumerate(beside)])
    smooth[np.asarray(found.result.trades) < FEWEST] = -math.inf
    return int(smooth.argmax()) if smooth.max() > 0 else asked


def _growth(found: Swept, number: int) -> float:
    assert found.daily is not None
    return float(np.log1p(np.maximum(found.daily[:, number], -0.999)).sum())


def _asked(grid: Grid, setup: Setup) -> int:
    """Return the set of the grid that is the one asked for, at the least caution."""
    horizon = setup.recipes[setup.first].horizon
    place = (
        0,
        grid.horizons.index(horizon),
        grid.stops.index(_stop(setup)),
        len(grid.targets) - 1,
    )
    return int(np.ravel_multi_index(place, grid.shape))


def chosen_setup(setup: Setup, values: tuple[float, ...]) -> Setup:
    """Return a setup with a set's caution, horizon, stop and target.

    Parameters
    ----------
    setup : Setup
        Of one of the project's own strategies.
    values : tuple of float
        As `Grid.values` returns them.
    """
    caution, horizon, stop, target = values
    recipe = replace(
        setup.recipe,
        caution=setup.recipe.caution if setup.recipe.caution == "lower" else caution,
        horizon=int(horizon),
    )
    if setup.source.asked == PYTHON:
        found = replace(
            recipe,
            stop_deviations=None if math.isinf(stop) else stop,
            target_deviations=None if math.isinf(target) else target,
        )
        return replace(setup, recipe=found)
    parameters = {**setup.parameters, HORIZON: float(horizon), STOP: stop}
    return Setup.of(setup.source, recipe, parameters)


def _neighbourhood(found: Swept, number: int) -> dict[str, Any]:
    """Say what was chosen, and how its neighbours did."""
    names = ("caution", "horizon", "stop", "target")
    values = [None if math.isinf(v) else v for v in found.grid.values(number)]
    plateau = found.plateau(number)
    return {
        "parameters": dict(zip(names, values, strict=True)),
        "trades": int(np.asarray(found.result.trades)[number]),
        "sharpe": float(np.nan_to_num(found.sharpe[number])),
        "neighbours": {"mean": plateau.mean, "least": plateau.least, "count": plateau.count},
    }
