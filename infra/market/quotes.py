"""Bid and ask: a bar's own where it has them, otherwise its mid and half the usual spread."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from infra.bars import PRICES, QUOTES
from infra.market.financing import Financing
from infra.market.spreads import HOURS, hour_of_week

_LEAST: Final = 1e-9
"""Share of the price below which a spread is one of rounding."""


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
    commission
        Paid a unit at the entry and again at the exit; prices do not show it.
    hours
        Multiples of that spread by hour of New York's week, `HOURS` of them; nothing: always one.
    financing
        What each night held over 17:00 New York earns.
    """

    spread: float = 0.0
    slippage: float = 0.0
    spread_share: float = 0.0
    commission: float = 0.0
    hours: tuple[float, ...] = ()
    financing: Financing = field(default_factory=Financing)

    def __post_init__(self) -> None:
        for name in ("spread", "slippage", "spread_share", "commission"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}: give a price distance of zero or more")
        whole = len(self.hours) in (0, HOURS)
        if not (whole and all(0 <= each < math.inf for each in self.hours)):
            raise ValueError(f"hours must be {HOURS} multiples of the spread from 0 on, or none")


def with_quotes(bars: pl.DataFrame, costs: Costs) -> pl.DataFrame:
    """Return bars with all eight quotes, Float64.

    Where a bar has no quotes, or an ask that is somewhere no higher than its bid, nobody trades at
    these: the usual spread counts around its mid, at all four prices; that of the hour in which the
    bar begins, where costs tell hours.

    Parameters
    ----------
    bars : polars.DataFrame
        Mid prices; quotes where the source has them.
    costs : Costs
        Whose spread counts where a bar has none of its own.
    """
    half, share = (pl.lit(each / 2) for each in (costs.spread, costs.spread_share))
    if costs.hours:
        multiple = pl.lit(pl.Series(np.array(costs.hours)[hour_of_week(bars["timestamp"])]))
        half, share = half * multiple, share * multiple
    sides = (("bid", -1), ("ask", 1))
    modelled = {
        f"{side}_{price}": pl.col(price) * (1 + sign * share) + sign * half
        for side, sign in sides
        for price in PRICES
    }
    if set(QUOTES) <= set(bars.columns):
        spreads = (pl.col(f"ask_{price}") - pl.col(f"bid_{price}") for price in PRICES)
        own = pl.min_horizontal(spreads) > _LEAST * pl.col("close")
        modelled = {
            name: pl.when(own).then(name).otherwise(price) for name, price in modelled.items()
        }
    return bars.with_columns(price.cast(pl.Float64).alias(name) for name, price in modelled.items())
