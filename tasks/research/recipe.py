"""What a model is computed from, besides its bars."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from infra.market.financing import USUAL_DAYS, Financing
from infra.market.instruments import default_slippage, default_spread, usual_financing
from infra.market.quotes import Costs
from infra.market.timeframes import bar_seconds
from kernels.damping import DampingParams

LIBRARY_ROWS = 50_000

HORIZONS: dict[str, int] = {
    "M1": 60,
    "M5": 24,
    "M15": 16,
    "M30": 12,
    "H1": 8,
    "H4": 6,
    "D1": 5,
}
"""Bars a trade is held by default."""


@dataclass(frozen=True)
class Recipe:
    """Every parameter of a model; two equal recipes on equal bars give equal numbers.

    Attributes
    ----------
    horizon : int
        Bars a trade is held.
    stop_deviations, target_deviations : float or None
        Distance of stop and target from the entry, in deviations of the whole horizon
        (price * sigma * sqrt(horizon)); None for none.
    spread, slippage : float
        Costs in price units; the spread counts only where bars carry no bid and ask.
    spread_share : float
        Share of the price at the time that the spread has on top.
    spread_hours : tuple of float
        Multiples of that spread by hour of New York's week; none: it is the same at all times.
    spread_source : str
        Whence those are.
    commission : float
        Paid a unit at the entry and again at the exit, in price units.
    swap_long, swap_short : float
        What a year of holding earns, as a share of a position's worth; below zero it costs.
    swap_days : tuple of int
        Days of it charged at 17:00 New York, from Monday on.
    weekend : bool
        Whether a trade may be entered at the first open after a scheduled closure, such as a
        weekend, from a signal of the last bar before it.
    leads : tuple of str
        Other pairs whose damped values are looked at.
    pool : tuple of str
        Other pairs whose past paths may be neighbours, too.
    caution : float, "lower" or None
        Deviations of its own doubt that an expected net gain must exceed for a signal; "lower"
        for the rule that the lower bound of confidence must exceed break-even; None for what
        grew most on the past.
    stride : int or None
        Every how many bars the library takes a path; None for the default of `stride_for`.
    strategy, digest : str
        Its name, and what changes with its meaning.
    parameters : tuple of (str, float)
        The strategy's, by name.
    rule : str
        The strategy's exit rule whose stop, target, horizon and weekend these trades have; nothing
        for those named here.
    """

    pair: str
    timeframe: str
    horizon: int
    spread: float
    slippage: float
    spread_share: float = 0.0
    strategy: str = "damped"
    digest: str = ""
    parameters: tuple[tuple[str, float], ...] = ()
    rule: str = ""
    stop_deviations: float | None = 4.0
    target_deviations: float | None = None
    weekend: bool = False
    encoder: str = "direction"
    leads: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    caution: float | Literal["lower"] | None = None
    stride: int | None = None
    seed: int = 0
    damping: DampingParams = field(default_factory=DampingParams)
    spread_hours: tuple[float, ...] = ()
    spread_source: str = ""
    commission: float = 0.0
    swap_long: float = 0.0
    swap_short: float = 0.0
    swap_days: tuple[int, ...] = USUAL_DAYS

    def __post_init__(self) -> None:
        bar_seconds(self.timeframe)
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1 bar, not {self.horizon}")
        if min(self.spread, self.slippage, self.spread_share, self.commission) < 0:
            raise ValueError("spread, slippage and commission must not be negative")
        if isinstance(self.caution, float | int) and not 0 <= self.caution < math.inf:
            raise ValueError(f"caution is a number from 0 on, or 'lower', not {self.caution}")

        if self.pair in self.pool or len(set(self.pool)) < len(self.pool):
            raise ValueError(f"a pool is of other pairs than {self.pair}, each named once")

    @property
    def costs(self) -> Costs:
        """What a round trip costs."""
        return Costs(
            self.spread,
            self.slippage,
            self.spread_share,
            self.commission,
            self.spread_hours,
            Financing(self.swap_long, self.swap_short, self.swap_days),
        )

    @classmethod
    def default(cls, pair: str, timeframe: str, **changes: Any) -> Recipe:
        """Return the usual recipe of a pair and timeframe; a change of None keeps the default.

        Parameters
        ----------
        pair, timeframe : str
        **changes : object
            Fields of the recipe.
        """
        financing = usual_financing(pair)
        usual: dict[str, Any] = {
            "horizon": default_horizon(timeframe),
            "swap_long": financing.long,
            "swap_short": financing.short,
            "swap_days": financing.days,
            "spread": default_spread(pair),
            "slippage": default_slippage(pair),
        }
        usual.update({name: value for name, value in changes.items() if value is not None})
        return cls(pair=pair, timeframe=timeframe, **usual)

    def stride_for(self, bars: int) -> int:
        """Return the library's stride for a history of `bars` bars.

        docs/mathematics.md, "Paths, similarity, neighbours".
        """
        return self.stride or max(1, self.horizon // 4, math.ceil(bars / LIBRARY_ROWS))

    def fingerprint(self, *more: str) -> str:
        """Return 12 hexadecimal digits that stand for this recipe and `more`."""
        text = json.dumps([asdict(self), *more], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def default_horizon(timeframe: str) -> int:
    """Return the number of bars a trade is held by default."""
    bar_seconds(timeframe)
    return HORIZONS[timeframe]
