"""What is on record: the examples over real hours, and models of them and of planted walks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import polars as pl

from infra.bars import PRICES
from infra.sources.sample import PAIR, TIMEFRAME, read_sample
from kernels.outcomes import SIDES
from kernels.synthetic import WALKS, draw
from tasks.gate.rehearsal import Rehearsal, rehearse
from tasks.research.measure import segments_of
from tasks.research.recipe import Recipe
from tasks.research.simulation import simulate
from tasks.rules.frames import measured
from tasks.rules.setup import Setup
from tasks.rules.texts import DEFAULT, find
from tests.tasks.research.walks import bars_of

Figure = int | float | str | bool | None
Figures = dict[str, Figure]

BARS: Final = 5_000
SEED: Final = 3
TRIES: Final = 4
"""Sets of a text's parameters."""
PLAIN: Final = ("trend_following", "mean_reversion", "volatility_breakout")
"""Examples that look at one stream of the sample and enter by prices alone."""
TRAINED: Final = (DEFAULT, "damped", "mean_reversion", "volatility_breakout")
PLANTED: Final = ("drift", "none", "hours")


def strategy(name: str) -> Figures:
    """Trade an example over the sample, without a model."""
    bars, recipe = sample(), Recipe.default(PAIR, TIMEFRAME)
    program = find(name, PAIR, TIMEFRAME).open()
    frames = measured(program, {program.requires.streams[0].name: bars}, engine="cpu")
    signals = program.evaluate(frames, {}).with_columns(pl.col("horizon").fill_null(1))
    trades = simulate(
        bars,
        signals,
        segments=segments_of(bars, PAIR, TIMEFRAME),
        horizon=signals["horizon"],
        costs=recipe.costs,
        stop=signals["stop"],
        target=signals["target"],
    ).trades
    return {"bars": len(bars)} | _listed(signals, "stop", "target") | _earned(trades)


def trained(name: str) -> Figures:
    """Train a strategy on the sample."""
    return _rehearsed(name, Recipe.default(PAIR, TIMEFRAME), sample())


def planted(name: str) -> Figures:
    """Train the default strategy on a walk."""
    recipe = Recipe.default(WALKS[name].instrument, "H1", slippage=0.0)
    return _rehearsed(DEFAULT, recipe, bars_of(draw(name, BARS, seed=SEED)))


CASES: Final[Mapping[str, Callable[[], Figures]]] = MappingProxyType(
    {f"{name} on the sample": partial(strategy, name) for name in PLAIN}
    | {f"model of {name} on the sample": partial(trained, name) for name in TRAINED}
    | {f"model of {DEFAULT} on the walk {name}": partial(planted, name) for name in PLANTED}
)
"""Figures by what they are of."""


def sample() -> pl.DataFrame:
    """Return the sample's bars."""
    stamp = pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC")
    prices = pl.col(*PRICES, "volume").cast(pl.Float64)
    return read_sample().select(stamp, prices).sort("timestamp")


def _rehearsed(name: str, recipe: Recipe, bars: pl.DataFrame) -> Figures:
    setup = Setup.of(find(name, recipe.pair, recipe.timeframe), recipe, {})
    found = rehearse(setup, bars, tries=TRIES)
    return {
        "bars": len(bars),
        **_chosen(found),
        **_learnt(found),
        **_listed(found.signals, "stop_distance", "target_distance"),
        "closest decision": _closest(found),
        **_earned(found.simulation.trades),
        "Brier skill": found.found.skill,
        **_judged(found),
    }


def _chosen(found: Rehearsal) -> Figures:
    """Return the parameters that training took."""
    chosen = found.selection
    parameters: Figures = {f"chosen {n}": v for n, v in chosen.told["parameters"].items()}
    return parameters | {
        "sets": chosen.sets,
        "sets about independent": chosen.effective,
        "growth on the past": chosen.growth,
    }


def _learnt(found: Rehearsal) -> Figures:
    """Return what the first rule's model is made of."""
    model = next(iter(found.models.values()))
    alike = model.frozen.similarity
    told: Figures = {
        "rules": len(found.models),
        "library rows": found.library,
        "neighbours": alike.k,
        "similar by": alike.way,
        "caution": str(model.caution),
        "slope": model.confidence.stack.slope,
    }
    rates: Figures = {
        f"base rate {side}": rate for side, rate in zip(SIDES, model.frozen.base_rate, strict=True)
    }
    weights: Figures = {f"weight {name}": w for name, w in model.confidence.weights.items()}
    return told | rates | weights


def _listed(signals: pl.DataFrame, *distances: str) -> Figures:
    """Return how many signals there are, which, and what their stops and targets add up to.

    What is hashed is exact: times, names, whole numbers. A rounded price would lie on an edge now
    and then, and sums of prices are compared with a tolerance instead.
    """
    exact = signals.select("timestamp", "signal", "side", "action", "horizon")
    told: Figures = {
        "signals": len(signals),
        "signals long": int((signals["side"] == "long").sum()),
        "signal list": hashlib.sha256(exact.write_csv().encode()).hexdigest(),
    }
    names = {name: name.removesuffix("_distance") for name in distances}
    sums: Figures = {f"sum of {n}s": float(signals[each].sum()) for each, n in names.items()}
    return told | sums


def _closest(found: Rehearsal) -> Figure:
    """Return how near the greater margin of a bar of the test span comes to none."""
    test = found.predictions.filter(pl.col("split") == "test")
    margins = test.select(pl.max_horizontal("margin_long", "margin_short").abs()).to_series()
    nearest: float | None = min(margins.drop_nulls().to_list(), default=None)
    return nearest


def _earned(trades: pl.DataFrame) -> Figures:
    gains = trades["gain"]
    return {
        "trades": len(trades),
        "net": float(gains.sum()),
        "gross": float(trades["gross"].sum()),
        "hit rate": int((gains > 0).sum()) / len(trades) if len(trades) else None,
    }


def _judged(found: Rehearsal) -> Figures:
    told: Figures = {}
    for check in found.checks:
        told |= {f"gate: {check.name}": check.value, f"gate: {check.name}, passed": check.passed}
    return told
