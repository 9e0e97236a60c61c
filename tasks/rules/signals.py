"""Signals: what a strategy makes of frames and of what the models of its exit rules believe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from kernels.outcomes import SIDES
from tasks.rules.setup import Setup
from tasks.strategy.language.builtins.engine import belief_column
from tasks.strategy.seam import OWN
from tasks.strategy.strategies import BELIEFS, METRICS

Told = Mapping[str, pl.DataFrame]
"""Predictions by rule."""


def signals(
    setup: Setup,
    frames: Mapping[str, pl.DataFrame],
    told: Told,
    *,
    start: int = 0,
    last: int | None = None,
) -> pl.DataFrame:
    """Ask a strategy for its signals.

    Parameters
    ----------
    setup : Setup
    frames : mapping of str to polars.DataFrame
        By stream, with metrics.
    told : mapping of str to polars.DataFrame
        By rule, the predictions of bars of the first stream.
    start : int
        Position of the first bar of the test span: what is believed of earlier ones counts as
        unknown.
    last : int, optional
        Only of so many of the newest bars; left out: of all.

    Returns
    -------
    polars.DataFrame
        As `tasks.strategy.strategies.damped` returns, and ``signal`` (its name), ``rule`` (whose
        model speaks of it), ``stop_distance``, ``target_distance``, ``horizon``, ``size``. ``side``
        is null where the action is CLOSE.
    """
    strategy, base = setup.strategy, setup.strategy.requires.streams[0].name
    bars = frames[base]
    first = None if last is None or not bars.height else bars["timestamp"].tail(last)[0]
    known = {**frames, base: _believing(setup, bars, told, start)}
    known = known if last is None else strategy.window(known, last)
    rows = strategy.evaluate(known, setup.parameters)
    rows = rows if first is None else rows.filter(pl.col("timestamp") >= first)
    rules = {**setup.rules, **dict.fromkeys(set(rows["signal"]) - setup.rules.keys(), setup.first)}
    parts = [
        _completed(setup, rule, rows.filter(pl.col("signal").replace_strict(rules) == rule), told)
        for rule in setup.recipes
    ]
    return pl.concat(parts).sort("timestamp")


def _believing(setup: Setup, bars: pl.DataFrame, told: Told, start: int) -> pl.DataFrame:
    """Return bars with what is believed of each rule, where the strategy asks for that.

    Where it does not, two signals at a bar are settled as where there are no models.
    """
    if not setup.strategy.requires.rules:
        return bars
    wanted: Sequence[str | pl.Expr]
    for signal, rule in setup.rules.items():
        said = told[rule].filter(pl.col("position") >= start)
        if signal == OWN:
            wanted = [
                "position",
                "closing",
                *METRICS,
                *(f"{n}_{s}" for n in BELIEFS for s in SIDES),
            ]
        else:
            wanted = [
                pl.col(f"{name}_{side}").alias(belief_column(name, side, signal))
                for name in BELIEFS
                for side in SIDES
            ]
        believed = said.select("timestamp", *wanted)
        bars = bars.join(believed, on="timestamp", how="left", maintain_order="left")
    return bars


def _completed(setup: Setup, rule: str, rows: pl.DataFrame, told: Told) -> pl.DataFrame:
    """Return rows with all that the model of their rule says of their bars."""
    said = told[rule].rename({"stop_distance": "usual_stop", "target_distance": "usual_target"})
    known = rows.select(
        "timestamp", "signal", "side", "action", "stop", "target", "horizon", "size"
    )
    both = known.join(said, on="timestamp", how="inner", maintain_order="left")
    own = rule == OWN
    return both.select(
        "timestamp",
        pl.col("position").cast(pl.Int64),
        "side",
        "action",
        **{name: _of_side(name) for name in BELIEFS},
        **{name: _number(name) for name in METRICS},
        signal=pl.col("signal"),
        rule=pl.lit(rule),
        stop_distance=_number("usual_stop" if own else "stop"),
        target_distance=_number("usual_target" if own else "target"),
        horizon=pl.col("horizon").fill_null(setup.recipes[rule].horizon),
        size=pl.col("size"),
    )


def _of_side(name: str) -> pl.Expr:
    long, short = (
        pl.when(pl.col("side") == side).then(_number(f"{name}_{side}")) for side in SIDES
    )
    return pl.coalesce(long, short)


def _number(name: str) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)
