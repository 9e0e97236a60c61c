"""Bid and ask: a bar's own where it has them, otherwise its mid and half the usual spread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from infra.bars import PRICES


@dataclass(frozen=True)
class Costs:
    """What a round trip costs, in price units.

    Attributes
    ----------
    spread
        Ask minus bid, used where the bars carry no quotes of their own.
    slippage
        Added to the price of every entry.
    """

    spread: float = 0.0
    slippage: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("spread", self.spread), ("slippage", self.slippage)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}: give a price distance of zero or more")


def with_quotes(bars: pl.DataFrame, costs: Costs) -> pl.DataFrame:
    """Return bars with all eight quotes, Float64.

    Parameters
    ----------
    bars : polars.DataFrame
        Mid prices; quotes where the source has them.
    costs : Costs
        Whose spread counts where a bar has no quotes.
    """
    half = costs.spread / 2
    return bars.with_columns(
        _quote(bars, side, price, offset)
        for side, offset in (("bid", -half), ("ask", half))
        for price in PRICES
    )


def _quote(bars: pl.DataFrame, side: str, price: str, offset: float) -> pl.Expr:
    own, modelled = f"{side}_{price}", pl.col(price) + offset
    chosen = pl.coalesce(own, modelled) if own in bars.columns else modelled
    return chosen.cast(pl.Float64).alias(own)
