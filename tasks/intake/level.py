"""Whether prices can be those of an instrument: its bounds, and what is stored of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import polars as pl

from infra.bars import PRICES
from infra.market.instruments import find
from infra.sources.columns import SourceError

_POWERS: Final = tuple(power for power in range(-6, 9) if power)
_APART: Final = 0.05
"""Prices of the same moment differ less, whatever side, venue and length of bar."""
_SAME: Final = 0.2
_SHARED: Final = 10
"""Bars of the same moment that tell one instrument from another."""


@dataclass(frozen=True)
class Bounds:
    """Between which prices of an instrument lie.

    Attributes
    ----------
    pair : str
    low, high : float
    """

    pair: str
    low: float = 0.0
    high: float = math.inf

    @classmethod
    def of(cls, pair: str, *, any_level: bool = False) -> Bounds:
        """Return the bounds of a pair; none where it is not named, or any level may be.

        Parameters
        ----------
        pair : str
        any_level : bool
        """
        if not pair or any_level:
            return cls(pair)
        instrument = find(pair)
        return cls(instrument.name, instrument.low, instrument.high)

    @property
    def beyond(self) -> dict[str, pl.Expr]:
        """Faults of rows, name to condition."""
        outside = [~pl.col(name).is_between(self.low, self.high) for name in PRICES]
        known = (self.low, self.high) != (0.0, math.inf)
        return {"price out of bounds": pl.any_horizontal(outside)} if known else {}

    def written(self, scale: float | None) -> tuple[float, float]:
        """Return the bounds of the numbers that stand for prices."""
        return (self.low / scale, self.high / scale) if scale else (self.low, self.high)

    def refuse_whole(self, prices: pl.Series, scale: float | None) -> None:
        """Refuse prices most of which cannot be the instrument's.

        Parameters
        ----------
        prices : polars.Series
        scale : float, optional
            That they have been multiplied by.

        Raises
        ------
        SourceError
            It names what would fit.
        """
        median = prices.filter(prices > 0).median()
        if not isinstance(median, float) or self.low <= median <= self.high:
            return
        powers = [p for p in _POWERS if self.low <= median * 10.0**p <= self.high]
        fits = " or ".join(f"scale={(scale or 1.0) * 10.0**p:g}" for p in powers)
        ways = [f"{fits} if they are written that way"] if fits else []
        ways += ["another pair= if they are not its prices", "any_level=true if they are"]
        raise SourceError(
            f"prices around {median:g} cannot be those of {self.pair}, which lie between "
            f"{self.low:g} and {self.high:g}: say {', '.join(ways)}"
        )


def refuse_other(bars: pl.DataFrame, stored: pl.LazyFrame, pair: str) -> None:
    """Refuse prices that are not those stored for the same moments.

    Parameters
    ----------
    bars : polars.DataFrame
    stored : polars.LazyFrame
        `timestamp`, `close`.
    pair : str

    Raises
    ------
    SourceError
        If half of them are further apart than sides and venues are.
    """
    span = pl.col("timestamp").is_between(bars["timestamp"].min(), bars["timestamp"].max())
    there = stored.select("timestamp", was="close").filter(span).collect()
    both = bars.select("timestamp", "close").join(there, on="timestamp")
    if there.height >= _SHARED and both.height < _SAME * min(there.height, bars.height):
        _refuse_other_hours(bars["timestamp"], there["timestamp"], pair)
    apart = (both["close"] / both["was"]).log().abs().median()
    if both.height >= _SHARED and isinstance(apart, float) and apart > _APART:
        raise SourceError(
            f"the prices are {math.expm1(apart):.0%} apart from those stored of {pair} for the "
            "same times: say another pair= if they are not its prices, any_level=true if they are"
        )


def _refuse_other_hours(times: pl.Series, stored: pl.Series, pair: str) -> None:
    """Refuse long bars that begin at other hours than those stored: the store would hold both."""
    hours, there = (at.dt.hour().unique().sort().to_list() for at in (times, stored))
    if not set(hours) & set(there):
        raise SourceError(
            f"the bars begin at {_hours(hours)} UTC, those stored of {pair} at {_hours(there)}: "
            "say the clock= by which they begin as those, or any_level=true to store both"
        )


def _hours(hours: list[int]) -> str:
    return ", ".join(f"{hour:02}:00" for hour in hours[:4])
