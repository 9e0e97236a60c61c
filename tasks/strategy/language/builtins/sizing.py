"""Sizes: the share of equity that is lost if the stop fills."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from infra.market.timeframes import bar_seconds
from kernels import windows
from tasks.strategy.language.builtins.math import greatest
from tasks.strategy.language.registry import (
    Bars,
    Builtin,
    Floats,
    Slot,
    column,
    finite,
    over,
    quotient,
)

GROUP: Final = "Sizing and risk"
YEAR_SECONDS: Final = 260 * 86_400
"""Of 52 weeks of five days, in which the market is open."""
WINDOW: Final = 64
_RATE: Final = Slot("rate", constant=True, low=0.0, high=1.0)


def _kelly(_: Bars, confidence: pl.Expr, reward: pl.Expr) -> pl.Expr:
    share = pl.when(reward > 0).then(confidence - quotient(1 - confidence, reward))
    return finite(greatest(share, pl.lit(0.0)))


def _volatility_target(given: Bars, rate: float, stop: pl.Expr) -> pl.Expr:
    close, bars = column(given, "close"), YEAR_SECONDS / bar_seconds(given.timeframe)

    def yearly(array: Floats) -> Floats:
        returns = np.diff(np.log(np.where(array > 0, array, np.nan)), prepend=np.nan)
        return np.sqrt(windows.total(returns**2, WINDOW) / WINDOW * bars)

    return quotient(quotient(pl.lit(rate), over(yearly, close)) * stop, close)


FUNCTIONS: Final = (
    Builtin(
        "kelly",
        GROUP,
        (Slot("confidence"), Slot("reward_to_risk")),
        "number",
        "The share by which equity grows fastest where a win is so many losses (Kelly 1956).",
        "a share of equity",
        "0.25 * kelly(0.55, 1.5)",
        _kelly,
        nulls="null where an argument is null or the ratio not above 0",
    ),
    Builtin(
        "volatility_target",
        GROUP,
        (_RATE,),
        "number",
        "The share that the signal's stop loses where a year swings the position by the rate.",
        "a share of equity",
        "volatility_target(0.1)",
        _volatility_target,
        role="window",
        earlier=lambda *_: WINDOW,
        warmup=f"{WINDOW} bars",
        special="stop",
        nulls="null without 64 returns, and where the stop is null",
    ),
    Builtin(
        "risk_fraction",
        GROUP,
        (_RATE,),
        "number",
        "Always the same share.",
        "a share of equity",
        "risk_fraction(0.005)",
        lambda _, rate: pl.lit(float(rate)),
        nulls="never null",
    ),
)
