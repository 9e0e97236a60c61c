"""What a trade pays beside its prices: commission, and swap for each night it is held."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.market.financing import charged_days
from infra.market.quotes import Costs
from kernels.outcomes import Outcomes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Charges:
    """Commission and swap of the trades of some bars, as shares of their entry price.

    Attributes
    ----------
    costs : Costs
    days : int64[n]
        Days charged up to the open of each bar.
    """

    costs: Costs
    days: Ints

    @classmethod
    def of(cls, bars: pl.DataFrame, costs: Costs) -> Charges:
        """Return the charges of trades on bars.

        Parameters
        ----------
        bars : polars.DataFrame
            With `timestamp`.
        costs : Costs
        """
        return cls(costs, charged_days(bars["timestamp"], costs.financing.days))

    def __bool__(self) -> bool:
        """Say whether anything is charged."""
        return bool(self.costs.commission or self.costs.financing)

    def commission(self, entry: Floats) -> Floats:
        """Return what both fills pay, above zero.

        Parameters
        ----------
        entry : float64[...]
            Entry prices.
        """
        paid: Floats = 2 * self.costs.commission / entry
        return paid

    def swap(self, side: Ints, entered: Ints, left: Ints) -> Floats:
        """Return what the nights earned; below zero they cost.

        Parameters
        ----------
        side : int64[...]
            0 long, 1 short.
        entered, left : int64[...]
            Bars of entry and exit; inside a bar a trade is left at its open.
        """
        earned: Floats = self.costs.financing.nightly(side) * (self.days[left] - self.days[entered])
        return earned

    def charged(self, out: Outcomes) -> Outcomes:
        """Return outcomes whose gains and wins are net of commission and swap, too.

        Parameters
        ----------
        out : Outcomes
            Of all bars, net of what prices show.
        """
        if not self:
            return out
        n = len(out.gain)
        entered = np.minimum(np.arange(n) + 1, n - 1)[:, None]
        swap = self.swap(np.array([[0, 1]]), entered, out.exit_bar)
        gain = out.gain - self.commission(out.entry_price) + swap
        win = np.where(np.isnan(gain), -1, gain > 0).astype(np.int8)
        return replace(out, gain=gain, win=win)
