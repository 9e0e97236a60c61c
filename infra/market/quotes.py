"""Bid and ask: a bar's own where it has them, otherwise its mid and half the usual spread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from infra.bars import PRICES, QUOTES


@dataclass(frozen=True)
class Costs:
    """What a round trip costs, in price units.

    Attributes
    ----------
    spread
        Ask minus bid, used where the bars carry no quotes of their own.
    slippage
        Added to the price of every entry.
    spread_share
        Share of the price at the time that the spread has on top.
    """

    spread: float = 0.0
    slippage: float = 0.0
    spread_share: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}: give a price distance of zero or more")


def with_quotes(bars: pl.DataFrame, costs: Costs) -> pl.DataFrame:
    """Return bars with all eight quotes, Float64.

    Where a bar has no quotes, or an ask that is not above its bid, nobody trades at these: the
    usual spread counts around its mid.

    Parameters
    ----------
    bars : polars.DataFrame
        Mid prices; quotes where the source has them.
    costs : Costs
        Whose spread counts where a bar has none of its own.
    """
    half, share = costs.spread / 2, costs.spread_share / 2
    own = set(QUOTES) <= set(bars.columns)
    return bars.with_columns(
        _quote(side, price, pl.col(price) * (1 + sign * share) + sign * half, own=own)
        for side, sign in (("bid", -1), ("ask", 1))
        for price in PRICES
    )


def _quote(side: str, price: str, modelled: pl.Expr, *, own: bool) -> pl.Expr:
    name = f"{side}_{price}"
    if own:
        spread = pl.col(f"ask_{price}") - pl.col(f"bid_{price}")
        modelled = pl.when(spread > 0).then(name).otherwise(modelled)
    return modelled.cast(pl.Float64).alias(name)
